"""When an expression has the very values of a tensor, whatever its element type rounds, wraps or refuses.

    x0 + 1 over [5] in i64      1 .. 5: exact                  %m + 1 in i64         may overflow: not seen through
    x0 over [300] in bf16       257 is no bf16: not exact      %m: i64 in f32        `number`: zero where %m is zero
    -1.0 * 0.1 in f32           a constant, rounded to f32     where(..) + where(..) rounded: not to be compared

Expressions compute with exact numbers. An axis whose size is not known has at most 2^31 positions.
"""

from collections.abc import Callable

from xdsl.dialects.builtin import IntegerType, bf16, f16, i1
from xdsl.ir import Attribute

from ..solvers.index_expr import (
    Apply,
    Axis,
    Constant,
    Element,
    Expr,
    apply,
    is_boolean,
    is_constant_choice,
)
from ..solvers.sizes import Size
from .element_types import FLOATS, Number, computed, held, whole

Limits = tuple[int, int]
NARROW = (f16, bf16)
"""Types whose ops take constants in single precision."""

LONGEST = 2**31


def spread(name: str, a: Limits, b: Limits) -> Limits:
    """The limits of a + b, a - b or a * b."""
    match name:
        case "add":
            return a[0] + b[0], a[1] + b[1]
        case "sub":
            return a[0] - b[1], a[1] - b[0]
        case _:
            products = [x * y for x in a for y in b]
            return min(products), max(products)


def limits(e: Expr, sizes: tuple[Size, ...], element: Callable[[Element], Attribute]) -> Limits | None:
    """The least and greatest value of `e`; None where it is not always an integer, or not known."""
    match e:
        case Axis(number):
            size = sizes[number]
            return 0, max(0, size - 1 if isinstance(size, int) else LONGEST - 1)
        case Constant(value):
            return (
                (int(value), int(value)) if value == value and value not in INFINITE and value == int(value) else None
            )
        case Element():
            return None if element(e) in FLOATS else whole(element(e))
        case Apply("add" | "sub" | "mul" as name, (a, b)):
            one, other = limits(a, sizes, element), limits(b, sizes, element)
            return None if one is None or other is None else spread(name, one, other)
        case Apply("where", (_, a, b)):
            one, other = limits(a, sizes, element), limits(b, sizes, element)
            return None if one is None or other is None else (min(one[0], other[0]), max(one[1], other[1]))
        case Apply("number", (inner,)) if not is_boolean(inner):
            return None
        case _:
            return 0, 1


INFINITE = (float("inf"), float("-inf"))


def fits(found: Limits | None, type: Attribute) -> bool:
    """Does the type hold every integer between these limits?"""
    room = whole(type)
    return found is not None and room is not None and room[0] <= found[0] and found[1] <= room[1]


def constants(e: Expr, change: Callable[[Number], Number | None]) -> Expr | None:
    """A constant, or a choice between two, with each changed; None where one cannot be."""
    if isinstance(e, Constant):
        value = change(e.value)
        return None if value is None else Constant(value)
    assert isinstance(e, Apply)
    choice, *parts = e.operands
    changed = [constants(part, change) for part in parts]
    if any(part is None for part in changed):
        return None
    return apply("where", choice, *(part for part in changed if part is not None))


def widens(before: Attribute, after: Attribute) -> bool:
    """Does the float type `after` hold every number of the float type `before`?"""
    return all(b <= a for b, a in zip(FLOATS[before], FLOATS[after], strict=True))


def converted(e: Expr, before: Attribute, after: Attribute, found: Limits | None) -> Expr | None:
    """`e`, an expression of elements of one type with these limits, in another type; None where nothing is known.

    Where a number may change, but zero only comes of zero, it becomes `number` of itself.
    """
    if before == after:
        return e
    if after == i1:
        return apply("nz", e)
    if isinstance(e, Constant) or is_constant_choice(e):
        return constants(e, lambda value: held(value, after))
    if before == i1 or fits(found, after):
        return e
    if before in FLOATS:
        return e if after in FLOATS and widens(before, after) else None
    if after in FLOATS:
        return apply("number", e)
    narrower = (
        isinstance(before, IntegerType) and isinstance(after, IntegerType) and after.width.data < before.width.data
    )
    return None if narrower else apply("number", e)


def lossless(value: Number, type: Attribute) -> Number | None:
    """`value` as a constant operand of an op on elements of `type`; None where a narrow float would round it."""
    found = held(value, type)
    return None if type in NARROW and found != value and value == value else found


def is_exact(e: Expr, limited: Callable[[Expr], Limits | None], type: Attribute, *, truth: bool = False) -> bool:
    """Has `e`, of a tensor of `type`, its exact values? With `truth`: is it zero where the tensor is?"""
    match e:
        case Apply("number", (inner,)):
            return truth or is_boolean(inner)
        case Apply("add" | "sub" | "mul", _):
            return fits(limited(e), type)
        case Apply("where", (_, a, b)):
            return is_exact(a, limited, type, truth=truth) and is_exact(b, limited, type, truth=truth)
        case _:
            return True


def settled(e: Expr, type: Attribute, found: Limits | None) -> Expr | None:
    """`e`, made by one op from exact operands, as elements of `type` hold it; None where an integer may overflow."""
    return as_held(e, type) if type in FLOATS or fits(found, type) else None


def as_held(e: Expr, type: Attribute) -> Expr:
    """`e` with the constants that it comes down to rounded to a float type: reading a sum at one index adds them up."""
    if type not in FLOATS or not (isinstance(e, Constant) or is_constant_choice(e)):
        return e
    return constants(e, lambda value: computed(value, type)) or e
