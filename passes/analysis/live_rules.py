"""What an op reads of its operands, given what is read of its result: the rules of liveness, in tables.

    %p = aten.select(%x, 1, 0)                    %x: position 0, or what is read already
    %a = aten.sdpa(%q, %k, %v, %m)                %q: the same rows; %k, %v: the rows that %m does not hide
    %z = aten.mul(%x, %m)                         %x: rows where m != 0 (and %x is finite elsewhere)
    %n = aten.ones_like(%x)                       %x: nothing but its size

Ops without a rule here need what their row rule says (`rows.py`), or everything.
"""

from collections.abc import Callable
from dataclasses import replace

from xdsl.dialects.builtin import IntegerType, TensorType
from xdsl.ir import SSAValue

from ...dialects.aten import CallOp
from ...dialects.layout import Layout
from ..solvers.index_expr import TRUE, Axis, Constant, Expr, apply, axes_of, is_mask
from ..solvers.sizes import Size
from .attention import ATTENTION, read_attention
from .calls import argument, integer, rank, shape
from .index_view import IndexView
from .live import WHOLE, Live, Liveness, Needs
from .row_shapes import axis_of
from .rows import flow_from_result

SIZES_ONLY = {
    f"aten.{name}"
    for name in (
        "zeros_like.default ones_like.default full_like.default empty_like.default new_zeros.default new_ones.default "
        "new_full.default new_empty.default sym_size.int sym_size.default sym_numel.default sym_stride.int "
        "sym_stride.default sym_storage_offset.default"
    ).split()
}
"""Calls that read the sizes of their operand and none of its elements."""


def by_rows(op: CallOp, state: Live | None) -> Needs | None:
    """Row-wise ops need the rows that are needed of them."""
    if state is None:
        return None
    flow = flow_from_result(op, 0, state.layout, state.space)
    if flow is None:
        return None
    return [
        replace(state, layout=layout) if layout is not None and len(layout.domain_axes) == len(state.space) else WHOLE
        for layout in flow.operands
    ]


HEADS_SECOND = Layout.parse("i a j b")
"""[sequence, heads, position, width]: how queries, keys and values of attention are laid out."""


def attention(found: Liveness, op: CallOp, state: Live | None) -> Needs | None:
    """Queries: the rows of the result. Keys and values: the rows that the mask does not hide."""
    seen = read_attention(found.view, op, HEADS_SECOND if state is None else state.layout)
    if seen is None or op in found.refused:
        return None
    found.attentions[op] = seen
    rest: Needs = [WHOLE] * (len(op.operands) - 3)
    if seen.keys == TRUE:
        return [state, WHOLE, WHOLE, *rest]
    sizes = shape(op.operands[1])
    keys = Live(seen.layout, seen.keys, (sizes[0], sizes[2]), found.group())
    return [state, keys, keys, *rest]


def select(found: Liveness, op: CallOp, state: Live | None) -> Needs | None:
    """One position of an axis of several, of which nothing else is needed here."""
    axis, index = axis_of(op), integer(op, 2, "index")
    if state is not None or axis is None or index is None or not 1 <= axis < rank(op.operands[0]) - 1:
        return None
    sizes = shape(op.operands[0])
    size = sizes[axis]
    if size == 1 or (index < 0 and not isinstance(size, int)):
        return None
    if index < 0 and isinstance(size, int):
        index += size
    position = apply("eq", Axis(axis), Constant(index))
    layout = Layout.leading(axis + 1, len(sizes))
    return [Live(layout, position, sizes[: axis + 1], found.group())]


def where(found: Liveness, op: CallOp, state: Live | None) -> Needs | None:
    """where(c, a, b): a where c holds, b where it does not"""
    condition = argument(op, 0, "condition")
    return masked(found, op, state, condition, {1: False, 2: True}) if isinstance(condition, SSAValue) else None


