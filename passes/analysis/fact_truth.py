"""Truth values that can be seen through: casts, comparisons, logic, reductions.

    %t = aten.le(%k, %q)                              i0 >= i1        where %k, %q are positions
    %f = aten._to_copy(%mask, dtype = torch.float32)  nz(%mask)
    %z = aten.eq(%ids, 0)                             not nz(%ids)
    %g = aten.gt(%x, 0.5)                             %x > 0.5
    %a = aten.logical_and(%t, %z)                     i0 >= i1 and not nz(%ids)

Each rule is an equivalence, NaN, Inf and -0.0 included: the result is not zero exactly where its truth holds.
"""

import math
import operator
from collections.abc import Callable

from xdsl.dialects.builtin import IntegerType
from xdsl.ir import SSAValue

from ...dialects.aten import tensor_of
from .calls import argument
from .fact_fills import represents
from .fact_integers import FULLS, ONES, ZEROS, constant_of, integer_operand
from .fact_scope import TRUTHS, Call, Scope, Truths, call_of, is_bool, is_integer, position
from .indices import Axis, Index
from .predicates import ALWAYS, NEVER, Compare, Constant, Predicate, at_least, equal, exists, negation

RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le, "eq": operator.eq,
}  # fmt: skip

EXACT = 2**20
"""Integers are compared with a number up to here as they are, even if it makes torch compare real numbers."""

SMALL = 64
"""A number up to here is exact in every element type, and no other integer is rounded to it."""


def constant_truth(call: Call) -> Predicate | None:
    """Only what no element type rounds to zero."""
    value = constant_of(call)
    return Constant(value != 0) if value is not None and (value == 0 or abs(value) >= 1) else None


# -- truth values -------------------------------------------------------------------------------------------------


def cast(call: Call) -> Predicate | None:
    """To bool, and from bool or a narrow enough integer to anything, zero stays zero and nothing else becomes it."""
    source = call.source()
    before, after = tensor_of(source).element_type, call.element
    widens = isinstance(before, IntegerType) and not (
        isinstance(after, IntegerType) and after.width.data < before.width.data
    )
    return call.scope.truth(source) if is_bool(call.result) or widens else None


def compare(scope: Scope, value: SSAValue, relation: str, constant: float) -> Predicate:
    """`value` in `relation` to a number, over all axes of `value`."""
    holds = RELATIONS[relation]
    if is_bool(value):
        for_false, for_true = holds(0, constant), holds(1, constant)
        truth = scope.truth(value)
        return Constant(for_true) if for_true == for_false else truth if for_true else ~truth
    if is_integer(value) and abs(constant) <= EXACT:
        return compare_integer(scope.number(value), relation, constant)
    source, at = scope.root(value)
    uncast = cast_from(scope, source) if abs(constant) <= SMALL else None
    if uncast is not None:
        return scope.read(compare(scope, uncast, relation, constant), at, scope.ranges(value))
    if relation == "eq" and constant == 0:
        return ~scope.truth(value)
    return Compare(scope.var(source), relation, float(constant), at)


def cast_from(scope: Scope, value: SSAValue) -> SSAValue | None:
    """The integers or truth values of which `value` is a copy in a real type."""
    call = call_of(scope, value)
    if call is None or call.target not in ("aten._to_copy.default", "aten.to.dtype"):
        return None
    return call.source() if is_integer(call.source()) or is_bool(call.source()) else None


def compare_integer(number: Index, relation: str, constant: float) -> Predicate:
    """An integer in `relation` to a finite number."""
    floor, ceiling = math.floor(constant), math.ceil(constant)
    match relation:
        case "eq":
            return equal(number, floor) if floor == ceiling else NEVER
        case "gt":
            return at_least(number - floor - 1)
        case "ge":
            return at_least(number - ceiling)
        case "lt":
            return at_least(-number + ceiling - 1)
        case _:
            return at_least(-number + floor)


def with_number(relation: str, negated: bool = False) -> Truths:
    """A comparison of a tensor with a number."""

    def rule(call: Call) -> Predicate | None:
        constant = call.literal(1, "other")
        if constant is None:
            return None
        found = compare(call.scope, call.source(), relation, constant)
        return ~found if negated else found

    return rule


def between_tensors(relation: str, negated: bool = False) -> Truths:
    """A comparison of integers, or of truth values with `eq` and `ne`; with a number where `other` is one."""

    def rule(call: Call) -> Predicate | None:
        other = call.tensor(1, "other")
        if other is None:
            return with_number(relation, negated)(call)
        if relation == "eq" and is_bool(call.source()) and is_bool(other):
            return parity(call) if negated else negation(parity(call) or ALWAYS)
        left, right = integer_operand(call, 0, "self"), integer_operand(call, 1)
        if left is None or right is None:
            return None
        difference = right - left if relation in ("lt", "le") else left - right
        strict = int(relation in ("lt", "gt"))
        found = at_least(difference - strict, call.ranges) if relation != "eq" else equal(left, right, call.ranges)
        return ~found if negated else found

    return rule


def operands(call: Call) -> tuple[Predicate, Predicate] | None:
    """The truth of both operands at the positions of the result."""
    left, right = call.tensor(0, "self"), call.tensor(1, "other")
    one, other = (None if value is None else call.truth(value) for value in (left, right))
    return None if one is None or other is None else (one, other)


