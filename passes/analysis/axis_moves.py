"""Axes of elementwise ops, of ops that move, pick and put together, and of losses.

add          "a0 a1", "a1" -> "a0 a1"
transpose    "a0 a1" -> "a1 a0"
view         "a0 x1 x2" -> "a0 y1"           x, y: merged axes move only together
embedding    "v d", "a0 a1" -> "a0 a1 d"     v: the indices name its rows
index_add    "v a1", "r", "r a1" -> "v a1"   r: zero rows add nothing
"""

from xdsl.dialects.builtin import TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue

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
from .calls import argument, integer, integers, rank, shape
from .fact_elementwise import BINARY, OTHERS, UNARY
from .fact_gathers import BY_INDEX
from .fact_moves import reshape
from .fact_scope import MOVES, Call, Scope, is_integer
from .indices import Axis, Index

CHOICES = "where.self where.ScalarOther where.ScalarSelf where.Scalar masked_fill.Scalar masked_fill.Tensor"
RANDOM = "native_dropout.default bernoulli.p rand_like.default randn_like.default"
CONSTANTS = "zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full"

POSITIONAL = neither("this op names positions of the axis")
MERGED = neither("the reshape merges or cuts this axis: its parts move only together")
INDEXED = neither("indices name positions of this axis: they would have to be remapped")
OVERWRITTEN = neither("the last of several writes wins")
COMPARED = neither("row and column positions are compared")
NUMBERED = neither("its values are positions")
CLASSES = neither("targets name classes")
DRAWN = neither("random numbers are drawn in the order of positions")
COUNTED = AxisRole(Role.REDUCED, Skip.ZERO, "the divisor stays the full count")


def elementwise(op: CallOp) -> OpAxes:
    """Every axis of the result; operands that broadcast lack some."""
    to = shape(op.results[0])
    labels = named("a", len(to))
    shapes = [shape(operand) if isinstance(operand.type, TensorType) else () for operand in op.operands]
    role = KEPT if op.effects is None else DRAWN
    results = (labels,) * len(op.results)
    return OpAxes(tuple(spread(sizes, labels, to) for sizes in shapes), results, dict.fromkeys(labels, role))


ELEMENTWISE = (
    *(f"{name}.default" for name in UNARY.split()),
    *(f"{name}.{form}" for name in BINARY.split() for form in ("Tensor", "Scalar", "default")),
    *(name.removeprefix("aten.") for name in OTHERS.split()),
    *CHOICES.split(),
    *RANDOM.split(),
)
axis_rule(*ELEMENTWISE)(elementwise)


@axis_rule(*(f"{name}.default" for name in CONSTANTS.split()))
def constant(op: CallOp) -> OpAxes:
    """One number everywhere; what it is modelled on is not read."""
    labels = named("a", rank(op.results[0]))
    return OpAxes(((),) * len(op.operands), (labels,), dict.fromkeys(labels, KEPT))


@axis_rule("prelu.default")
def prelu(op: CallOp) -> OpAxes:
    """The weight goes along the second axis."""
    full = named("a", rank(op.results[0]))
    weight = ("",) if shape(op.operands[1]) == (1,) else full[1:2]
    return OpAxes(by_operand(op, {0: full, 1: weight}), (full,), dict.fromkeys(full, KEPT))


# -- moves ------------------------------------------------------------------------------------------------------


def function_of(op: Operation) -> FuncOp | None:
    """The function that an op stands in."""
    parent = op.parent_op()
    while parent is not None and not isinstance(parent, FuncOp):
        parent = parent.parent_op()
    return parent


