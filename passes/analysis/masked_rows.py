"""Ops that set whole rows to one known value: where rows stop mattering going forward.

    %y = aten.mul(%x, %m)                   rows where m = 0 hold 0        (if x is finite there)
    %y = aten.masked_fill(%x, %m, 0.0)      rows where m holds 0.0
    %y = aten.where(%m, %x, 0.0)            rows where m does not hold 0.0

The row form of the forward facts (`facts.py`), for masks over leading axes; `insert-gathers` starts a packed region
with a fill there. Source: research on dynamic sparsity, table 3.2.
"""

from dataclasses import dataclass

from xdsl.ir import SSAValue

from ...dialects.aten import CallOp
from ...dialects.layout import Layout
from ..solvers.index_expr import Expr, apply, axes_of
from .calls import argument, shape
from .index_view import IndexView
from .live_rules import row_mask
from .rows import flow_from_operand


@dataclass(frozen=True)
class MaskedRows:
    """`op` gives rows outside `rows` the value `fill`; `layout` says which axes of its result are rows."""

    op: CallOp
    layout: Layout
    rows: Expr
    fill: float


def masked_rows(view: IndexView, op: CallOp) -> MaskedRows | None:
    """What `op` says of rows; None when it sets none."""
    to = shape(op.results[0]) if len(op.results) == 1 and op.target.data in READERS else ()
    if not to:
        return None
    mask_at, fill, holds = READERS[op.target.data]
    for position in mask_at:
        mask = argument(op, position, "")
        value = fill if isinstance(fill, float) else argument(op, fill, "")
        if not isinstance(mask, SSAValue) or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        rows = row_mask(view, mask, to)
        if rows is not None:
            leading = max(axes_of(rows)) + 1
            kept = rows if holds else apply("not", rows)
            return MaskedRows(op, Layout.leading(leading, len(to)), kept, float(value))
    return None


READERS: dict[str, tuple[tuple[int, ...], float | int, bool]] = {
    "aten.mul.Tensor": ((0, 1), 0.0, True),
    "aten.masked_fill.Scalar": ((1,), 2, False),
    "aten.where.ScalarOther": ((0,), 2, True),
}
"""Where the mask may stand, the fill (a number, or its argument's position), and whether it holds where rows stay."""


def feeds(value: SSAValue, layout: Layout, space: tuple, targets: frozenset[str], depth: int = 40) -> bool:
    """Does `value` reach one of `targets` through row-wise ops alone?"""
    for use in value.uses:
        op = use.operation
        if depth == 0 or not isinstance(op, CallOp) or len(op.results) != 1:
            continue
        flow = flow_from_operand(op, use.index, layout, space)
        if flow is None or any(part is not None for k, part in enumerate(flow.operands) if k != use.index):
            continue
        if op.target.data in targets or feeds(op.results[0], flow.results[0], space, targets, depth - 1):
            return True
    return False