def conjunction(call: Call) -> Predicate | None:
    both = operands(call)
    return None if both is None else both[0] & both[1]


def disjunction(call: Call) -> Predicate | None:
    both = operands(call)
    return None if both is None else both[0] | both[1]


def parity(call: Call) -> Predicate | None:
    """One or the other, not both."""
    both = operands(call)
    return None if both is None else (both[0] & ~both[1]) | (~both[0] & both[1])


def opposite(call: Call) -> Predicate | None:
    return ~call.scope.truth(call.source())


def on_truth_values(rule: Truths) -> Truths:
    """Bitwise ops and products are logic on truth values only."""
    return lambda call: rule(call) if is_bool(call.result) else None


def complement(call: Call) -> Predicate | None:
    """1 - x is zero exactly where x is 1."""
    constant = call.literal(1, "other")
    if constant is None or not represents(call.element, constant) or argument(call.op, 2, "alpha", 1) != 1:
        return None
    return negation(compare(call.scope, call.source(), "eq", constant))


def choice(call: Call) -> Predicate | None:
    """where(c, a, b) on truth values or numbers."""
    condition = call.tensor(0, "condition")
    truth = None if condition is None else call.truth(condition)
    options = [option_truth(call, place) for place in (1, 2)]
    if truth is None or options[0] is None or options[1] is None:
        return None
    return (truth & options[0]) | (~truth & options[1])


def option_truth(call: Call, place: int) -> Predicate | None:
    value, literal = call.tensor(place), call.literal(place, "")
    if value is not None:
        return call.truth(value)
    return None if literal is None or 0 < abs(literal) < 1 else Constant(literal != 0)


def triangle(sign: int) -> Truths:
    """tril (sign 1) keeps columns up to the diagonal, triu (sign -1) from it on."""

    def rule(call: Call) -> Predicate | None:
        shift = call.literal(1, "diagonal", 0)
        if not isinstance(shift, int):
            return None
        row, column = position(call.rank - 2), position(call.rank - 1)
        return call.scope.truth(call.source()) & at_least((row - column + shift) * sign, call.ranges)

    return rule


def one_hot(call: Call) -> Predicate | None:
    """Class i of entry .. is on where the entry is i."""
    return equal(call.scope.number(call.source()), position(call.rank - 1), call.ranges)


def any_of(call: Call) -> Predicate | None:
    """Is something not zero along the reduced axes?"""
    source = call.source()
    axes = call.axes(1, rank=len(call.scope.sizes(source)))
    return None if axes is None else quantified(call, call.scope.truth(source), source, axes)


def all_of(call: Call) -> Predicate | None:
    source = call.source()
    axes = call.axes(1, rank=len(call.scope.sizes(source)))
    return None if axes is None else ~quantified(call, ~call.scope.truth(source), source, axes)


def quantified(call: Call, predicate: Predicate, source: SSAValue, axes: tuple[int, ...]) -> Predicate:
    """Does `predicate` on `source` hold somewhere along `axes`? On the axes of the result, which may lack those."""
    sizes, ranges = call.scope.sizes(source), call.scope.ranges(source)
    for axis in sorted(axes, reverse=True):
        predicate = exists(predicate, Axis(axis), sizes[axis], ranges)
    kept = [axis for axis in range(len(sizes)) if axis not in axes]
    to = kept if call.rank == len(sizes) else range(len(kept))
    at = [Index()] * len(sizes)
    for axis, number in zip(kept, to, strict=True):
        at[axis] = position(number)
    return call.scope.read(predicate, tuple(at), call.ranges)


TRUTHS.update({f"aten.{name}.default": constant_truth for name in (*ZEROS.split(), *ONES.split(), *FULLS)})
TRUTHS.update({f"aten.{name}.Scalar": with_number(name) for name in RELATIONS})
TRUTHS.update({f"aten.{name}.Tensor": between_tensors(name) for name in RELATIONS})
TRUTHS.update({"aten.ne.Scalar": with_number("eq", True), "aten.ne.Tensor": between_tensors("eq", True)})
TRUTHS.update({
    "aten._to_copy.default": cast, "aten.to.dtype": cast, "aten.logical_not.default": opposite,
    "aten.bitwise_not.default": on_truth_values(opposite), "aten.logical_and.default": conjunction,
    "aten.logical_or.default": disjunction, "aten.logical_xor.default": parity,
    "aten.rsub.Scalar": complement, "aten.sub.Scalar": complement, "aten.sub.Tensor": complement,
    "aten.one_hot.default": one_hot,
    "aten.where.self": on_truth_values(choice), "aten.where.ScalarOther": choice, "aten.where.ScalarSelf": choice,
    "aten.tril.default": triangle(1), "aten.triu.default": triangle(-1),
    "aten.any.dim": any_of, "aten.any.dims": any_of, "aten.any.default": any_of,
    "aten.all.dim": all_of, "aten.all.dims": all_of, "aten.all.default": all_of,
})  # fmt: skip
for _name, _rule in (("and", conjunction), ("or", disjunction), ("xor", parity)):
    for _form in (f"aten.bitwise_{_name}.Tensor", f"aten.__{_name}__.Tensor"):
        TRUTHS[_form] = on_truth_values(_rule)
TRUTHS["aten.mul.Tensor"] = on_truth_values(conjunction)
