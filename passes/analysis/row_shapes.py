"""Row rules of ops that only move axes: reshape, permute, expand, select, slice, cat, split.

%y = aten.view(%x, [s1, 4*s0, 16])    "j i a" -> "j (i a) b"     compact: reshape [active, 4, 16]
%y = aten.transpose(%x, 0, 1)         "j (i a) b" -> "(i a) j b" compact: nothing
"""

from collections.abc import Hashable, Sequence

from ...dialects.aten import CallOp
from ...dialects.layout import Layout
from ...dialects.template import Argument, Ref, Template
from ..solvers.reshaping import canonical, compact_shape, reshape
from .calls import integer, integers, rank, shape
from .row_rules import ACTIVE, Compact, Flow, RowRule, Space, register

NOTHING = Compact(None)


# -- reshape ----------------------------------------------------------------------------------------------------


def reshape_backward(op: CallOp, _result: int, layout: Layout, space: Space) -> Flow | None:
    source = reshape(layout, shape(op.results[0]), shape(op.operands[0]), space)
    if source is None or source.domain_axes != layout.domain_axes:
        return None
    return Flow((source, *(None for _ in op.operands[1:])), (layout,))


def reshape_forward(op: CallOp, operand: int, layout: Layout, space: Space) -> Layout | None:
    return reshape(layout, shape(op.operands[0]), shape(op.results[0]), space) if operand == 0 else None


def reshape_compact(op: CallOp, flow: Flow, space: Space) -> Compact | None:
    before = compact_shape(source_layout(flow), shape(op.operands[0]), space)
    after = compact_shape(flow.results[0], shape(op.results[0]), space)
    if before is None or after is None:
        return None
    if before == after:
        return NOTHING
    if any(isinstance(size, str) for size in after):
        return None
    return Compact("aten.reshape.default", Template((Ref(0), (ACTIVE, *after))))


def source_layout(flow: Flow) -> Layout:
    """The layout of the first operand, which carries the rows."""
    assert flow.operands[0] is not None
    return flow.operands[0]


RESHAPES = (
    "view.default reshape.default _unsafe_view.default flatten.using_ints unflatten.int view_as.default "
    "squeeze.default squeeze.dim squeeze.dims unsqueeze.default"
)
register(RowRule(reshape_backward, reshape_forward, reshape_compact), *(f"aten.{name}" for name in RESHAPES.split()))


# -- permute ----------------------------------------------------------------------------------------------------


def permutation(op: CallOp) -> list[int] | None:
    """order[k] is the operand's axis that becomes axis k of the result."""
    count = rank(op.operands[0])
    if op.target.data == "aten.permute.default":
        dims = integers(op, 1, "dims")
        return None if dims is None else [d % count for d in dims]
    order = list(range(count))
    first, second = (0, 1) if op.target.data == "aten.t.default" else (integer(op, 1, "dim0"), integer(op, 2, "dim1"))
    if first is None or second is None or count < 2:
        return None
    order[first], order[second] = order[second], order[first]
    return order


def permute_backward(op: CallOp, _result: int, layout: Layout, _space: Space) -> Flow | None:
    order = permutation(op)
    if order is None:
        return None
    return Flow((canonical(layout.axes[order.index(k)] for k in range(len(order))),), (layout,))


def permute_forward(op: CallOp, _operand: int, layout: Layout, _space: Space) -> Layout | None:
    order = permutation(op)
    return None if order is None else canonical(layout.axes[k] for k in order)


def permute_compact(op: CallOp, flow: Flow, _space: Space) -> Compact | None:
    order, source = permutation(op), source_layout(flow)
    assert order is not None
    moved = [axis for axis in (source.compact_axis(k) for k in order) if axis is not None]
    if moved == sorted(moved):
        return NOTHING
    return Compact("aten.permute.default", Template((Ref(0), (0, *moved))))


register(
    RowRule(permute_backward, permute_forward, permute_compact),
    "aten.transpose.int", "aten.permute.default", "aten.t.default",
)  # fmt: skip


# -- expand -----------------------------------------------------------------------------------------------------


def expand_backward(op: CallOp, _result: int, layout: Layout, _space: Space) -> Flow | None:
    source, to = shape(op.operands[0]), shape(op.results[0])
    start = len(to) - len(source)
    axes = [() if size == 1 and to[start + k] != 1 else layout.axes[start + k] for k, size in enumerate(source)]
    part = canonical(axes)
    if not part.domain_axes or any(layout.is_untouched(k) for k in range(start)):
        return None
    return Flow((part, *(None for _ in op.operands[1:])), (layout,))


def expand_forward(op: CallOp, operand: int, layout: Layout, _space: Space) -> Layout | None:
    source, to = shape(op.operands[0]), shape(op.results[0])
    if operand != 0 or len(source) != len(to):
        return None
    axes: list[tuple[Hashable, ...]] = [((k,),) if source[k] != to[k] == 1 else a for k, a in enumerate(layout.axes)]
    axes = [((k,),) if source[k] == 1 != to[k] else axis for k, axis in enumerate(axes)]
    return canonical(axes)