def moves(op: CallOp) -> OpAxes | None:
    """Axes that every result reads at their own position are parallel, under another number perhaps."""
    function = function_of(op)
    if function is None or not isinstance(op.operands[0].type, TensorType):
        return None
    calls = [Call(Scope(function), op, output) for output in range(len(op.results))]
    readings = [MOVES[op.target.data](call) for call in calls]
    source, sizes = op.operands[0], calls[0].scope.sizes(op.operands[0])
    if any(reading is None or reading[0] is not source for reading in readings):
        return None
    straight = [mapped(call, reading[1], sizes) for call, reading in zip(calls, readings, strict=True) if reading]
    kept = [k for k in range(len(sizes)) if all(k in by_axis for by_axis in straight)]
    reason = MERGED if MOVES[op.target.data] is reshape else POSITIONAL
    operand = tuple(f"a{k}" if k in kept else "" if size.number == 1 else f"x{k}" for k, size in enumerate(sizes))
    roles = {label: KEPT if label[0] == "a" else reason for label in operand if label}
    results: list[Labels] = []
    for number, (call, by_axis) in enumerate(zip(calls, straight, strict=True)):
        taken = {by_axis[k]: f"a{k}" for k in kept}
        read = {atom for index in (readings[number] or (source, ()))[1] for atom in index.atoms()}
        own = tuple(taken.get(k, f"y{k}" if Axis(k) in read else f"r{k}") for k in range(call.rank))
        own = tuple("" if size.number == 1 else label for label, size in zip(own, call.sizes, strict=True))
        roles |= {label: reason if label[0] == "y" else KEPT for label in own if label}
        results.append(own)
    return OpAxes((operand, *((),) * (len(op.operands) - 1)), tuple(results), roles)


def mapped(call: Call, at: tuple[Index, ...], sizes: tuple[Index, ...]) -> dict[int, int]:
    """Operand axes that are read at one result axis of the same size, and at nothing else."""
    read = [atom for index in at for atom in index.atoms()]
    return {
        k: axis.number
        for k, index in enumerate(at)
        if isinstance(axis := index.atom, Axis) and read.count(axis) == 1 and sizes[k] == call.sizes[axis.number]
    }


axis_rule(*({name.removeprefix("aten.") for name in MOVES} - {*BY_INDEX, *ELEMENTWISE}))(moves)


# -- by index -----------------------------------------------------------------------------------------------------


def special(op: CallOp, place: int, default: int | None = None) -> int | None:
    """The axis that an op works along."""
    axis, count = integer(op, place, "dim", default), rank(op.results[0])
    return None if axis is None or not count else axis % count


def with_label(labels: Labels, axis: int, label: str) -> Labels:
    return (*labels[:axis], label, *labels[axis + 1 :])


@axis_rule("embedding.default")
def embedding(op: CallOp) -> OpAxes:
    rows = named("a", rank(op.results[0]) - 1)
    roles = dict.fromkeys((*rows, "d"), KEPT) | {"v": INDEXED}
    return OpAxes(by_operand(op, {0: ("v", "d"), 1: rows}), ((*rows, "d"),), roles)


@axis_rule("index_select.default")
def index_select(op: CallOp) -> OpAxes | None:
    axis, full = special(op, 1), named("a", rank(op.results[0]))
    if axis is None or op.operands[0] is op.operands[-1]:
        return None
    operands = by_operand(op, {0: with_label(full, axis, "v"), 2: (full[axis],)})
    return OpAxes(operands, (full,), dict.fromkeys(full, KEPT) | {"v": INDEXED})


@axis_rule("gather.default", "take_along_dim.default")
def gather(op: CallOp) -> OpAxes | None:
    """The other axes are shared where nothing of the operand is left out."""
    axis, full = special(op, 1 if "gather" in op.target.data else 2), named("a", rank(op.results[0]))
    if axis is None or len(op.operands) != 2 or shape(op.operands[1]) != shape(op.results[0]):
        return None
    source = tuple(
        "v" if k == axis else label if shape(op.operands[0])[k] == shape(op.results[0])[k] else f"x{k}"
        for k, label in enumerate(full)
    )
    roles = {label: KEPT if label in source or k == axis else POSITIONAL for k, label in enumerate(full)}
    roles |= {label: INDEXED if label == "v" else POSITIONAL for label in source if label not in roles}
    return OpAxes((source, full), (full,), roles)


