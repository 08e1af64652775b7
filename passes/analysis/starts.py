"""Tensors of one number: what states start from.

aten.full([%b, 4], 0.5)   0.5          aten.zeros_like(%x)   0.0
"""

from xdsl.ir import SSAValue

from ...dialects.aten import CallOp
from .calls import argument, target

FILLS: dict[str, int | float] = {
    "aten.full.default": 1,
    "aten.full_like.default": 1,
    "aten.new_full.default": 2,
    "aten.zeros.default": 0.0,
    "aten.zeros_like.default": 0.0,
    "aten.new_zeros.default": 0.0,
}
"""The place of the number among a call's arguments, an int; or the number itself, a float."""


def start_number(value: SSAValue) -> float | None:
    """The number that every element of a value is; None where that is computed."""
    op = value.owner
    if not isinstance(op, CallOp) or (found := FILLS.get(target(op) or "")) is None:
        return None
    number = argument(op, found, "fill_value") if isinstance(found, int) else found
    return float(number) if isinstance(number, int | float) else None
