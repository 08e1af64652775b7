"""Integers that can be seen through: positions, constants and arithmetic on them.

    %a = aten.arange(%s0)            i0
    %q = aten.unsqueeze(%a, 1)       i0
    %d = aten.sub(%k, %q)            i1 - i0
    %n = aten.add(%lengths, 1)       %lengths[i0] + 1

64-bit integers are taken not to overflow.
"""

from collections.abc import Callable

from xdsl.dialects.builtin import IntegerType, i64

from ...dialects.aten import tensor_of
from .calls import argument
from .fact_scope import NUMBERS, Call, Numbers, is_bool, is_integer, position
from .index_arithmetic import quotient, remainder, substitute
from .indices import Index, at_positions

# -- constants ----------------------------------------------------------------------------------------------------

ZEROS = "zeros zeros_like new_zeros"
ONES = "ones ones_like new_ones"
FULLS: dict[str, int] = {"full": 1, "full_like": 1, "new_full": 2, "scalar_tensor": 0}
"""Where the value stands."""


def constant_of(call: Call) -> float | None:
    """The number that a constant tensor holds, as given."""
    name = call.target.split(".")[1]
    if name in FULLS:
        return call.literal(FULLS[name], "fill_value")
    return 0 if name in ZEROS.split() else 1


# -- integers -----------------------------------------------------------------------------------------------------


def arange(call: Call) -> Index | None:
    """start + step * i0"""
    place = {"aten.arange.default": None, "aten.arange.start": 0, "aten.arange.start_step": 0}[call.target]
    start = Index() if place is None else call.size(place, "start")
    step = call.size(2, "step", 1) if call.target == "aten.arange.start_step" else Index.of(1)
    return None if start is None or step is None else start + step * position(0)


def integer_operand(call: Call, place: int, name: str = "other") -> Index | None:
    """An operand of an integer op: a tensor that broadcasts, or a number."""
    value = call.tensor(place, name)
    if value is None:
        return call.size(place, name)
    at = call.aligned(value)
    if at is None or not is_integer(value):
        return None
    return substitute(call.scope.number(value), at_positions(at), call.ranges)


def arithmetic(compute: Callable[[Index, Index], Index]) -> Numbers:
    """An op on two integers."""

    def rule(call: Call) -> Index | None:
        left, right = integer_operand(call, 0, "self"), integer_operand(call, 1)
        if left is None or right is None or call.element != i64 or argument(call.op, 2, "alpha", 1) != 1:
            return None
        return compute(left, right)

    return rule


def by_number(compute: Callable[..., Index]) -> Numbers:
    """Division by a positive number."""

    def rule(call: Call) -> Index | None:
        left, right = integer_operand(call, 0, "self"), call.literal(1, "other")
        if left is None or not isinstance(right, int) or right < 1:
            return None
        return compute(left, Index.of(right), call.ranges)

    return rule


def same_integer(call: Call) -> Index | None:
    """A cast between integers that keeps the number."""
    before, after = tensor_of(call.source()).element_type, call.element
    if not isinstance(before, IntegerType) or not isinstance(after, IntegerType) or is_bool(call.source()):
        return None
    return call.scope.number(call.source()) if after.width.data > before.width.data else None


def constant_integer(call: Call) -> Index | None:
    value = constant_of(call)
    return Index.of(value) if isinstance(value, int) else None


NUMBERS.update(dict.fromkeys(("aten.arange.default", "aten.arange.start", "aten.arange.start_step"), arange))
NUMBERS.update({f"aten.{name}.default": constant_integer for name in (*ZEROS.split(), *ONES.split(), *FULLS)})
NUMBERS.update({
    "aten.add.Tensor": arithmetic(lambda a, b: a + b), "aten.add.Scalar": arithmetic(lambda a, b: a + b),
    "aten.sub.Tensor": arithmetic(lambda a, b: a - b), "aten.sub.Scalar": arithmetic(lambda a, b: a - b),
    "aten.rsub.Scalar": arithmetic(lambda a, b: b - a), "aten.mul.Tensor": arithmetic(lambda a, b: a * b),
    "aten.floor_divide.default": by_number(quotient), "aten.remainder.Scalar": by_number(remainder),
    "aten._to_copy.default": same_integer, "aten.to.dtype": same_integer,
})  # fmt: skip
