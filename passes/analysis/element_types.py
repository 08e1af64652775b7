"""What element types hold, and which of them a computation uses.

    held(0.5, i64) == 0            held(2, i1) is True         held(0.1, f32) == 0.10000000149011612
    held(300, i8) is None          held(nan, i64) is None      held(1e40, f32) is None: torch refuses these
    whole(f16) == (-2048, 2048)    promoted([(i64, 2), (f32, 0)]) is f32

A number stands for what an element holds only if it went through the element's type. Source: c10/core/ScalarType.h
and the promotion rules of torch's documentation (`torch.result_type`).
"""

import math
from collections.abc import Sequence
from fractions import Fraction

from xdsl.dialects.builtin import IntegerType, Signedness, bf16, f16, f32, f64, i1, i8, i16, i32, i64
from xdsl.ir import Attribute

Number = bool | int | float

ui8 = IntegerType(8, Signedness.UNSIGNED)
SIGNED: tuple[Attribute, ...] = (i8, i16, i32, i64)
FLOATS: dict[Attribute, tuple[int, int]] = {f64: (53, 1023), f32: (24, 127), f16: (11, 15), bf16: (8, 127)}
"""Binary digits of a number, and its largest exponent."""


def is_float(type: Attribute) -> bool:
    """A real floating-point type?"""
    return type in FLOATS


def lowest_of(type: Attribute) -> float:
    """torch.finfo(dtype).min of a floating-point type; -inf for any other."""
    if type not in FLOATS:
        return -math.inf
    digits, largest = FLOATS[type]
    return -(2.0 - 2.0 ** (1 - digits)) * 2.0**largest


def whole(type: Attribute) -> tuple[int, int] | None:
    """The least and greatest integer of a range that the type holds without rounding; None for no real number."""
    if type in FLOATS:
        most = 2 ** FLOATS[type][0]
        return -most, most
    if type == i1:
        return 0, 1
    if type == ui8:
        return 0, 255
    if type in SIGNED and isinstance(type, IntegerType):
        most = 2 ** (type.width.data - 1)
        return -most, most - 1
    return None


def rounded(value: float, type: Attribute) -> float:
    """The nearest number of a floating-point type, ties to even; infinite past the largest."""
    digits, largest = FLOATS[type]
    if not math.isfinite(value) or value == 0:
        return value
    exponent = max(math.frexp(value)[1], 2 - largest)
    unit = Fraction(2) ** (exponent - digits)
    nearest = round(Fraction(value) / unit) * unit
    return math.copysign(math.inf, value) if abs(nearest) >= 2 ** (largest + 1) else float(nearest)


def held(value: Number, type: Attribute) -> Number | None:
    """What an element of `type` holds when it is set to `value`; None where that is refused, or not known."""
    if type == i1:
        return bool(value)
    if type in FLOATS:
        try:
            found = rounded(float(value), type)
        except OverflowError:
            return None
        return None if math.isinf(found) and not math.isinf(value) else found
    limits = whole(type)
    if limits is None or not math.isfinite(value):
        return None
    return int(value) if limits[0] <= int(value) <= limits[1] else None


def computed(value: Number, type: Attribute) -> Number | None:
    """`value`, the exact result of one operation on elements of `type`, as it comes out; None for an overflow.

    Narrow floats are computed in single precision first.
    """
    if type in FLOATS:
        return rounded(rounded(float(value), f32), type) if type in (f16, bf16) else rounded(float(value), type)
    return held(value, type)


def join(one: Attribute, other: Attribute) -> Attribute | None:
    """The type that holds numbers of both, as torch sees it."""
    if one == other:
        return one
    if i1 in (one, other):
        return other if one == i1 else one
    floats = [type for type in (one, other) if type in FLOATS]
    if len(floats) == 1:
        return floats[0]
    if floats:
        return f32 if set(floats) == {f16, bf16} else max(floats, key=lambda type: FLOATS[type][0])
    if ui8 in (one, other):
        signed = other if one == ui8 else one
        return i16 if signed == i8 else signed
    return max(one, other, key=SIGNED.index)


def rank_of(type: Attribute) -> int:
    """Truth values, integers, floats."""
    return 0 if type == i1 else 2 if type in FLOATS else 1


def promoted(operands: Sequence[tuple[Attribute, int | None]]) -> Attribute | None:
    """The type that an elementwise op computes in; None where it is not known.

    An operand is a type and the number of its axes; None for a literal. Tensors without axes, and literals after
    them, count where they are of a higher kind only (truth values, integers, floats).
    """
    if any(whole(type) is None for type, _ in operands):
        return None
    found: Attribute | None = None
    for belongs in (lambda axes: axes, lambda axes: axes == 0, lambda axes: axes is None):
        level: Attribute | None = None
        for type in (type for type, axes in operands if belongs(axes)):
            level = type if level is None else join(level, type)
            if level is None:
                return None
        if level is not None and (found is None or rank_of(level) > rank_of(found)):
            found = level
    return found


def literal_type(value: Number) -> Attribute:
    """The type of a literal, with torch's default of single precision."""
    return i1 if isinstance(value, bool) else i64 if isinstance(value, int) else f32
