"""What is known of the numbers in a tensor: finite, at least 0, above 0 (each "or NaN" but the first).

finite      truth values and integers, also as reals; constants
at least 0  relu, abs, square, exp, sigmoid, softmax, sums and products of such
above 0     clamp(x, min = 1e-6), x + 1e-6 of what is at least 0, its square root
"""

import math

from xdsl.dialects.builtin import Float16Type, IntegerType, TensorType
from xdsl.ir import SSAValue

from ...dialects.aten import tensor_of
from .calls import argument
from .fact_fills import represents
from .fact_integers import FULLS, ONES, ZEROS, constant_of
from .fact_scope import Call, Scope, call_of, is_bool

CONSTANTS = frozenset(f"aten.{name}.default" for name in (*ZEROS.split(), *ONES.split(), *FULLS))
CASTS = ("aten._to_copy.default", "aten.to.dtype")
NONNEGATIVE = frozenset((
    "relu relu6 abs square exp exp2 sigmoid hardsigmoid softmax _softmax sqrt one_hot linalg_vector_norm rsqrt "
    "softplus count_nonzero cosh logical_not bernoulli var std"
).split())  # fmt: skip
KEEPING = frozenset("sum mean amax amin cumsum max_pool2d avg_pool2d max_pool1d avg_pool1d div _to_copy to".split())
"""At least 0 when all tensors they are given are."""
DEPTH = 8
"""How many ops back a question goes."""
LEAST, TINY = 1e-7, 1e-37
"""No real type rounds the first to 0; none but float16 does the second."""


def is_finite(scope: Scope, value: SSAValue) -> bool:
    """Is every number of `value` finite, whatever the inputs are?"""
    value, _ = scope.root(value)
    element = tensor_of(value).element_type
    if isinstance(element, IntegerType):
        return True
    call = call_of(scope, value)
    if call is None:
        return False
    if call.target in CASTS:
        before = tensor_of(call.source()).element_type
        narrow = isinstance(element, Float16Type) and isinstance(before, IntegerType) and before.width.data > 8
        return isinstance(before, IntegerType) and not narrow
    given = constant_of(call) if call.target in CONSTANTS else None
    return given is not None and represents(element, given) and math.isfinite(given)


def is_nonnegative(scope: Scope, value: SSAValue, depth: int = DEPTH) -> bool:
    """Is every number of `value` at least 0, or NaN?"""
    value, _ = scope.root(value)
    if isinstance(value.type, TensorType) and is_bool(value):
        return True
    call = call_of(scope, value)
    if call is None or not depth:
        return False
    name = call.target.split(".")[1]
    if name in ("clamp", "clamp_min", "hardtanh"):
        return (least := call.literal(1, "min", None)) is not None and least >= 0
    if name in ("add", "mul", *KEEPING):
        return all(is_nonnegative(scope, operand, depth - 1) for operand in call.op.operands) and literals_at_least(
            call, 0
        )
    if name == "pow":
        return call.literal(1, "exponent") in (2, 4)
    return name in NONNEGATIVE


def is_positive(scope: Scope, value: SSAValue, depth: int = DEPTH) -> bool:
    """Is every number of `value` above 0, or NaN?"""
    value, _ = scope.root(value)
    call = call_of(scope, value)
    if call is None or not depth:
        return False
    name = call.target.split(".")[1]
    if name in ("clamp", "clamp_min"):
        least = call.literal(1, "min", None)
        return least is not None and least >= least_of(value)
    if name == "add":
        shift = call.literal(1, "other", None)
        whole = argument(call.op, 2, "alpha", 1) == 1
        return (
            shift is not None and whole and shift >= least_of(value) and is_nonnegative(scope, call.source(), depth - 1)
        )
    return name == "sqrt" and is_positive(scope, call.source(), depth - 1)


def least_of(value: SSAValue) -> float:
    """A number that the type of `value` does not round to 0."""
    return LEAST if isinstance(tensor_of(value).element_type, Float16Type) else TINY


def literals_at_least(call: Call, least: float) -> bool:
    """Are all numbers written into the call at least `least`?"""
    numbers = (a for a in (*call.op.template.data.args, *dict(call.op.template.data.kwargs).values()))
    return all(number >= least for number in numbers if isinstance(number, int | float))
