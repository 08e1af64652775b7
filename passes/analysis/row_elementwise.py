"""Row rules of elementwise ops: operands broadcast to the result, axis by axis from the right.

%r = aten.add(%x, %p)     "i j a", "1 j a" -> "i j a"
compact                   [active, 768] + reshape [active, 1, 768] -> [active, 768]
"""

from collections.abc import Hashable

from xdsl.dialects.builtin import TensorType

from ...dialects.aten import CallOp
from ...dialects.layout import Layout
from ...dialects.template import Argument, Name
from ..solvers.reshaping import canonical, compact_shape
from ..solvers.sizes import Size
from .calls import shape
from .row_rules import ACTIVE, Compact, Flow, RowRule, Space, register

UNARY = (
    "abs acos acosh alias angle asin asinh atan atanh bitwise_not ceil celu clone contiguous cos cosh deg2rad detach "
    "digamma dropout elu erf erfc erfinv exp exp2 expm1 floor frac gelu hardshrink hardsigmoid hardswish hardtanh "
    "isfinite isinf isnan leaky_relu lgamma lift_fresh_copy log log10 log1p log2 log_sigmoid logical_not logit mish "
    "nan_to_num neg positive rad2deg reciprocal relu relu6 round rsqrt selu sgn sigmoid sign signbit silu sin sinc "
    "sinh softplus softshrink softsign sqrt square tan tanh tanhshrink threshold trunc _to_copy"
)
BINARY = (
    "add atan2 bitwise_and bitwise_or bitwise_xor div eq floor_divide fmax fmin fmod ge gt hypot le logical_and "
    "logical_or logical_xor lt maximum minimum mul ne pow remainder rsub sub true_divide __and__ __or__ __xor__ "
    "xlogy logaddexp copysign"
)
OTHERS = (
    "aten.div.Tensor_mode aten.div.Scalar_mode aten.where.self aten.where.ScalarOther aten.where.ScalarSelf "
    "aten.masked_fill.Scalar aten.masked_fill.Tensor aten.clamp.default aten.clamp.Tensor aten.clamp_min.default "
    "aten.clamp_max.default aten.addcmul.default aten.addcdiv.default aten.lerp.Scalar aten.lerp.Tensor "
    "aten.pow.Tensor_Scalar aten.pow.Tensor_Tensor aten.pow.Scalar aten.to.dtype aten.to.dtype_layout aten.to.device "
    "aten.type_as.default aten.round.decimals aten.isclose.default aten.min.other aten.max.other "
    "aten.zeros_like.default aten.ones_like.default aten.full_like.default aten.prelu.default "
    "aten.threshold_backward.default aten.gelu_backward.default"
)


def carried(axes: list[tuple[str, ...]]) -> Layout | None:
    """A layout, or None when no axis of the domain is in it."""
    layout = canonical(axes)
    return layout if layout.domain_axes else None


CHANNELS_LAST = (Name("torch.channels_last"), Name("torch.channels_last_3d"))
"""Memory formats that only tensors of one rank have."""


def is_elementwise(op: CallOp) -> bool:
    """Do operands broadcast? Not a slope for each channel, nor a tensor that only lends its dtype."""
    if op.target.data == "aten.prelu.default":
        return shape(op.operands[-1]) == (1,)
    if op.target.data == "aten.type_as.default":
        return all(shape(operand) == shape(op.results[0]) for operand in op.operands)
    return dict(op.template.data.kwargs).get("memory_format") not in CHANNELS_LAST


def backward(op: CallOp, _result: int, layout: Layout, _space: Space) -> Flow | None:
    """Every operand has the result's axes from the right, `1` where it broadcasts."""
    if not is_elementwise(op):
        return None
    to = shape(op.results[0])
    operands: list[Layout | None] = []
    for operand in op.operands:
        if not isinstance(operand.type, TensorType):
            operands.append(None)
            continue
        sizes = shape(operand)
        start = len(to) - len(sizes)
        axes = [() if size == 1 and to[start + k] != 1 else layout.axes[start + k] for k, size in enumerate(sizes)]
        operands.append(carried(axes))
    return Flow(tuple(operands), (layout,))


def forward(op: CallOp, operand: int, layout: Layout, _space: Space) -> Layout | None:
    """The result has the operand's axes; those that the operand broadcasts over belong to nobody's domain."""
    if not is_elementwise(op):
        return None
    to, sizes = shape(op.results[0]), shape(op.operands[operand])
    start = len(to) - len(sizes)
    axes: list[tuple[Hashable, ...]] = [
        layout.axes[k - start] if k >= start and (sizes[k - start] != 1 or to[k] == 1) else ((k,),)
        for k in range(len(to))
    ]
    return canonical(axes)


def aligned(layout: Layout, part: Layout, sizes: tuple[Size, ...]) -> list[Size]:
    """The compact sizes of `part` (own compact `sizes`), with `1` for the result's axes that it lacks."""
    start = len(layout.axes) - len(part.axes)
    own = iter(sizes)
    by_axis = {start + k: next(own) for k, kept in enumerate(part.kept) if kept is not None}
    return [by_axis.get(k, 1) for k, kept in enumerate(layout.kept) if kept is not None]


def reshaped(op: CallOp, index: int, layout: Layout, part: Layout | None, space: Space) -> list[Argument] | None:
    """The compact shape that operand `index` needs for broadcasting; the shape it has when nothing is to do.

    A tensor that has axes keeps one: without any it would no longer count in type promotion.
    """
    sizes = shape(op.operands[index])
    if part is not None:
        compact = compact_shape(part, sizes, space)
        return None if compact is None else [ACTIVE, *aligned(layout, part, compact)]
    start = len(layout.axes) - len(sizes)
    kept: list[Argument] = [size for k, size in enumerate(sizes) if layout.kept[start + k] is not None]
    return kept if kept or not sizes else [1]


def compact(op: CallOp, flow: Flow, space: Space) -> Compact | None:
    """The same call; operands that broadcast over an axis of the domain are reshaped first."""
    (layout,) = flow.results
    reshapes: dict[int, tuple[Argument, ...]] = {}
    for index, (operand, part) in enumerate(zip(op.operands, flow.operands, strict=True)):
        if not isinstance(operand.type, TensorType):
            continue
        wanted = reshaped(op, index, layout, part, space)
        given: list[Argument] | None = list(shape(operand))
        if part is not None:
            own = compact_shape(part, shape(operand), space)
            given = None if own is None else [ACTIVE, *own]
        if wanted is None or given is None:
            return None
        if wanted != given:
            if any(isinstance(size, str) for size in wanted):
                return None
            reshapes[index] = tuple(wanted)
    return Compact(op.target.data, op.template.data, reshapes)


ELEMENTWISE = RowRule(backward, forward, compact)
register(ELEMENTWISE, *(f"aten.{name}.default" for name in UNARY.split()))
register(ELEMENTWISE, *(f"aten.{name}.{kind}" for name in BINARY.split() for kind in ("Tensor", "Scalar", "default")))
register(ELEMENTWISE, *OTHERS.split())
