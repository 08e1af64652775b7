"""Row rules of ops that work along axes outside the domain: products, norms, softmax, sums, embedding.

%y = aten.linear(%x, %w, %b)       "i j a" -> "i j a"        compact: the same call on [active, a]
%y = aten.softmax(%x, -1)          "i a j b" -> "i a j b"    compact: aten.softmax(%x', 2)
%y = aten.mean(%x, [-1], true)     "i j a" -> "i j 1"        compact: aten.mean(%x', [1], true)
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import TensorType

from ...dialects.aten import CallOp
from ...dialects.layout import Layout
from ..solvers.reshaping import canonical
from .calls import argument, integer, integers, rank, shape
from .row_rules import Compact, Flow, RowRule, Space, register
from .row_shapes import source_layout, with_argument


def same_call(op: CallOp, _flow: Flow, _space: Space) -> Compact | None:
    return Compact(op.target.data, op.template.data)


# -- products: rows on one operand, its last axis reduced ---------------------------------------------------------

PRODUCTS = {"aten.linear.default": 0, "aten.mm.default": 0, "aten.addmm.default": 1, "aten.matmul.default": 0}
"""Which operand carries the rows."""

MATRICES = {"aten.mm.default", "aten.addmm.default"}
"""Products of matrices only: a part of an axis that stays would be a third axis of the compact form."""


def product_backward(op: CallOp, _result: int, layout: Layout, _space: Space) -> Flow | None:
    carrier = PRODUCTS[op.target.data]
    if len(list(op.template.data.refs())) > len(op.operands):
        return None  # a tensor that stands twice is one operand
    weight, count = op.operands[carrier + 1], rank(op.operands[carrier])
    bias = 2 if op.target.data == "aten.linear.default" else 0 if op.target.data == "aten.addmm.default" else None
    if rank(weight) != 2 or count != len(layout.axes) or not layout.is_untouched(count - 1):
        return None
    if bias is not None and bias < len(op.operands) and rank(op.operands[bias]) > 1:
        return None
    if op.target.data in MATRICES and layout.compact_rank != 2:
        return None
    axes: list[Sequence[Hashable]] = [*layout.axes[:-1], (("k",),)]
    return Flow(tuple(canonical(axes) if k == carrier else None for k in range(len(op.operands))), (layout,))


def product_forward(op: CallOp, operand: int, layout: Layout, _space: Space) -> Layout | None:
    if operand != PRODUCTS[op.target.data] or not layout.is_untouched(len(layout.axes) - 1):
        return None
    return canonical([*layout.axes[:-1], (("n",),)])


register(RowRule(product_backward, product_forward, same_call), *PRODUCTS)


# -- embedding: rows are those of the indices ---------------------------------------------------------------------


def embedding_backward(op: CallOp, _result: int, layout: Layout, _space: Space) -> Flow | None:
    if not layout.is_untouched(len(layout.axes) - 1) or argument(op, 3, "scale_grad_by_freq", False) is not False:
        return None  # a gradient that is scaled by how often an index occurs counts all rows
    return Flow((None, canonical(layout.axes[:-1])), (layout,))


def embedding_forward(op: CallOp, operand: int, layout: Layout, _space: Space) -> Layout | None:
    scaled = argument(op, 3, "scale_grad_by_freq", False) is not False
    return canonical([*layout.axes, (("n",),)]) if operand == 1 and not scaled else None


register(RowRule(embedding_backward, embedding_forward, same_call), "aten.embedding.default")


# -- along axes: the axes are arguments ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Along:
    """Where a call says its axes, and whether they are kept, kept as 1 or dropped (`keepdim`, its position)."""

    position: int
    name: str = "dim"
    default: int | None = None
    keepdim: int | None = None


KEYWORD = 99
"""A position that no call reaches: the argument is given by keyword only."""

ALONG: dict[str, Along] = {
    "aten.softmax.int": Along(1),
    "aten._softmax.default": Along(1),
    "aten.log_softmax.int": Along(1),
    "aten._log_softmax.default": Along(1),
    "aten.cumsum.default": Along(1),
    "aten.cumprod.default": Along(1),
    "aten.sort.default": Along(1, default=-1),
    "aten.argsort.default": Along(1, default=-1),
    "aten.topk.default": Along(2, default=-1),
    "aten.sum.dim_IntList": Along(1, keepdim=2),
    "aten.mean.dim": Along(1, keepdim=2),
    "aten.amax.default": Along(1, keepdim=2),
    "aten.amin.default": Along(1, keepdim=2),
    "aten.any.dim": Along(1, keepdim=2),
    "aten.all.dim": Along(1, keepdim=2),
    "aten.prod.dim_int": Along(1, keepdim=2),
    "aten.logsumexp.default": Along(1, keepdim=2),
    "aten.var.correction": Along(1, keepdim=KEYWORD),
    "aten.max.dim": Along(1, keepdim=2),
    "aten.min.dim": Along(1, keepdim=2),
    "aten.argmax.default": Along(1, keepdim=2),
    "aten.argmin.default": Along(1, keepdim=2),
    "aten.linalg_vector_norm.default": Along(2, keepdim=3),
}


def axes_along(op: CallOp) -> tuple[int, ...] | None:
    """The axes that a call works along, as positions in its operand."""
    along, count = ALONG[op.target.data], rank(op.operands[0])
    given = integers(op, along.position, along.name)
    if given is None:
        single = integer(op, along.position, along.name, along.default)
        given = None if single is None else (single,)
    return None if not given else tuple(axis % count for axis in given)


def drops_axes(op: CallOp) -> bool:
    """The reduced axes are gone from the result."""
    along = ALONG[op.target.data]
    return along.keepdim is not None and not argument(op, along.keepdim, "keepdim", False)


def along_backward(op: CallOp, _result: int, layout: Layout, _space: Space) -> Flow | None:
    axes = axes_along(op)
    if axes is None:
        return None
    source: list[Sequence[Hashable]] = list(layout.axes)
    for axis in sorted(axes):
        if drops_axes(op):
            source.insert(axis, ((axis,),))
        elif layout.is_untouched(axis):
            source[axis] = ((axis,),) if shape(op.operands[0])[axis] != 1 else ()
        else:
            return None
    rest = (None,) * (len(op.operands) - 1)
    return Flow((canonical(source), *rest), (layout,) * len(op.results))


def along_forward(op: CallOp, operand: int, layout: Layout, _space: Space) -> Layout | None:
    axes = axes_along(op)
    if operand or axes is None or not all(layout.is_untouched(axis) for axis in axes):
        return None
    reduces = ALONG[op.target.data].keepdim is not None
    result: list[Sequence[Hashable]] = []
    for axis, factors in enumerate(layout.axes):
        if axis not in axes:
            result.append(factors)
        elif not drops_axes(op):
            result.append(() if reduces else ((axis,),))
    return canonical(result)


def along_compact(op: CallOp, flow: Flow, _space: Space) -> Compact | None:
    along, axes, layout = ALONG[op.target.data], axes_along(op), source_layout(flow)
    assert axes is not None
    moved = [layout.compact_axis(axis) for axis in axes]
    given = argument(op, along.position, along.name, along.default)
    value = tuple(moved) if isinstance(given, tuple) else moved[0]
    return Compact(op.target.data, with_argument(op.template.data, along.position, along.name, value))


register(RowRule(along_backward, along_forward, along_compact), *ALONG)


# -- the last axes: normalisation ---------------------------------------------------------------------------------


def norm_backward(op: CallOp, _result: int, layout: Layout, _space: Space) -> Flow | None:
    normalized = integers(op, 1, "normalized_shape")
    if normalized is None or not all(
        layout.is_untouched(axis) for axis in range(len(layout.axes) - len(normalized), len(layout.axes))
    ):
        return None
    return Flow((layout, *(None for _ in op.operands[1:])), (layout,))


def norm_forward(op: CallOp, operand: int, layout: Layout, _space: Space) -> Layout | None:
    return layout if operand == 0 else None


register(RowRule(norm_backward, norm_forward, same_call), "aten.layer_norm.default", "aten.rms_norm.default")


# -- the batch axis: convolution and pooling treat each image alone -----------------------------------------------


def is_batched(op: CallOp) -> bool:
    """Is the first axis the batch? Without one it is the channels."""
    return rank(op.operands[0]) >= BATCHED[op.target.data]


def batch_backward(op: CallOp, _result: int, layout: Layout, _space: Space) -> Flow | None:
    alone = layout.axes[0] == ("i",) and all(layout.is_untouched(axis) for axis in range(1, len(layout.axes)))
    if not alone or not isinstance(op.operands[0].type, TensorType) or not is_batched(op):
        return None
    source: list[Sequence[Hashable]] = [("i",), *(((axis,),) for axis in range(1, rank(op.operands[0])))]
    return Flow((canonical(source), *(None for _ in op.operands[1:])), (layout,))


def batch_forward(op: CallOp, operand: int, layout: Layout, _space: Space) -> Layout | None:
    if operand or layout.axes[0] != ("i",) or layout.domain_axes != ("i",):
        return None
    return canonical([("i",), *(((axis,),) for axis in range(1, rank(op.results[0])))])


BATCHED: dict[str, int] = {
    "aten.conv1d.default": 3, "aten.conv2d.default": 4, "aten.conv3d.default": 5, "aten.max_pool2d.default": 4,
    "aten.avg_pool2d.default": 4, "aten.adaptive_avg_pool1d.default": 3, "aten.adaptive_avg_pool2d.default": 4,
    "aten.group_norm.default": 2,
}  # fmt: skip
"""From which number of axes on the first one is the batch."""

register(RowRule(batch_backward, batch_forward, same_call), *BATCHED)
