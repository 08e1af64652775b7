"""What an elementwise op makes of numbers, where that is exact in every element type and on every device.

    at("exp", 0)  == 1        at("add", 0, 3)  == 3        at("clamp", -inf, 0) == 0
    at("gelu", 0) == 0        at("gelu", 1)    is None     (known only by running it)

Arithmetic is rational, so that a result which an element type represents is the result it computes: IEEE operations
round correctly. Functions are known at 0 and at -inf only.
"""

import math
import operator
from collections.abc import Callable
from fractions import Fraction

Number = float | Fraction

ZERO_KEEPING = frozenset((
    "neg abs sign sgn square sqrt tanh sin tan asin atan sinh asinh atanh erf erfinv expm1 log1p floor ceil round "
    "trunc frac relu relu6 gelu silu mish elu selu celu leaky_relu softsign tanhshrink hardshrink softshrink "
    "hardswish nan_to_num _to_copy to dropout feature_dropout bernoulli special_expm1 deg2rad rad2deg"
).split())  # fmt: skip
"""f(0) == 0"""

AT_ZERO = dict.fromkeys("exp exp2 cos cosh erfc sinc logical_not".split(), 1.0) | {
    "sigmoid": 0.5, "hardsigmoid": 0.5, "log": -math.inf, "log2": -math.inf, "log10": -math.inf,
}  # fmt: skip
"""f(0) != 0, and not rounded."""

AT_NEGATIVE_INFINITY = dict.fromkeys("exp exp2 sigmoid hardsigmoid".split(), 0.0)
"""f(-inf)"""


def total(*numbers: Number) -> Number | None:
    """The sum; None where it is not a number."""
    infinite = {float(number) for number in numbers if not math.isfinite(number)}
    if infinite:
        return infinite.pop() if len(infinite) == 1 else None
    return sum((Fraction(number) for number in numbers), Fraction(0))


def times(one: Number, other: Number) -> Number | None:
    """The product; None where it is not a number."""
    if math.isfinite(one) and math.isfinite(other):
        return Fraction(one) * Fraction(other)
    result = float(one) * float(other)
    return None if math.isnan(result) else result


def ratio(one: Number, other: Number) -> Number | None:
    """The quotient of finite numbers by another than 0."""
    return Fraction(one) / Fraction(other) if math.isfinite(one) and math.isfinite(other) and other else None


def power(base: Number, exponent: Number) -> Number | None:
    """0 to a positive power, and anything to power 0, 1 and 2."""
    if exponent == 0 or (base == 0 and exponent > 0):
        return float(exponent == 0)
    return {1: base, 2: times(base, base)}.get(exponent) if isinstance(exponent, int) else None


def clamp(x: Number, min: Number | None = None, max: Number | None = None) -> Number:
    raised = x if min is None or x >= min else min
    return raised if max is None or raised <= max else max


def leftover(x: Number, divisor: Number) -> Number | None:
    """0 % divisor, 0 // divisor"""
    return 0.0 if x == 0 and divisor != 0 and math.isfinite(divisor) else None


def added(a: Number, b: Number, alpha: Number = 1) -> Number | None:
    scaled = times(b, alpha)
    return None if scaled is None else total(a, scaled)


def subtracted(a: Number, b: Number, alpha: Number = 1) -> Number | None:
    return added(a, b, -alpha)


def divided(a: Number, b: Number, rounding_mode: str | None = None) -> Number | None:
    return ratio(a, b) if rounding_mode is None else leftover(a, b)


def comparison(holds: Callable[[Number, Number], bool]) -> Callable[..., Number]:
    return lambda a, b: float(holds(a, b))


def bits(compute: Callable[[int, int], int]) -> Callable[..., Number | None]:
    """A bitwise op on two integers; truth values are 0 and 1."""
    return lambda a, b: compute(int(a), int(b)) if a == int(a) and b == int(b) else None


