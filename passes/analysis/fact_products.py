"""Rules of products: matmul, linear, einsum.

| operand                       | result is inactive                                  | fill                     |
|-------------------------------|-----------------------------------------------------|--------------------------|
| zero rows (or columns, batches) | the same rows (columns, batches)                  | 0, or the bias           |
| zero elements                 | rows with none left: not any(.. for j1 < k)         | 0, or the bias           |
| zero elements of both         | where no term has two that are not 0                | 0, or the bias           |
| rows of a known fill          | the same rows                                       | the product of that row  |

The other operand must be finite: 0 * inf is NaN. On the summed axis a fact is used up: `permutable.py` says that its
zeros may be skipped. A product of one row may be rounded otherwise than the same row among many.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, product

from xdsl.ir import SSAValue

from ...dialects.aten import tensor_of
from ...dialects.template import Ref, Template
from .axis_rules import RULES as AXIS_RULES
from .axis_rules import Labels, OpAxes
from .calls import argument, shape
from .fact_elementwise import finite
from .fact_fills import ZERO, Applied, Fill, Number, Sizes, applied
from .fact_rules import Known, Part, register_rule, spread, trailing, whole
from .fact_scope import Call, is_small, position
from .index_arithmetic import Ranges
from .indices import Axis, Index
from .predicates import ALWAYS, Predicate, axes, exists

BIAS: dict[str, tuple[int, str]] = {
    "aten.linear.default": (2, "bias"),
    "aten.addmm.default": (0, "self"),
    "aten.baddbmm.default": (0, "self"),
    "aten.addmv.default": (0, "self"),
}
"""Which argument is added to the product."""

ROWS = ("aten.linear.default", "aten.mm.default", "aten.matmul.default", "aten.addmm.default")
"""Products that take any number of rows."""


@dataclass(frozen=True)
class Labelled:
    """A product whose axes have labels: those of the result are numbered as they stand, summed ones after them."""

    call: Call
    axes: OpAxes
    bias: SSAValue | None

    @property
    def factors(self) -> list[SSAValue]:
        return [operand for operand in self.call.op.operands if operand is not self.bias]

    def labels(self, factor: SSAValue) -> Labels:
        return self.axes.operands[list(self.call.op.operands).index(factor)]

    @cached_property
    def summed(self) -> dict[str, Index]:
        """The labels that are not in the result, with their sizes."""
        pairs = [pair for f in self.factors for pair in zip(self.labels(f), self.call.scope.sizes(f), strict=True)]
        return {label: size for label, size in pairs if label and label not in self.axes.results[0]}

    def at(self, factor: SSAValue) -> tuple[Index, ...]:
        """Where a factor is read for one term of the sum."""
        place = {label: position(axis) for axis, label in enumerate(self.axes.results[0]) if label}
        place |= {label: position(self.call.rank + k) for k, label in enumerate(self.summed)}
        return tuple(place.get(label, Index()) for label in self.labels(factor))

    def term(self, factor: SSAValue, predicate: Predicate) -> Predicate:
        """A predicate on a factor as one on a term of the sum."""
        return self.call.scope.read(predicate, self.at(factor), self.ranges)

    def any_term(self, predicate: Predicate) -> Predicate:
        """Does it hold for a term of the sum? Terms are left out of the question where it does not depend on them."""
        for k, size in reversed(list(enumerate(self.summed.values()))):
            if self.call.rank + k in axes(predicate):
                predicate = exists(predicate, Axis(self.call.rank + k), size, self.ranges)
        return predicate

    @cached_property
    def ranges(self) -> Ranges:
        ranges = self.call.ranges
        for k, size in enumerate(self.summed.values()):
            ranges = ranges.with_size(Axis(self.call.rank + k), size)
        return ranges

    def unless_infinite(self, part: Part, factor: SSAValue) -> Part:
        """0 because of `factor`: the others must be finite."""
        for other in self.factors:
            part = finite(self.call, part, other) if other is not factor else part
        return part


def contraction(call: Call, known: Known) -> Iterator[Part]:
    """Facts of the factors, carried to the labels of the result."""
    labels = AXIS_RULES[call.target](call.op)
    scales = [argument(call.op, 3, name, 1) for name in ("beta", "alpha")]
    if labels is None or scales != [1, 1]:
        return
    product_of = Labelled(call, labels, call.tensor(*BIAS[call.target]) if call.target in BIAS else None)
    parts = [part for part in zero_terms(product_of, known) if is_small(part.predicate) and part.predicate != ALWAYS]
    for part in parts:
        yield from plus(call, known, part, product_of.bias)
    if call.target in ROWS:
        yield from rows(product_of, known)


def zero_terms(labelled: Labelled, known: Known) -> Iterator[Part]:
    """Where every term is 0: because of one factor, or now of one, now of the other."""
    found = {factor: list(known.zeros(factor)) for factor in labelled.factors}
    for (one, left), (other, right) in combinations(found.items(), 2):
        for a, b in product(left, right):
            terms = labelled.term(one, a.predicate), labelled.term(other, b.predicate)
            used, also = (set(axes(term)) for term in terms)
            if used == also or any(axis >= labelled.call.rank for axis in used & also):
                both = replace(a.with_other(b, labelled.any_term(terms[0] & terms[1])), binary=False)
                yield labelled.unless_infinite(labelled.unless_infinite(both, one), other)
    for factor, parts in found.items():
        for part in parts:
            predicate = labelled.any_term(labelled.term(factor, part.predicate))
            yield labelled.unless_infinite(replace(part, predicate=predicate, binary=False), factor)


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
        yield part.with_other(zero, part.predicate | zero.predicate)


def rows(labelled: Labelled, known: Known) -> Iterator[Part]:
    """Rows of the first factor that are not 0: the product of one of them."""
    call, factor = labelled.call, labelled.factors[0]
    others = {label for other in labelled.factors[1:] for label in labelled.labels(other)}
    for part in known.of(factor):
        predicate = labelled.term(factor, part.predicate)
        if part.fill == ZERO or any(axis >= call.rank for axis in axes(predicate)):
            continue
        used = {labelled.axes.results[0][axis] for axis in axes(predicate)}
        if used & others:
            continue
        own = zip(labelled.labels(factor), shape(factor), strict=True)
        row = widened(part.fill, tuple(1 if label in used else size for label, size in own), factor)
        if row is None:
            continue
        out = tuple(1 if axis in axes(predicate) else size for axis, size in enumerate(shape(call.result)))
        fills = {k: row if operand is factor else whole(call, operand) for k, operand in enumerate(call.op.operands)}
        yield Part(predicate, applied(call.op, fills, out), exact=False, needs=part.needs)


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
