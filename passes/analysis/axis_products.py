"""Axes of products: matmul, linear, einsum, convolution, pooling, attention.

linear   "m0 m1 k", "n k", "n" -> "m0 m1 n"     k reduced
conv2d   "n c s0 s1", "o c t0 t1" -> "n o y0 y1"  s, y, t neither: a window slides
1x1      "n c s0 s1", "o c" -> "n o s0 s1"       a matmul
sdpa     "b h q d", "b h k d", "b h k v" -> "b h q v"  k skips -inf
"""

from collections.abc import Mapping

from xdsl.ir import SSAValue

from ...dialects.aten import CallOp
from .axis_rules import (
    KEPT,
    SUMMED,
    AxisRole,
    Labels,
    OpAxes,
    Role,
    Skip,
    axis_rule,
    by_operand,
    named,
    neither,
    operand_ranks,
    spread,
)
from .calls import argument, rank, shape

# -- products ---------------------------------------------------------------------------------------------------


def contraction(op: CallOp, labels: Mapping[int, Labels | None], result: Labels) -> OpAxes:
    """Labels of the result are parallel, the others summed."""
    operands = by_operand(op, labels)
    inside = {label for own in operands for label in own if label and label not in result}
    return OpAxes(operands, (result,), dict.fromkeys(filter(None, result), KEPT) | dict.fromkeys(inside, SUMMED))


@axis_rule("linear.default")
def linear(op: CallOp) -> OpAxes | None:
    if argument(op, 0, "input") is argument(op, 1, "weight"):
        return None
    rows = named("m", operand_ranks(op)[0] - 1)
    weight = ("n", "k") if operand_ranks(op)[1] == 2 else ("k",)
    return contraction(op, {0: (*rows, "k"), 1: weight, 2: weight[:-1]}, (*rows, *weight[:-1]))


@axis_rule("mm.default", "bmm.default", "matmul.default", "mv.default", "dot.default")
def matmul(op: CallOp) -> OpAxes | None:
    return product(op, 0, 1)


@axis_rule("addmm.default", "baddbmm.default", "addmv.default")
def addmm(op: CallOp) -> OpAxes | None:
    axes = product(op, 1, 2)
    base = argument(op, 0, "self")
    if axes is None or base in (argument(op, 1, "mat1"), argument(op, 2, "mat2")):
        return None
    own = spread(shape(op.operands[0]), axes.results[0], shape(op.results[0]))
    return OpAxes((own, *axes.operands[1:]), axes.results, axes.roles)


def product(op: CallOp, left: int, right: int) -> OpAxes | None:
    """[.., m, k] @ [.., k, n], vectors without m or n; batch axes broadcast."""
    one, other = argument(op, left, "self"), argument(op, right, "mat2")
    if one is other or not isinstance(one, SSAValue) or not isinstance(other, SSAValue):
        return None
    a, b, to = shape(one), shape(other), shape(op.results[0])
    rows, columns = ("m",) * (len(a) > 1), ("n",) * (len(b) > 1)
    batch = named("b", len(to) - len(rows) - len(columns))
    sizes = to[: len(batch)]
    labels = {
        left: (*spread(a[:-2], batch, sizes), *rows, "k"),
        right: (*spread(b[:-2], batch, sizes), "k", *columns),
    }
    return contraction(op, labels, (*batch, *rows, *columns))


@axis_rule("einsum.default")
def einsum(op: CallOp) -> OpAxes | None:
    """Every label of the equation; one that an operand has twice (a diagonal) moves along both axes."""
    equation, tensors = argument(op, 0, "equation"), argument(op, 1, "tensors")
    if not isinstance(equation, str) or not isinstance(tensors, tuple) or "..." in equation:
        return None
    terms, arrow, result = equation.replace(" ", "").partition("->")
    letters = terms.split(",")
    if len(set(tensors)) < len(tensors) or len(letters) != len(tensors):
        return None
    if not arrow:
        result = "".join(sorted(c for c in set(terms) - {","} if terms.count(c) == 1))
    by_tensor = dict(zip(tensors, map(tuple, letters), strict=True))
    operands = tuple(by_tensor.get(operand, ()) for operand in op.operands)
    return OpAxes(operands, (tuple(result),), {c: KEPT if c in result else SUMMED for c in terms if c != ","})


# -- windows ----------------------------------------------------------------------------------------------------

WINDOW = neither("read through a sliding window (offset = stride * output + tap): moving rows would mix windows")
TAP = neither("taps move only together with their offsets")
GROUPED = neither("channels are tied to their group: only whole groups move")


def numbers(op: CallOp, place: int, name: str, default: int, length: int) -> tuple[int, ...]:
    """A list argument of integers; one stands for all."""
    given = argument(op, place, name, default)
    listed = [item for item in given if isinstance(item, int)] if isinstance(given, tuple) else [given]
    values = tuple(item for item in listed if isinstance(item, int))
    return values * length if len(values) == 1 else values


@axis_rule("conv1d.default", "conv2d.default", "conv3d.default", "convolution.default", "conv1d.padding",
           "conv2d.padding")  # fmt: skip
