"""Where sparsity comes from: ops whose results are zero in places that are known when they have run.

| source                                                   | inactive unless                         |
|----------------------------------------------------------|-----------------------------------------|
| relu, relu6, clamp(min = 0), hardtanh(0, .), threshold(., 0) | the result is not 0                 |
| hardshrink, softshrink, round, sign, heaviside, bernoulli    | the result is not 0                 |
| truth values: x > t, isin, one_hot, masks from outside       | they hold; then 1                   |
| a cast of truth values or integers to reals                  | they are not 0                      |
| dropout in training                                          | its mask holds                      |
| embedding with a padding index                               | another index, or its row is not 0  |
| fake_quantize whose zero point is exact                      | x is not 0                          |
| cross_entropy(reduction = none), nll_loss                    | the target is not ignored           |

A predicate `nz(%result)` is always true to its word; a source is where it is worth asking. (hardswish and hardsigmoid
are zero too rarely; silu, gelu and the like never are.) NaN is not 0 and stays active.
"""

from collections.abc import Iterator

from xdsl.dialects.builtin import IntegerType

from .calls import argument
from .fact_rules import Known, Part, register_rule, rule
from .fact_scope import Call, is_bool, position
from .fact_truth import cast_from
from .indices import Axis, Index
from .predicates import NonZero, equal, exists

SOURCES = (
    "relu.default relu6.default hardshrink.default softshrink.default round.default round.decimals sign.default "
    "sgn.default heaviside.default bernoulli.default bernoulli.p one_hot.default max_unpool2d.default "
    "max_unpool3d.default feature_dropout.default threshold_backward.default"
)
CONDITIONAL: dict[str, tuple[int, str]] = {
    "clamp.default": (1, "min"), "clamp_min.default": (1, "min"), "hardtanh.default": (1, "min_val"),
    "threshold.default": (2, "value"),
}  # fmt: skip
"""Sources when this argument is 0."""


def is_seen_through(call: Call) -> bool:
    """Is the truth of the result that of something else?"""
    truth = call.scope.truth(call.result)
    return not (isinstance(truth, NonZero) and truth.var.value is call.result)


def own(call: Call) -> Part:
    """Inactive where the result is zero."""
    return Part(call.scope.truth(call.result), binary=is_bool(call.result))


@rule(*(f"aten.{name}" for name in SOURCES.split()))
def source(call: Call, _: Known) -> Iterator[Part]:
    binary = call.target in ("aten.one_hot.default", "aten.bernoulli.default", "aten.bernoulli.p")
    yield Part(call.scope.truth(call.result), binary=binary)


@rule(*(f"aten.{name}" for name in CONDITIONAL))
def conditional(call: Call, _: Known) -> Iterator[Part]:
    place, name = CONDITIONAL[call.target.removeprefix("aten.")]
    if call.literal(place, name, -1.0) == 0:
        yield own(call)


@rule("aten._to_copy.default", "aten.to.dtype")
def cast(call: Call, _: Known) -> Iterator[Part]:
    """Of truth values and integers; reals are not looked into."""
    if (integral := cast_from(call.scope, call.result)) is not None:
        yield Part(call.scope.truth(call.result), binary=is_bool(integral))


@rule("aten.rsub.Scalar", "aten.sub.Scalar", "aten.sub.Tensor")
def complement(call: Call, _: Known) -> Iterator[Part]:
    """1 - mask, and mask - 1, where the mask is made of truth values or integers."""
    if call.literal(1, "other") == 1 and cast_from(call.scope, call.scope.root(call.source())[0]) is not None:
        yield own(call)


@rule("aten.native_dropout.default")
def dropout(call: Call, known: Known) -> Iterator[Part]:
    """The second result is the mask."""
    if call.output == 0:
        yield Part(call.scope.truth(call.op.results[1]), needs=frozenset((call.scope.var(call.source()),)))
        yield from known.zeros(call.source())


@rule("aten.embedding.default")
def embedding(call: Call, _: Known) -> Iterator[Part]:
    """The padding row is zero only as long as nobody changed it: the predicate asks."""
    padding, indices = argument(call.op, 2, "padding_idx", -1), call.tensor(1, "indices")
    if not isinstance(padding, int) or padding < 0 or indices is None:
        return
    weight = call.source()
    row = NonZero(call.scope.var(weight), (Index.of(padding), position(1)))
    changed = exists(row, Axis(1), call.scope.sizes(weight)[1], call.ranges)
    yield Part(~equal(call.scope.number(indices), padding, call.ranges) | changed)


@rule("aten.fake_quantize_per_tensor_affine.default")
def fake_quantize(call: Call, known: Known) -> Iterator[Part]:
    """round(0 / scale + zero) - zero is 0 when zero lies within the range."""
    zero, low, high = (call.literal(place, "") for place in (2, 3, 4))
    if isinstance(zero, int) and low is not None and high is not None and low <= zero <= high:
        yield own(call)
        yield from known.zeros(call.source())


IGNORED: dict[str, int] = {"cross_entropy_loss.default": 4, "nll_loss.default": 4, "nll_loss_nd.default": 4}
"""Where the ignored index stands; the reduction is one before."""


@rule(*(f"aten.{name}" for name in IGNORED))
def loss(call: Call, _: Known) -> Iterator[Part]:
    """Without a reduction, the loss at an ignored target is 0."""
    place = IGNORED[call.target.removeprefix("aten.")]
    target, ignored = call.tensor(1, "target"), call.literal(place, "ignore_index", -100)
    integers = target is not None and isinstance(target.type.element_type, IntegerType)  # pyright: ignore
    if target is None or not integers or argument(call.op, place - 1, "reduction", 1) != 0:
        return
    if isinstance(ignored, int) and call.rank == len(call.scope.sizes(target)):
        yield Part(~equal(call.scope.number(target), ignored, call.ranges))


def truth_of_result(call: Call, _: Known) -> Iterator[Part]:
    """Truth values are their own predicate."""
    if is_bool(call.result):
        yield own(call)


register_rule(truth_of_result, "*")