def expand_compact(op: CallOp, flow: Flow, space: Space) -> Compact | None:
    before = compact_shape(source_layout(flow), shape(op.operands[0]), space)
    after = compact_shape(flow.results[0], shape(op.results[0]), space)
    if before is None or after is None or any(isinstance(size, str) for size in after):
        return None
    if before == after:
        return NOTHING
    if len(before) != len(after):
        dropped = [size for size in before if size != 1]
        return Compact("aten.reshape.default", Template((Ref(0), (ACTIVE, *after)))) if dropped == [*after] else None
    return Compact("aten.expand.default", Template((Ref(0), (-1, *after))))


register(RowRule(expand_backward, expand_forward, expand_compact), "aten.expand.default")


# -- one axis taken apart or put together -------------------------------------------------------------------------


def with_axis(layout: Layout, axis: int, *, remove: bool = False, insert: bool = False) -> Layout:
    """`layout` with a nameless axis at `axis`: in place of the one there, or inserted, or with that one removed."""
    axes: list[Sequence[Hashable]] = list(layout.axes)
    axes[axis : axis + (0 if insert else 1)] = [] if remove else [(("new",),)]
    return canonical(axes)


ONE_AXIS: dict[str, tuple[int, int | None]] = {
    "aten.select.int": (1, None),
    "aten.slice.Tensor": (1, 0),
    "aten.narrow.default": (1, None),
    "aten.index_select.default": (1, None),
    "aten.split.Tensor": (2, 0),
    "aten.split_with_sizes.default": (2, 0),
    "aten.chunk.default": (2, 0),
    "aten.unbind.int": (1, 0),
    "aten.cat.default": (1, 0),
    "aten.stack.default": (1, 0),
    "aten.flip.default": (1, None),
    "aten.roll.default": (2, None),
}
"""Where a call says which axis it works along: argument position and default."""

REMOVES = {"aten.select.int", "aten.unbind.int"}
INSERTS = {"aten.stack.default"}
GATHERS_OPERANDS = {"aten.cat.default", "aten.stack.default"}


def axis_of(op: CallOp) -> int | None:
    """The axis a call works along, counted in its operand (in its result for `stack`)."""
    position, default = ONE_AXIS[op.target.data]
    name = "dims" if op.target.data in ("aten.flip.default", "aten.roll.default") else "dim"
    given = integers(op, position, name)
    axis = given[0] if given and len(given) == 1 else integer(op, position, name, default)
    count = rank(op.results[0]) if op.target.data in INSERTS else rank(op.operands[0])
    return None if axis is None else axis % count


def one_axis_backward(op: CallOp, _result: int, layout: Layout, _space: Space) -> Flow | None:
    axis = axis_of(op)
    if axis is None:
        return None
    removes, inserts = op.target.data in REMOVES, op.target.data in INSERTS
    if not removes and not layout.is_untouched(axis):
        return None
    source = with_axis(layout, axis, insert=removes, remove=inserts)
    carriers = len(op.operands) if op.target.data in GATHERS_OPERANDS else 1
    rest = len(op.operands) - carriers
    return Flow((source,) * carriers + (None,) * rest, (layout,) * len(op.results))


def one_axis_forward(op: CallOp, operand: int, layout: Layout, _space: Space) -> Layout | None:
    axis = axis_of(op)
    inserts = op.target.data in INSERTS
    if axis is None or (operand and op.target.data not in GATHERS_OPERANDS):
        return None
    if not inserts and not layout.is_untouched(axis):
        return None
    return with_axis(layout, axis, remove=op.target.data in REMOVES, insert=inserts)


def one_axis_compact(op: CallOp, flow: Flow, _space: Space) -> Compact | None:
    axis = axis_of(op)
    layout = flow.results[0] if op.target.data in INSERTS else source_layout(flow)
    assert axis is not None
    position, _ = ONE_AXIS[op.target.data]
    moved = layout.compact_axis(axis)
    assert moved is not None
    several = op.target.data in ("aten.flip.default", "aten.roll.default")
    return Compact(op.target.data, with_argument(op.template.data, position, "dim", (moved,) if several else moved))


def with_argument(template: Template, position: int, name: str, value: Argument) -> Template:
    """`template` with one argument replaced, or added by keyword where it was left to its default."""
    if position < len(template.args):
        args = (*template.args[:position], value, *template.args[position + 1 :])
        return Template(args, template.kwargs)
    return Template(template.args, (*((k, a) for k, a in template.kwargs if k != name), (name, value)))


register(RowRule(one_axis_backward, one_axis_forward, one_axis_compact), *ONE_AXIS)
