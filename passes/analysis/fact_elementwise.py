"""Rules of elementwise ops.

| op                                | result is inactive where                                       | fill        |
|-----------------------------------|----------------------------------------------------------------|-------------|
| f(x), f(0) = 0                    | x is                                                           | 0           |
| f(x)                              | x is                                                           | f(fill)     |
| f(x, y)                           | x and y both are, or x is and y is the same there              | f(fills)    |
| x * y, x & y                      | x is, or y is (the other is finite)                            | 0           |
| min(x, y), both at least 0        | x is, or y is                                                  | 0           |
| x / y, y > 0                      | x is (y is no NaN)                                             | 0           |
| x + y * z (addcmul)               | x is, and y or z is                                            | 0           |
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, SSAValue

from ...dialects.aten import ScalarType, tensor_of
from ...dialects.template import Argument, Ref
from .calls import argument, shape
from .fact_fills import ONE, ZERO, Applied, Fill, Number, Whole, broadcast, ones, represents
from .fact_numbers import ROUNDING_FREE, at
from .fact_rules import Known, Part, register_rule, spread, whole
from .fact_scope import Call, is_bool, is_integer, is_real, is_small
from .fact_signs import LEAST, is_finite, is_nonnegative, is_positive
from .fact_sources import is_seen_through
from .indices import Axis, Var
from .predicates import ALWAYS, NEVER, axes, disjunction

MAX_OPTIONS = 4
"""Facts of one operand that are combined with those of the others."""

BINARY_KEEPING = frozenset("_to_copy to relu relu6 abs sign sgn square sqrt ceil floor round trunc pow".split())
"""f(1) == 1"""

MOST = 60000.0
"""No real type rounds this to infinity."""

DIVISIONS = frozenset(("div", "true_divide", "floor_divide"))
SIGNED_AT_ZERO = DIVISIONS | {"reciprocal", "rsqrt", "digamma", "pow"}
"""1 / 0 and 1 / -0 differ: what these make of zeros is only known where it is an exact number."""

BY_FACTORS = frozenset(("mul", "logical_and", "bitwise_and", "__and__"))
"""0 already where one operand is."""


def elementwise(call: Call, known: Known) -> Iterator[Part]:
    """All operands inactive at once: the fill is what the op makes of their fills."""
    if is_bool(call.result) and is_seen_through(call) and not is_real(call.source()):
        return
    choices = [operand_choices(call, known, operand) for operand in call.op.operands]
    if not call.op.operands or any(not options for options in choices):
        return
    by_factors = name_of(call) in BY_FACTORS and len(choices) > 1
    for chosen in product(*choices):
        parts = [part for part in chosen if part is not None]
        if by_factors and any(part.fill == ZERO for part in parts):
            continue
        predicate = disjunction(part.predicate for part in parts)
        if not parts or predicate == ALWAYS or not is_small(predicate):
            continue
        free = [operand for operand, part in zip(call.op.operands, chosen, strict=True) if part is None]
        if any(depends(call, operand, axes(predicate)) for operand in free):
            continue
        made = make(call, {k: part.fill for k, part in enumerate(chosen) if part is not None})
        if made is None:
            continue
        fill, exact = made
        binary = len(parts) == 1 and parts[0].binary and name_of(call) in BINARY_KEEPING and fill == ZERO
        needs = frozenset[Var]().union(*(part.needs for part in parts))
        yield Part(predicate, fill, exact and all(part.exact for part in parts), binary and not free, needs)


def operand_choices(call: Call, known: Known, operand: SSAValue) -> list[Part | None]:
    """The facts of an operand over the axes of the result, and None: it is the same along the inactive axes.

    What is 0 here and 1 elsewhere is a fact both ways.
    """
    if not isinstance(operand.type, TensorType):
        return [None] if isinstance(operand.type, ScalarType) else []
    read_at = call.aligned(operand)
    if read_at is None:
        return []
    found = list(known.of(operand))
    found += [replace(part, predicate=~part.predicate, fill=ONE, binary=False) for part in found if part.binary]
    facts = [replace(part, predicate=call.scope.read(part.predicate, read_at, call.ranges)) for part in found]
    return [*facts[:MAX_OPTIONS], None]


def depends(call: Call, operand: SSAValue, along: tuple[int, ...]) -> bool:
    """Does an operand differ along these axes of the result?"""
    read_at = call.aligned(operand) if isinstance(operand.type, TensorType) else ()
    return read_at is None or any(Axis(axis) in index.atoms() for axis in along for index in read_at)


def name_of(call: Call) -> str:
    """`add` of `aten.add.Tensor`"""
    return call.target.split(".")[1]


# -- fills ------------------------------------------------------------------------------------------------------


def make(call: Call, fills: Mapping[int, Fill]) -> tuple[Fill, bool] | None:
    """What the op makes of `fills` (by operand number), and whether that is exact. Other operands stay as they are."""
    numbers = {k: fill.value for k, fill in fills.items() if isinstance(fill, Number)}
    if len(numbers) == len(call.op.operands):
        value = number(call, numbers)
        if value is not None and represents(call.element, value):
            return Number(value), True
    if name_of(call) in SIGNED_AT_ZERO and any(depends_on_sign(call, k, fill) for k, fill in fills.items()):
        return None
    operands = [spread_operand(call, fills, k) for k in range(len(call.op.operands))]
    tensors = [operand for operand in operands if operand is not None]
    if len(tensors) < len(operands):
        return None
    exact = name_of(call) in ROUNDING_FREE and argument(call.op, 2, "alpha", 1) == 1
    sizes = broadcast([operand.sizes for operand in tensors])
    return Applied(call.target, call.op.template.data, tuple(tensors), sizes, call.element), exact


def is_kept(element: Attribute, literal: float, among_zeros: bool) -> bool:
    """Is a literal not rounded? Beside zeros it is enough that it becomes neither 0 nor infinite."""
    return represents(element, literal) or (among_zeros and LEAST <= abs(literal) <= MOST)


def depends_on_sign(call: Call, k: int, fill: Fill) -> bool:
    """May an operand be 0 where the result depends on its sign? A dividend may, and so may the base of a power."""
    harmless = name_of(call) in DIVISIONS and call.op.operands[k] is call.tensor(0, "self")
    exponent = call.literal(1, "exponent") if call.target == "aten.pow.Tensor_Scalar" else None
    harmless |= call.target == "aten.pow.Scalar" or (exponent is not None and exponent >= 0)
    return not harmless and not (isinstance(fill, Number) and fill.value)


def spread_operand(call: Call, fills: Mapping[int, Fill], k: int) -> Fill | None:
    """Operand `k` as a tensor: its fill, or itself."""
    operand = call.op.operands[k]
    if not isinstance(operand.type, TensorType):
        return Whole(call.scope.var(operand), (), operand.type)
    if k not in fills:
        return whole(call, operand)
    return spread(fills[k], ones(shape(operand)), tensor_of(operand).element_type)


def number(call: Call, numbers: Mapping[int, float]) -> float | None:
    """The op on numbers, where it is exact: only with literals that are not rounded either."""

    def value(item: Argument) -> object:
        return numbers[item.index] if isinstance(item, Ref) else item

    template = call.op.template.data
    options = dict(template.kwargs)
    literals = [item for item in (*template.args, *options.values()) if type(item) is int or type(item) is float]
    elements = [tensor_of(operand).element_type for operand in call.op.operands]
    elements += [] if is_bool(call.result) else [call.element]
    if not all(is_kept(element, item, not any(numbers.values())) for element in elements for item in literals):
        return None
    return at(name_of(call), *map(value, template.args), **{name: value(item) for name, item in options.items()})


# -- zero by a factor ---------------------------------------------------------------------------------------------


def zeros_of(call: Call, known: Known, operand: SSAValue) -> Iterator[Part]:
    """Zero facts of an operand over the axes of the result; an integer or truth value is its own."""
    read_at = call.aligned(operand)
    if read_at is None:
        return
    found = list(known.zeros(operand))
    if is_mask(call, operand):
        found.append(Part(call.scope.truth(operand), binary=is_bool(operand)))
    for part in found:
        yield replace(part, predicate=call.scope.read(part.predicate, read_at, call.ranges))


def is_mask(call: Call, operand: SSAValue) -> bool:
    """Truth values, integers in a product of reals, and what comes from outside to be spread over more axes."""
    if is_bool(operand) or (is_integer(operand) and is_real(call.result)):
        return True
    source, _ = call.scope.root(operand)
    outside = source in call.scope.function.body.block.args
    here = [size for size in shape(operand) if size != 1]
    return outside and 0 < len(here) < len([size for size in shape(call.result) if size != 1])


def factors(call: Call, known: Known) -> Iterator[Part]:
    """x * y is 0 where x is, or y is, as long as the other is finite."""
    one, other = call.tensor(0, "self"), call.tensor(1, "other")
    if other is None and one is not None:
        scale = call.literal(1, "other")
        if scale == 0:
            yield finite(call, Part(NEVER), one)
        return
    if one is None or other is None:
        return
    left, right = list(zeros_of(call, known, one)), list(zeros_of(call, known, other))
    for a, b in product(left, right):
        if set(axes(a.predicate)) == set(axes(b.predicate)):
            both = a.with_other(b, a.predicate & b.predicate)
            yield finite(call, finite(call, both, one), other)
    yield from (finite(call, replace(part, binary=False), other) for part in left)
    yield from (finite(call, replace(part, binary=False), one) for part in right)


def finite(call: Call, part: Part, value: SSAValue) -> Part:
    """`part`, if `value` is finite: a condition, unless that is known, or truth is all that counts."""
    known = is_finite(call.scope, value) or name_of(call) == "logical_and"
    return part if known else part.and_needs(call.scope.var(value))


def least(call: Call, known: Known) -> Iterator[Part]:
    """min(x, y) of what is at least 0"""
    pair = [call.tensor(0, "self"), call.tensor(1, "other")]
    one, other = pair
    if one is None or other is None or not all(is_nonnegative(call.scope, value) for value in (one, other)):
        return
    yield from (finite(call, replace(part, binary=False), other) for part in zeros_of(call, known, one))
    yield from (finite(call, replace(part, binary=False), one) for part in zeros_of(call, known, other))


def quotient(call: Call, known: Known) -> Iterator[Part]:
    """0 / y for y > 0"""
    one, other = call.tensor(0, "self"), call.tensor(1, "other")
    if one is not None and other is not None and is_positive(call.scope, other):
        yield from (finite(call, replace(part, binary=False), other) for part in zeros_of(call, known, one))


def scaled(call: Call, known: Known) -> Iterator[Part]:
    """prelu: 0 * weight"""
    weight, one = call.tensor(1, "weight"), call.source()
    if weight is not None:
        yield from (finite(call, replace(part, binary=False), weight) for part in zeros_of(call, known, one))


def sum_and_product(call: Call, known: Known) -> Iterator[Part]:
    """addcmul: x + value * y * z; addcdiv: x + value * y / z for z > 0"""
    tensors = [call.tensor(place) for place in range(3)]
    x, y, z = tensors
    value = call.literal(3, "value", 1)
    if x is None or y is None or z is None or value is None or not math.isfinite(value):
        return
    divides = name_of(call) == "addcdiv"
    if divides and not is_positive(call.scope, z):
        return
    for base in zeros_of(call, known, x):
        terms: Iterable[tuple[SSAValue, SSAValue]] = [(y, z)] if divides else [(y, z), (z, y)]
        for factor, other in terms:
            for part in zeros_of(call, known, factor):
                together = base.with_other(part, base.predicate | part.predicate)
                yield finite(call, replace(together, binary=False), other)


def interpolated(call: Call, known: Known) -> Iterator[Part]:
    """lerp: x + w * (y - x) where x and y are 0, for finite w"""
    x, y, weight = call.tensor(0), call.tensor(1), call.tensor(2)
    if x is None or y is None or weight is None:
        return
    for one, other in product(zeros_of(call, known, x), zeros_of(call, known, y)):
        both = one.with_other(other, one.predicate | other.predicate)
        yield finite(call, replace(both, binary=False), weight)


UNARY = (
    "neg abs sign sgn square sqrt tanh sin tan asin atan sinh asinh atanh erf erfinv expm1 log1p floor ceil round "
    "trunc frac relu relu6 gelu silu mish elu selu celu leaky_relu softsign tanhshrink hardshrink softshrink hardswish "
    "nan_to_num _to_copy exp exp2 cos cosh acos acosh erfc sigmoid hardsigmoid softplus log_sigmoid sinc i0 rsqrt log "
    "log2 log10 lgamma digamma reciprocal logical_not bitwise_not isfinite isinf isnan logit clamp clamp_min clamp_max "
    "hardtanh threshold special_expm1 deg2rad rad2deg"
)
BINARY = (
    "add sub rsub mul div true_divide floor_divide remainder fmod pow eq ne gt ge lt le maximum minimum fmax fmin "
    "hypot logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor __and__ __or__ __xor__ heaviside "
    "xlogy logaddexp"
)
OTHERS = (
    "aten.round.decimals aten.div.Tensor_mode aten.div.Scalar_mode aten.pow.Tensor_Scalar aten.pow.Tensor_Tensor "
    "aten.clamp.Tensor aten.lerp.Scalar aten.lerp.Tensor aten.addcmul.default aten.addcdiv.default aten.to.dtype "
    "aten.max.other aten.min.other aten.pow.Scalar aten.dropout.default aten.feature_dropout.default "
    "aten.bernoulli.default"
)
register_rule(factors, "aten.mul.Tensor", "aten.mul.Scalar", "aten.logical_and.default", "aten.bitwise_and.Tensor",
              "aten.__and__.Tensor")  # fmt: skip
register_rule(least, "aten.minimum.default", "aten.min.other", "aten.fmin.default")
register_rule(quotient, "aten.div.Tensor", "aten.true_divide.Tensor")
register_rule(scaled, "aten.prelu.default")
register_rule(sum_and_product, "aten.addcmul.default", "aten.addcdiv.default")
register_rule(interpolated, "aten.lerp.Tensor")
register_rule(elementwise, *(f"aten.{name}.default" for name in UNARY.split()))
register_rule(
    elementwise, *(f"aten.{name}.{form}" for name in BINARY.split() for form in ("Tensor", "Scalar", "default"))
)
register_rule(elementwise, *OTHERS.split())
