"""Axes of norms, softmax, reductions, scans and orders.

layer_norm   "m0 m1 d" -> "m0 m1 d"   d: equivariant, but every entry takes part in mean and variance
softmax      "a0 a1" -> "a0 a1"       a1: only -inf may be left out
sum          "a0 a1" -> "a0"          a1: zeros add nothing
cumsum       "a0 a1" -> "a0 a1"       a1: the order matters
"""

from ...dialects.aten import CallOp
from .axis_rules import (
    KEPT,
    SUMMED,
    AxisRole,
    OpAxes,
    Role,
    Rule,
    Skip,
    axis_rule,
    by_operand,
    named,
    neither,
    operand_ranks,
)
from .calls import argument, rank, shape

# -- norms ------------------------------------------------------------------------------------------------------

COUNTED = AxisRole(Role.REDUCED, Skip.ZERO, "the divisor stays the full count")
GROUPED = neither("channels are tied to their group: only whole groups move")
STATISTICS = AxisRole(Role.PARALLEL, Skip.NEVER, "statistics run over this axis: they need every entry, zeros too")


@axis_rule("layer_norm.default", "rms_norm.default")
def layer_norm(op: CallOp) -> OpAxes | None:
    """The normalised axes are equivariant when weight and bias go along."""
    given = argument(op, 1, "normalized_shape")
    width = len(given) if isinstance(given, tuple) else 0
    rows, inner = named("m", operand_ranks(op)[0] - width), named("d", width)
    full_width = AxisRole(Role.PARALLEL, Skip.FILL, "the mean square is divided by the full width")
    roles = dict.fromkeys(rows, KEPT) | dict.fromkeys(inner, full_width if "rms" in op.target.data else STATISTICS)
    return OpAxes(by_operand(op, {0: (*rows, *inner), 2: inner, 3: inner}), ((*rows, *inner),), roles)


@axis_rule("batch_norm.default", "_native_batch_norm_legit_no_training.default", "_native_batch_norm_legit.default",
           "_native_batch_norm_legit.no_stats", "_native_batch_norm_legit_functional.default")  # fmt: skip
def batch_norm(op: CallOp) -> OpAxes:
    """In training the statistics run over everything but the channel."""
    vectors = 2 if op.target.data.endswith("no_stats") else 4
    training = "no_training" not in op.target.data and argument(op, 1 + vectors, "training", False) is not False
    others = named("s", operand_ranks(op)[0] - 2)
    full = ("n", "c", *others)
    roles = {"c": KEPT} | dict.fromkeys(("n", *others), STATISTICS if training else KEPT)
    rest = tuple(("c",) if rank(result) == 1 and shape(result) != (0,) else ("",) for result in op.results[1:])
    return OpAxes(by_operand(op, {0: full, **dict.fromkeys(range(1, 1 + vectors), ("c",))}), (full, *rest), roles)


@axis_rule("group_norm.default", "instance_norm.default")
def group_norm(op: CallOp) -> OpAxes:
    """One group is layer norm over channels and space; as many groups as channels leave each channel alone."""
    instance = "instance" in op.target.data
    groups, channels = argument(op, 1, "num_groups"), shape(op.operands[0])[1]
    space = named("s", operand_ranks(op)[0] - 2)
    channel = KEPT if instance or groups == channels else STATISTICS if groups == 1 else GROUPED
    roles = {"n": KEPT, "c": channel} | dict.fromkeys(space, STATISTICS)
    vectors = (1, 2, 3, 4) if instance else (2, 3)
    labels = by_operand(op, {0: ("n", "c", *space), **dict.fromkeys(vectors, ("c",))})
    return OpAxes(labels, (("n", "c", *space),), roles)


# -- along one axis -----------------------------------------------------------------------------------------------


def along(op: CallOp, place: int, role: AxisRole, default: int | None = None) -> OpAxes | None:
    """Same axes in and out; `role` on the one that the argument at `place` names."""
    full, axis = named("a", operand_ranks(op)[0]), argument(op, place, "dim", default)
    if not isinstance(axis, int) or not full:
        return None
    roles = dict.fromkeys(full, KEPT) | {full[axis]: role}
    rest = ((),) * (len(op.operands) - 1)
    return OpAxes((full, *rest), (full,) * len(op.results), roles)


