"""Rules of softmax and of the norm layers.

| op                      | operand                      | result is inactive                     | fill             |
|-------------------------|------------------------------|----------------------------------------|------------------|
| softmax(dim)            | -inf along dim               | the same, in rows where not all are    | 0                |
| softmax(dim)            | rows of one number           | the same rows                          | 1 / n            |
| log_softmax(dim)        | the same                     | the same                               | -inf, - log n    |
| layer_norm, group_norm  | zero rows, zero images       | the same                               | 0, or the bias   |
| rms_norm                | zero rows, zero elements     | the same                               | 0                |
| batch_norm in inference | zeros but along the channel  | the same                               | batch_norm(0)    |
| any of these            | rows of a known fill         | the same rows                          | of that row      |

A mask is -inf, or finfo.min where it is added to finite scores: exp(finfo.min - max) is 0 where max is a score.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

from xdsl.ir import SSAValue

from ...dialects.aten import tensor_of
from .calls import argument, shape
from .element_types import lowest_of
from .fact_elementwise import finite
from .fact_fills import NEGATIVE_INFINITY, ZERO, Applied, Fill, Number, Sizes, applied
from .fact_products import widened
from .fact_reductions import enough
from .fact_rules import Known, Part, on_axis, register_rule, trailing, whole
from .fact_scope import Call, call_of
from .fact_truth import quantified
from .predicates import axes


def row_sizes(call: Call, part: Part) -> Sizes:
    """Sizes of the operand with 1 along the fact's axes."""
    used = axes(part.predicate)
    return tuple(1 if axis in used else size for axis, size in enumerate(shape(call.source())))


def of_row(call: Call, part: Part) -> Iterator[Part]:
    """The op on one row: the same up to rounding."""
    row = widened(part.fill, row_sizes(call, part), call.source())
    if row is not None:
        fills = {k: row if k == 0 else whole(call, operand) for k, operand in enumerate(call.op.operands)}
        yield replace(part, fill=applied(call.op, fills, row_sizes(call, part)), exact=False, binary=False)


# -- softmax --------------------------------------------------------------------------------------------------------


def softmax(call: Call, known: Known) -> Iterator[Part]:
    axis, logarithm = call.axis(1), "log" in call.target
    if axis is None:
        return
    for part in masked(call, known, call.source()):
        alive = quantified_along(call, part, axis)
        fill = NEGATIVE_INFINITY if logarithm else ZERO
        yield replace(part, predicate=part.predicate | ~alive.predicate, fill=fill, binary=False)
    for part in known.of(call.source()):
        if isinstance(part.fill, Number) and math.isfinite(part.fill.value):
            yield from uniform(call, quantified_along(call, part, axis), axis, logarithm)
        elif not isinstance(part.fill, Number) and axis not in axes(part.predicate):
            yield from of_row(call, part)


def quantified_along(call: Call, part: Part, axis: int) -> Part:
    """Is something active along `axis`?"""
    return replace(part, predicate=quantified(call, part.predicate, call.source(), (axis,)))


def uniform(call: Call, part: Part, axis: int, logarithm: bool) -> Iterator[Part]:
    """A row of one number: 1 / n, exactly where n is a power of two."""
    count = call.sizes[axis].number
    if count and not logarithm and count & (count - 1) == 0:
        yield replace(part, fill=Number(1 / count), binary=False)
    elif count:
        yield from of_row(call, part)


def masked(call: Call, known: Known, value: SSAValue) -> Iterator[Part]:
    """Where a score counts for nothing. All other scores are finite when what is needed is."""
    source, at = call.scope.root(value)
    maker = call_of(call.scope, source)
    name = maker.target.split(".")[1] if maker is not None else ""
    lowest = lowest_of(tensor_of(value).element_type)
    if maker is not None and name == "add":
        found = added_masks(maker, known, lowest)
    elif maker is not None and name in ("where", "masked_fill"):
        found = [chosen(maker, part) for part in known.of(source) if is_mask(part.fill, lowest)]
    else:
        return
    for part in found:
        yield replace(part, predicate=call.scope.read(part.predicate, at, call.scope.ranges(value)))


def is_mask(fill: Fill, lowest: float) -> bool:
    return isinstance(fill, Number) and fill.value <= lowest


def chosen(maker: Call, part: Part) -> Part:
    """where and masked_fill: the tensors that are chosen from must be finite."""
    places = (1, 2) if maker.target.startswith("aten.where") else (0,)
    for place in places:
        option = maker.tensor(place)
        if option is not None:
            part = finite(maker, part, option)
    return part


def added_masks(maker: Call, known: Known, lowest: float) -> Iterator[Part]:
    """scores + mask, where the mask is 0 exactly where it is not -inf or finfo.min."""
    for place, other in ((0, 1), (1, 0)):
        mask, scores = maker.tensor(place), maker.tensor(other)
        at = maker.aligned(mask) if mask is not None else None
        if mask is None or scores is None or at is None or argument(maker.op, 2, "alpha", 1) != 1:
            continue
        parts = list(known.read(maker, mask, at))
        zeros = {part.predicate for part in parts if part.fill == ZERO}
        for part in parts:
            if is_mask(part.fill, lowest) and ~part.predicate in zeros:
                yield finite(maker, part, scores)