BITS = (("and", operator.and_), ("or", operator.or_), ("xor", operator.xor))
FUNCTIONS: dict[str, Callable[..., Number | None]] = {
    "add": added, "sub": subtracted, "rsub": lambda a, b, alpha=1: subtracted(b, a, alpha), "mul": times,
    "div": divided, "true_divide": ratio, "floor_divide": leftover, "remainder": leftover, "fmod": leftover,
    "neg": lambda x: -x, "abs": lambda x: abs(x), "square": lambda x: times(x, x), "pow": power,
    "relu": lambda x: max(x, 0),
    "relu6": lambda x: clamp(x, 0, 6), "hardtanh": lambda x, low=-1, high=1: clamp(x, low, high), "clamp": clamp,
    "clamp_min": clamp, "clamp_max": lambda x, high: clamp(x, None, high), "sign": lambda x: float((x > 0) - (x < 0)),
    "threshold": lambda x, limit, value: x if x > limit else value,
    **dict.fromkeys(("maximum", "fmax", "max"), lambda a, b: max(a, b)),
    **dict.fromkeys(("minimum", "fmin", "min"), lambda a, b: min(a, b)),
    **{f"{form}_{name}{end}": bits(on_bits) for form, end in (("bitwise", ""), ("_", "__")) for name, on_bits in BITS},
    "logical_not": lambda x: float(x == 0), "_to_copy": lambda x, **_: x,
    "to": lambda x, *_: x, "hypot": lambda a, b: 0.0 if a == b == 0 else None,
    "logit": lambda x, eps=None: -math.inf if x == 0 else None,
    "lerp": lambda a, b, w: 0.0 if a == b == 0 and math.isfinite(w) else None,
    "addcmul": lambda a, b, c, value=1: 0.0 if a == b == c == 0 and math.isfinite(value) else None,
    "logical_and": lambda a, b: float(a != 0 and b != 0), "logical_or": lambda a, b: float(a != 0 or b != 0),
    "ne": comparison(operator.ne), "eq": comparison(operator.eq), "gt": comparison(operator.gt),
    "ge": comparison(operator.ge), "lt": comparison(operator.lt), "le": comparison(operator.le),
    "isfinite": lambda x: float(math.isfinite(x)), "isinf": lambda x: float(math.isinf(x)), "isnan": lambda x: 0.0,
    "heaviside": lambda x, at_zero: at_zero if x == 0 else float(x > 0),
}  # fmt: skip
"""Exact functions of numbers; None where the result is not known exactly."""

ROUNDING_FREE = frozenset((
    "add sub rsub mul div neg abs sign square sqrt relu relu6 hardtanh clamp clamp_min clamp_max threshold maximum "
    "minimum fmax fmin max min floor ceil round trunc leaky_relu prelu logical_not logical_and logical_or bitwise_not "
    "bitwise_and bitwise_or bitwise_xor __and__ __or__ __xor__ _to_copy to eq ne gt ge lt le"
).split())  # fmt: skip
"""Ops that round correctly or not at all: the same bits wherever an element stands, in a row of one or of many."""


def at(name: str, *arguments: object, **options: object) -> float | None:
    """The op called `name` on numbers and other literals; None where the result is not known exactly."""
    first, plain = arguments[0], len(arguments) == 1 and not options
    if first == 0 and name in ZERO_KEEPING:
        return 0.0
    if plain and first == 0 and name in AT_ZERO:
        return AT_ZERO[name]
    if plain and first == -math.inf and name in AT_NEGATIVE_INFINITY:
        return AT_NEGATIVE_INFINITY[name]
    try:
        result = FUNCTIONS[name](*arguments, **options) if name in FUNCTIONS else None
    except TypeError:
        return None
    return None if result is None else as_float(result)


def as_float(number: Number) -> float | None:
    """`number` as a float; None where that would round it."""
    return float(number) if not math.isfinite(number) or Fraction(float(number)) == number else None