@axis_rule("index.Tensor")
def index_tensor(op: CallOp) -> OpAxes | None:
    """x[.., idx, ..]: neighbouring axes make way for those of the index tensors."""
    given = argument(op, 1, "indices")
    places = [k for k, item in enumerate(given) if isinstance(item, SSAValue)] if isinstance(given, tuple) else []
    source, to = op.operands[0], shape(op.results[0])
    if not all(isinstance(index.type, TensorType) and is_integer(index) for index in op.operands[1:]):
        return None
    if not places or places != list(range(places[0], places[-1] + 1)) or len(set(op.operands)) <= len(places):
        return None
    width = len(to) - rank(source) + len(places)
    rows = named("r", width)
    others = named("a", rank(source) - len(places))
    operand = (*others[: places[0]], *(f"v{k}" for k in places), *others[places[0] :])
    result = (*others[: places[0]], *rows, *others[places[0] :])
    sizes = to[places[0] : places[0] + width]
    labels = [operand, *(spread(shape(index), rows, sizes) for index in op.operands[1:])]
    roles = dict.fromkeys(result, KEPT) | {f"v{k}": INDEXED for k in places}
    return OpAxes(tuple(labels), (result,), roles)


@axis_rule("scatter_add.default", "scatter.src", "scatter.value")
def scatter(op: CallOp) -> OpAxes | None:
    """Where nothing is left out, the other axes are shared; sums take their terms in any order."""
    axis, full = special(op, 1), named("a", rank(op.results[0]))
    index, source = argument(op, 2, "index"), argument(op, 3, "src")
    if axis is None or not isinstance(index, SSAValue) or len(set(op.operands)) != len(op.operands):
        return None
    here, there = shape(op.results[0]), shape(index)
    if isinstance(source, SSAValue) and shape(source) != there:
        return None
    shared = tuple("r" if k == axis else f"a{k}" if here[k] == there[k] else f"x{k}" for k in range(len(full)))
    out = tuple("v" if k == axis else f"a{k}" if here[k] == there[k] else f"y{k}" for k in range(len(full)))
    roles = {label: KEPT if label[0] == "a" else POSITIONAL for label in (*shared, *out)}
    alone = SUMMED if "add" in op.target.data else OVERWRITTEN
    if op.target.data == "aten.scatter.value":
        alone = AxisRole(Role.REDUCED, reason="the same value is written in any order")
    labels = {0: out, 2: shared, 3: shared if isinstance(source, SSAValue) else None}
    return OpAxes(by_operand(op, labels), (out,), roles | {"v": INDEXED, "r": alone})


@axis_rule("index_add.default", "index_copy.default")
def index_add(op: CallOp) -> OpAxes | None:
    axis, full = special(op, 1), named("a", rank(op.results[0]))
    if axis is None or len(set(op.operands)) < 3:
        return None
    out, source = with_label(full, axis, "v"), with_label(full, axis, "r")
    rows = SUMMED if "add" in op.target.data else OVERWRITTEN
    operands = by_operand(op, {0: out, 2: ("r",), 3: source})
    return OpAxes(operands, (out,), dict.fromkeys(full, KEPT) | {"v": INDEXED, "r": rows})


# -- put together -------------------------------------------------------------------------------------------------


@axis_rule("cat.default", "stack.default")
def joined(op: CallOp) -> OpAxes | None:
    axis, full = special(op, 1, 0), named("a", rank(op.results[0]))
    if axis is None:
        return None
    out = with_label(full, axis, "y")
    stacks = op.target.data == "aten.stack.default"
    operands = tuple(
        (*full[:axis], *full[axis + 1 :]) if stacks else with_label(full, axis, f"x{k}")
        for k in range(len(op.operands))
    )
    roles = {label: KEPT if label[0] == "a" else POSITIONAL for own in (*operands, out) for label in own}
    return OpAxes(operands, (out,), roles)