MASKED = AxisRole(Role.PARALLEL, Skip.LOWEST, "every entry takes part in the denominator but -inf: exp(0) = 1")
ORDERED = neither("scan order matters")
TIES = neither("the result names positions: they would have to be mapped back, and ties go to the first")


def registered(role: AxisRole, place: int, *targets: str, default: int | None = None) -> None:
    """Register ops of one special axis."""
    axis_rule(*targets)(lambda op: along(op, place, role, default))


registered(MASKED, 1, "softmax.int", "log_softmax.int", "_softmax.default", "_log_softmax.default")
registered(ORDERED, 1, "cumsum.default", "cumprod.default", "cummax.default", "cummin.default", "logcumsumexp.default")
registered(TIES, 1, "sort.default", "argsort.default", default=-1)


@axis_rule("topk.default")
def topk(op: CallOp) -> OpAxes | None:
    """As sort, but that the result's axis is another one."""
    axes = along(op, 2, TIES, -1)
    if axes is None:
        return None
    (full, *_), last = axes.operands, next(label for label, role in axes.roles.items() if role is TIES)
    result = tuple("y" if label == last else label for label in full)
    return OpAxes(axes.operands, (result,) * len(op.results), {**axes.roles, "y": TIES})


def reduction(role: AxisRole, place: int = 1, default: int | None = None) -> Rule:
    """Axes that are reduced, all of them when none are given and there is no default."""

    def rule(op: CallOp) -> OpAxes | None:
        full, given = named("a", operand_ranks(op)[0]), argument(op, place, "dim", default)
        chosen = [given] if isinstance(given, int) and not isinstance(given, bool) else given
        listed = [axis for axis in chosen if isinstance(axis, int)] if isinstance(chosen, list | tuple) else []
        reduced = {full[axis] for axis in listed} if listed and full else set(full)
        kept_size = rank(op.results[0]) == len(full)
        result = tuple("" if label in reduced else label for label in full if kept_size or label not in reduced)
        roles = dict.fromkeys(full, KEPT) | dict.fromkeys(reduced, role)
        return OpAxes((full,), (result,) * len(op.results), roles)

    return rule


HIGHEST_OF = AxisRole(Role.REDUCED, Skip.LOWEST, "0 takes part again when zeros were skipped")
LOWEST_OF = AxisRole(Role.REDUCED, Skip.HIGHEST, "0 takes part again when zeros were skipped")
SPREAD = AxisRole(Role.REDUCED, Skip.NEVER, "the variance needs every entry, zeros too")
EXPONENTIAL = AxisRole(Role.REDUCED, Skip.LOWEST, "exp(0) = 1 is not nothing")
REDUCTIONS: dict[str, AxisRole] = {
    "sum.default sum.dim_IntList nansum.default any.default any.dim any.dims count_nonzero.default "
    "count_nonzero.dim_IntList": SUMMED,
    "mean.default mean.dim": COUNTED,
    "amax.default max.default": HIGHEST_OF,
    "amin.default min.default": LOWEST_OF,
    "prod.default prod.dim_int all.default all.dim all.dims": AxisRole(Role.REDUCED, Skip.ONE),
    "var.default var.dim var.correction std.default std.dim std.correction": SPREAD,
    "logsumexp.default": EXPONENTIAL,
    "argmax.default argmin.default max.dim min.dim median.dim": TIES,
}
for _names, _role in REDUCTIONS.items():
    axis_rule(*_names.split())(reduction(_role))
axis_rule("mode.default")(reduction(TIES, 1, -1))
axis_rule("kthvalue.default")(reduction(TIES, 2, -1))
SMALLEST = AxisRole(Role.REDUCED, Skip.NEVER, "a norm of negative order is 0 where an entry is")


@axis_rule("linalg_vector_norm.default", "norm.ScalarOpt_dim")
def norm(op: CallOp) -> OpAxes | None:
    """Zeros add nothing, unless the order is negative."""
    order = argument(op, 1, "ord", 2)
    counts_zeros = not isinstance(order, int | float) or order < 0
    return reduction(SMALLEST if counts_zeros else SUMMED, 2)(op)
