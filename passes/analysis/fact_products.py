"""Rules of products: matmul, linear, einsum.

| operand                       | result is inactive                                  | fill                     |
|-------------------------------|-----------------------------------------------------|--------------------------|
| zero rows (or columns, batches) | the same rows (columns, batches)                  | 0, or the bias           |
| zero elements                 | rows with none left: not any(.. for j1 < k)         | 0, or the bias           |
| rows of a known fill          | the same rows                                       | the product of that row  |

The other operand must be finite: 0 * inf is NaN. On the summed axis a fact is used up: `permutable.py` says that its
zeros may be skipped. A product of one row may be rounded otherwise than the same row among many.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from xdsl.ir import SSAValue

from ...dialects.aten import tensor_of
from ...dialects.template import Ref, Template
from .axis_rules import RULES as AXIS_RULES
from .axis_rules import OpAxes
from .calls import argument, shape
from .fact_elementwise import finite
from .fact_fills import ZERO, Applied, Fill, Number, Sizes, applied
from .fact_rules import Known, Part, register_rule, spread, trailing, whole
from .fact_scope import Call, is_small, position
from .indices import Axis, Index
from .predicates import Predicate, axes, exists

BIAS: dict[str, tuple[int, str]] = {
    "aten.linear.default": (2, "bias"),
    "aten.addmm.default": (0, "self"),
    "aten.baddbmm.default": (0, "self"),
    "aten.addmv.default": (0, "self"),
}
"""Which argument is added to the product."""

ROWS = ("aten.linear.default", "aten.mm.default", "aten.matmul.default", "aten.addmm.default")
"""Products that take any number of rows."""


def contraction(call: Call, known: Known) -> Iterator[Part]:
    """Facts of the factors, carried to the labels of the result."""
    labels = AXIS_RULES[call.target](call.op)
    if labels is None or argument(call.op, 3, "beta", 1) != 1:
        return
    bias = call.tensor(*BIAS[call.target]) if call.target in BIAS else None
    factors = [operand for operand in call.op.operands if operand is not bias]
    found = [list(carried(call, known, labels, factor)) for factor in factors]
    for one, other in product(found[0], *found[1:2]) if len(found) == 2 else ():
        if set(axes(one.predicate)) == set(axes(other.predicate)):
            yield from plus(
                call, known, replace(one, predicate=one.predicate & other.predicate).and_needs(*other.needs), bias
            )
    for parts in found:
        for part in parts:
            yield from plus(call, known, part, bias)
    if call.target in ROWS:
        yield from rows(call, known, labels, factors[0], bias)


def carried(call: Call, known: Known, labels: OpAxes, factor: SSAValue) -> Iterator[Part]:
    """Where the product is 0 because `factor` is."""
    for part in known.zeros(factor):
        needed = replace(part, predicate=to_result(call, labels, factor, part.predicate), binary=False)
        for other in call.op.operands:
            if other is not factor and other is not (call.tensor(*BIAS[call.target]) if call.target in BIAS else None):
                needed = finite(call, needed, other)
        if is_small(needed.predicate):
            yield needed


def to_result(call: Call, labels: OpAxes, factor: SSAValue, predicate: Predicate) -> Predicate:
    """A predicate on a factor as one on the result: `exists` over the axes that are summed."""
    own = labels.operands[list(call.op.operands).index(factor)]
    sizes, ranges = call.scope.sizes(factor), call.scope.ranges(factor)
    for axis in reversed(range(len(own))):
        if own[axis] and own[axis] not in labels.results[0] and axis in axes(predicate):
            predicate = exists(predicate, Axis(axis), sizes[axis], ranges)
    place = {label: position(axis) for axis, label in enumerate(labels.results[0]) if label}
    return call.scope.read(predicate, tuple(place.get(label, Index()) for label in own), call.ranges)


def plus(call: Call, known: Known, part: Part, bias: SSAValue | None) -> Iterator[Part]:
    """What stands where the product is 0: the bias, where it is the same there or 0 itself."""
    if bias is None:
        yield part
        return
    at = call.aligned(bias)
    if at is None:
        return
    used = axes(part.predicate)
    fill = trailing(call, bias, call.rank)
    if fill is not None and not any(Axis(axis) in index.atoms() for axis in used for index in at):
        yield replace(part, fill=fill)
    for zero in known.read(call, bias, at, ZERO):
        yield replace(part, predicate=part.predicate | zero.predicate).and_needs(*zero.needs)


def rows(call: Call, known: Known, labels: OpAxes, factor: SSAValue, bias: SSAValue | None) -> Iterator[Part]:
    """Rows that are not 0: the product of one of them."""
    number = list(call.op.operands).index(factor)
    for part in known.of(factor):
        predicate = to_result(call, labels, factor, part.predicate)
        used = [axis for axis, label in enumerate(labels.operands[number]) if label in labels_of(labels, predicate)]
        others = [own for k, own in enumerate(labels.operands) if k != number]
        if part.fill == ZERO or any(set(own) & labels_of(labels, predicate) for own in others):
            continue
        sizes = tuple(1 if k in used else size for k, size in enumerate(shape(factor)))
        row = widened(part.fill, sizes, factor)
        if row is None:
            continue
        out = tuple(1 if axis in axes(predicate) else size for axis, size in enumerate(shape(call.result)))
        fills = {k: row if k == number else whole(call, operand) for k, operand in enumerate(call.op.operands)}
        yield Part(predicate, applied(call.op, fills, out), exact=False, needs=part.needs)


def labels_of(labels: OpAxes, predicate: Predicate) -> set[str]:
    """The result's labels that a predicate depends on."""
    return {labels.results[0][axis] for axis in axes(predicate)}


def widened(fill: Fill, sizes: Sizes, value: SSAValue) -> Fill | None:
    """A fill as a tensor of all of `sizes`."""
    if isinstance(fill, Number):
        return spread(fill, sizes, tensor_of(value).element_type)
    if fill.sizes == sizes:
        return fill
    target = tuple(size for size in sizes if isinstance(size, int))
    if len(target) < len(sizes):
        return None
    return Applied("aten.expand.default", Template((Ref(0), target)), (fill,), sizes, fill.element)


PRODUCTS = "linear mm bmm matmul mv dot addmm baddbmm addmv einsum"
register_rule(contraction, *(f"aten.{name}.default" for name in PRODUCTS.split()))