def masked_fill(found: Liveness, op: CallOp, state: Live | None) -> Needs | None:
    """masked_fill(x, m, v): x where m does not hold"""
    mask = argument(op, 1, "mask")
    return masked(found, op, state, mask, {0: True}) if isinstance(mask, SSAValue) else None


def multiply(found: Liveness, op: CallOp, state: Live | None) -> Needs | None:
    """x * m: x where m is not zero. NaN and Inf of x elsewhere would make NaN, so this is not exact."""
    if found.exact or len(op.operands) != 2:
        return None
    for position in (0, 1):
        needs = masked(found, op, state, op.operands[1 - position], {position: False})
        if needs is not None:
            return needs
    return None


def masked(found: Liveness, op: CallOp, state: Live | None, mask: SSAValue, positions: dict[int, bool]) -> Needs | None:
    """Arguments at `positions` are read only where `mask` holds (True: only where it does not)."""
    to = shape(op.results[0])
    holds = row_mask(found.view, mask, to)
    if holds is None:
        return None
    leading = max(axes_of(holds)) + 1
    layout = Layout.leading(leading, len(to))
    if state is not None and state.layout != layout:
        return None
    whole: Needs = [WHOLE] * len(op.operands)
    needs = by_rows(op, state) if state is not None else whole
    if needs is None:
        return None
    written = list(op.template.data.refs())
    for position, negated in positions.items():
        value = argument(op, position, "")
        if not isinstance(value, SSAValue) or shape(value) != to:
            continue
        rows = apply("not", holds) if negated else holds
        index = list(op.operands).index(value)
        if written.count(index) > 1:
            continue
        needs[index] = (
            Live(layout, rows, to[:leading], found.group())
            if state is None
            else replace(state, rows=apply("and", state.rows, rows))
        )
    return needs if any(need is not None for need in needs) else None


def row_mask(view: IndexView, mask: SSAValue, to: tuple[Size, ...]) -> Expr | None:
    """Where `mask`, broadcast to shape `to`, is not zero; None unless it is a mask over leading axes only."""
    expression = view.broadcast(mask, to)
    if expression is None or not (is_mask(expression) or is_integer(mask)):
        return None
    holds = apply("nz", expression)
    return holds if 1 <= max(axes_of(holds), default=-1) + 1 < len(to) else None


def is_integer(value: SSAValue) -> bool:
    """A tensor of integers or truth values?"""
    return isinstance(value.type, TensorType) and isinstance(value.type.element_type, IntegerType)


RULES: dict[str, Callable[[Liveness, CallOp, Live | None], Needs | None]] = {
    ATTENTION: attention,
    "aten.select.int": select,
    "aten.where.self": where,
    "aten.where.ScalarOther": where,
    "aten.masked_fill.Scalar": masked_fill,
    "aten.masked_fill.Tensor": masked_fill,
    "aten.mul.Tensor": multiply,
}
"""Ops that read less than their row rule says, or say where rows come from."""


MASKS_ROWS = "sparse.masks_rows"
"""Marks a call whose result has rows that mean something where an operand's are dead."""

MASKING = {"aten.mul.Tensor": (0, 1), "aten.masked_fill.Scalar": (1,), "aten.masked_fill.Tensor": (1,),
           "aten.where.self": (0,), "aten.where.ScalarOther": (0,), "aten.where.ScalarSelf": (0,)}  # fmt: skip
"""Which arguments may be a mask over rows that brings dead rows to life: zeros, or the other value."""


def brings_rows_to_life(view: IndexView, op: CallOp) -> bool:
    """Do rows of the result mean something where rows of an operand do not?"""
    if op.target.data in SIZES_ONLY:
        return True
    masks = (argument(op, position, "") for position in MASKING.get(op.target.data, ()))
    to = shape(op.results[0]) if op.results else ()
    return any(isinstance(mask, SSAValue) and row_mask(view, mask, to) is not None for mask in masks)