def convolution(op: CallOp) -> OpAxes | None:
    """Pointwise convolutions are matmuls; depthwise ones have one channel label."""
    weight, depth = argument(op, 1, "weight"), rank(op.results[0]) - 2
    if not isinstance(weight, SSAValue) or weight is op.operands[0]:
        return None
    sizes = shape(weight)
    transposed = op.target.data == "aten.convolution.default" and argument(op, 6, "transposed") is not False
    groups = argument(op, 8 if op.target.data == "aten.convolution.default" else 6, "groups", 1)
    plain = set(numbers(op, 3, "stride", 1, 1)) == {1} and set(numbers(op, 4, "padding", 0, 1)) == {0}
    if transposed or len(shape(op.operands[0])) != depth + 2:
        return None
    pointwise = plain and set(sizes[2:]) == {1}
    depthwise = groups == sizes[0] and sizes[1] == 1 and groups != 1
    space = named("s", depth)
    taps = tuple("" if size == 1 else f"t{k}" for k, size in enumerate(sizes[2:]))
    outer = space if pointwise else named("y", depth)
    channel_in, channel_out = ("o", "o") if depthwise else ("c", "o")
    labels = {0: ("n", channel_in, *space), 1: (channel_out, "" if depthwise else channel_in, *taps), 2: (channel_out,)}
    axes = contraction(op, labels, ("n", channel_out, *outer))
    roles = dict(axes.roles)
    if not pointwise:
        roles |= dict.fromkeys((*space, *outer), WINDOW) | dict.fromkeys(filter(None, taps), TAP)
    if groups != 1 and not depthwise:
        roles |= {"c": GROUPED, "o": GROUPED, "g": GROUPED}
        grouped = by_operand(op, labels | {1: ("o", "g", *taps)})
        return OpAxes(grouped, axes.results, roles)
    return OpAxes(axes.operands, axes.results, roles)


POOLS = "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d max_pool2d_with_indices"
ADAPTIVE = "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d _adaptive_avg_pool2d"
COUNTED = AxisRole(Role.REDUCED, Skip.ZERO, "the divisor stays the full count")


@axis_rule(*(f"{name}.default" for name in POOLS.split()))
def pool(op: CallOp) -> OpAxes:
    count_of_axes = operand_ranks(op)[0]
    lead = ("n", "c")[-(count_of_axes - window_rank(op.target.data)) :]
    space, outer = named("s", count_of_axes - len(lead)), named("y", count_of_axes - len(lead))
    roles = dict.fromkeys(lead, KEPT) | dict.fromkeys((*space, *outer), WINDOW)
    return OpAxes(((*lead, *space),), ((*lead, *outer),) * len(op.results), roles)


def window_rank(name: str) -> int:
    """2 of `max_pool2d`"""
    return next(int(c) for c in name if c.isdigit())


@axis_rule(*(f"{name}.default" for name in ADAPTIVE.split()))
def adaptive(op: CallOp) -> OpAxes | None:
    """Down to one position the window is the whole axis."""
    count_of_axes = operand_ranks(op)[0]
    width = window_rank(op.target.data)
    lead, space = ("n", "c")[-(count_of_axes - width) :], named("s", width)
    whole = set(shape(op.results[0])[-width:]) == {1} and len(op.results) == 1
    outer = ("",) * width if whole else named("y", width)
    roles = dict.fromkeys(lead, KEPT) | dict.fromkeys((*space, *filter(None, outer)), COUNTED if whole else WINDOW)
    return OpAxes(((*lead, *space),), ((*lead, *outer),) * len(op.results), roles)


# -- attention --------------------------------------------------------------------------------------------------

SCALED = AxisRole(Role.REDUCED, Skip.ZERO, "the scale stays that of the full width")
CAUSAL = neither("is_causal compares the positions of queries and keys: turn it into a mask first")
KEYS = AxisRole(
    Role.REDUCED, Skip.LOWEST, "a key that is 0 still has probability exp(0): only masked ones count nothing"
)
SHARED = neither("several query heads share a key head")


@axis_rule("scaled_dot_product_attention.default")
def attention(op: CallOp) -> OpAxes | None:
    """Queries are rows, keys are summed over, the mask has both."""
    query, key, value, mask = (argument(op, k, n) for k, n in enumerate(("query", "key", "value", "attn_mask")))
    tensors = [v for v in (query, key, value) if isinstance(v, SSAValue)]
    if len(set(tensors)) < 3 or argument(op, 4, "dropout_p", 0.0) != 0 or len({rank(v) for v in tensors}) > 1:
        return None
    to = shape(op.results[0])
    lead = named("b", len(to) - 2)
    labels: dict[int, Labels | None] = {0: (*lead, "q", "d"), 1: (*lead, "k", "d"), 2: (*lead, "k", "v")}
    if isinstance(mask, SSAValue):
        labels[3] = spread(shape(mask), (*lead, "q", "k"), (*to[:-1], shape(tensors[1])[-2]))
    axes = contraction(op, labels, (*lead, "q", "v"))
    roles = {**axes.roles, "k": KEYS, "d": SCALED}
    if argument(op, 5, "is_causal", False) is not False:
        roles |= {"q": CAUSAL, "k": CAUSAL}
    if argument(op, 7, "enable_gqa", False) is not False:
        roles[lead[-1]] = SHARED
    return OpAxes(axes.operands, axes.results, roles)