@axis_rule("slice_scatter.default", "select_scatter.default")
def written(op: CallOp) -> OpAxes | None:
    slices = op.target.data == "aten.slice_scatter.default"
    axis, full = special(op, 2, 0 if slices else None), named("a", rank(op.results[0]))
    if axis is None or len(set(op.operands)) != len(op.operands):
        return None
    out = with_label(full, axis, "y")
    source = with_label(full, axis, "x") if slices else (*full[:axis], *full[axis + 1 :])
    roles = dict.fromkeys(full, KEPT) | {"x": POSITIONAL, "y": POSITIONAL}
    return OpAxes(by_operand(op, {0: out, 1: source}), (out,), roles)


@axis_rule("pad.default", "constant_pad_nd.default")
def pad(op: CallOp) -> OpAxes | None:
    full, widths = named("a", rank(op.results[0])), integers(op, 1, "pad")
    if widths is None:
        return None
    padded = {full[-1 - k // 2] for k, width in enumerate(widths) if width}
    operand, out = (tuple(f"{side}{k}" if label in padded else label for k, label in enumerate(full)) for side in "xy")
    return OpAxes((operand,), (out,), {label: KEPT if label in full else POSITIONAL for label in (*operand, *out)})


@axis_rule("tril.default", "triu.default")
def triangle(op: CallOp) -> OpAxes:
    full = named("a", rank(op.results[0]))
    return OpAxes((full,), (full,), dict.fromkeys(full, KEPT) | dict.fromkeys(full[-2:], COMPARED))


@axis_rule("one_hot.default")
def one_hot(op: CallOp) -> OpAxes:
    full = named("a", rank(op.results[0]) - 1)
    return OpAxes((full,), ((*full, "v"),), dict.fromkeys(full, KEPT) | {"v": INDEXED})


@axis_rule("arange.default", "arange.start", "arange.start_step")
def arange(op: CallOp) -> OpAxes:
    return OpAxes(((),) * len(op.operands), (("y",),), {"y": NUMBERED})


@axis_rule("im2col.default", "upsample_bilinear2d.vec", "upsample_bicubic2d.vec", "upsample_linear1d.vec")
def image(op: CallOp) -> OpAxes:
    """Images are apart, and channels where they are not merged with taps; the rest names positions."""
    inner = ("x1",) if op.target.data == "aten.im2col.default" else ("c",)
    outer = ("y1",) if op.target.data == "aten.im2col.default" else ("c",)
    operand = ("n", *inner, *named("h", operand_ranks(op)[0] - 2))
    result = ("n", *outer, *named("z", rank(op.results[0]) - 2))
    roles = {label: KEPT if label in ("n", "c") else POSITIONAL for label in (*operand, *result)}
    return OpAxes((operand, *((),) * (len(op.operands) - 1)), (result,), roles)


# -- losses ---------------------------------------------------------------------------------------------------------


@axis_rule("cross_entropy_loss.default", "nll_loss_nd.default", "nll_loss.default")
def classification(op: CallOp) -> OpAxes | None:
    """Samples are apart, or summed; classes are named by the targets."""
    scores, target = argument(op, 0, "self"), argument(op, 1, "target")
    if not isinstance(scores, SSAValue) or not isinstance(target, SSAValue) or rank(scores) != rank(target) + 1:
        return None
    samples = named("a", rank(target))
    apart = argument(op, 3, "reduction", 1) == 0
    labels = by_operand(op, {0: (*samples[:1], "v", *samples[1:]), 1: samples, 2: ("v",)})
    roles = dict.fromkeys(samples, KEPT if apart else COUNTED) | {"v": CLASSES}
    return OpAxes(labels, (samples if apart else (),), roles)


@axis_rule("mse_loss.default", "l1_loss.default")
def difference(op: CallOp) -> OpAxes:
    full = named("a", operand_ranks(op)[0])
    apart = argument(op, 2, "reduction", 1) == 0
    operands = tuple(spread(shape(operand), full, shape(op.operands[0])) for operand in op.operands)
    return OpAxes(operands, (full if apart else (),), dict.fromkeys(full, KEPT if apart else COUNTED))