# -- norms over the last axes -----------------------------------------------------------------------------------------


def layer_norm(call: Call, known: Known) -> Iterator[Part]:
    """(0 - 0) * rsqrt(0 + eps) * weight + bias"""
    given = argument(call.op, 1, "normalized_shape")
    width = len(given) if isinstance(given, tuple) else 0
    weight, bias, epsilon = call.tensor(2, "weight"), call.tensor(3, "bias"), call.literal(4, "eps", 1e-5)
    inner = tuple(range(len(shape(call.source())) - width, len(shape(call.source()))))
    if call.output or not epsilon or epsilon <= 0:
        return
    for part in known.of(call.source()):
        if part.fill == ZERO:
            fill = trailing(call, bias, call.rank) if bias is not None else ZERO
            yield from shifted(call, part, inner, weight, fill)
        elif not set(inner) & set(axes(part.predicate)):
            yield from of_row(call, part) if call.target == "aten.layer_norm.default" else ()


def shifted(
    call: Call, part: Part, over: tuple[int, ...], weight: SSAValue | None, fill: Fill | None
) -> Iterator[Part]:
    """Where all entries along `over` are 0, the result is `fill`; the weight is finite."""
    if fill is None or not enough(call, call.source(), over, 1):
        return
    part = replace(part, predicate=quantified_over(call, part, over), fill=fill, binary=False)
    yield part if weight is None else finite(call, part, weight)


def quantified_over(call: Call, part: Part, over: tuple[int, ...]):
    """Is something active along `over`? On the operand's axes."""
    return quantified(call, part.predicate, call.source(), over)


def rms_norm(call: Call, known: Known) -> Iterator[Part]:
    """x * rsqrt(mean(x * x) + eps) * weight: zero elements stay zero in finite rows, zero rows always"""
    weight, epsilon = call.tensor(2, "weight"), call.literal(3, "eps", 1e-6)
    given = argument(call.op, 1, "normalized_shape")
    width = len(given) if isinstance(given, tuple) else 0
    if not epsilon or epsilon <= 0:
        return
    for part in known.of(call.source()):
        inner = set(axes(part.predicate)) & set(range(call.rank - width, call.rank))
        if part.fill == ZERO:
            kept = part if not inner else finite(call, part, call.source())
            yield replace(kept if weight is None else finite(call, kept, weight), binary=False)
        elif not inner:
            yield from of_row(call, part)


# -- norms over channels ----------------------------------------------------------------------------------------------


def group_norm(call: Call, known: Known) -> Iterator[Part]:
    """A zero image has mean and variance 0 in every group, and becomes the bias."""
    instance = "instance" in call.target
    places = (1, 2) if instance else (2, 3)
    weight, bias = (call.tensor(place, name) for place, name in zip(places, ("weight", "bias"), strict=True))
    epsilon = call.literal(7 if instance else 4, "eps", 1e-5)
    trained = not instance or argument(call.op, 5, "use_input_stats") is True
    if not epsilon or epsilon <= 0 or not trained:
        return
    fill = ZERO if bias is None else on_axis(call, bias, call.rank, 1)
    for part in known.zeros(call.source()):
        over = tuple(range(2 if instance and bias is None else 1, call.rank))
        yield from shifted(call, part, over, weight, fill)


def batch_norm(call: Call, known: Known) -> Iterator[Part]:
    """In inference each channel is scaled and shifted: zeros become one row of channels."""
    if call.output or ("no_training" not in call.target and argument(call.op, 5, "training") is not False):
        return
    for part in known.of(call.source()):
        predicate = quantified_over(call, part, (1,)) if 1 in axes(part.predicate) else part.predicate
        if isinstance(part.fill, Number) or predicate == part.predicate:
            yield from as_inference(call, replace(part, predicate=predicate))


def as_inference(call: Call, part: Part) -> Iterator[Part]:
    """The row through `aten.batch_norm`, which has one result."""
    used = axes(part.predicate)
    sizes = tuple(1 if axis in used or axis != 1 else size for axis, size in enumerate(shape(call.source())))
    if not isinstance(part.fill, Number):
        sizes = row_sizes(call, part)
    row = widened(part.fill, sizes, call.source())
    if row is None:
        return
    fills = {k: row if k == 0 else whole(call, operand) for k, operand in enumerate(call.op.operands)}
    made = applied(call.op, fills, sizes)
    if "no_training" in call.target:
        args = call.op.template.data.args
        template = replace(call.op.template.data, args=(*args[:5], False, *args[5:7], False), kwargs=())
        made = Applied("aten.batch_norm.default", template, made.operands, sizes, call.element)
    yield replace(part, fill=made, exact=False, binary=False)


SOFTMAX = "softmax.int log_softmax.int _softmax.default _log_softmax.default _safe_softmax.default"
register_rule(softmax, *(f"aten.{name}" for name in SOFTMAX.split()))
register_rule(layer_norm, "aten.layer_norm.default", "aten.native_layer_norm.default")
register_rule(rms_norm, "aten.rms_norm.default")
register_rule(group_norm, "aten.group_norm.default", "aten.instance_norm.default")
register_rule(batch_norm, "aten.batch_norm.default", "aten._native_batch_norm_legit_no_training.default")
