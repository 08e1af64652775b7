"""Demand, op by op: what of the operands is read with effect, given what is of the result.

| op                             | operand                | demanded where                                             |
|--------------------------------|------------------------|------------------------------------------------------------|
| elementwise, products, sums,   | any                    | some element that reads it is; axes are known by label     |
| norms, attention, losses ..    |                        | (`permutable.py`): an axis that is not KEPT is read whole  |
| x * y, x & y, products         | x                      | also y is not 0 there, by its facts too (x is finite)      |
| addcmul(b, x, y)               | x                      | also y is not 0                                            |
| where, masked_fill, cat, pad, tril, slice_scatter .. | pieces | the piece is the one chosen                          |
| view, permute, slice, index, gather .. | the source     | some demanded element reads it from there                  |
| threshold_backward(g, x)       | g                      | x > threshold                                              |

Rules stand in `RULES` by call target, and give a demand for each operand; one that they leave out is read whole.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from xdsl.dialects.builtin import TensorType
from xdsl.ir import SSAValue

from .axis_rules import KEPT, Labels, OpAxes
from .calls import argument, rank
from .fact_elementwise import zeros_of
from .fact_moves import RESHAPES, regrouped
from .fact_pieces import PIECES
from .fact_products import BIAS, PRODUCTS
from .fact_rules import Known, Part
from .fact_scope import MOVES, Call, is_small
from .fact_signs import is_finite
from .index_arithmetic import Ranges, substitute
from .indices import Atom, Axis, Index, Var
from .permutable import axes_of
from .predicates import ALWAYS, Compare, Predicate, axes, conjunction, equal, exists, reindex


@dataclass(frozen=True)
class Demand:
    """The elements that are read with effect, as long as the tensors of `needs_finite` are finite."""

    predicate: Predicate
    needs_finite: frozenset[Var] = frozenset()

    def __or__(self, other: "Demand") -> "Demand":
        both = small(self.predicate | other.predicate)
        return WHOLE if both == ALWAYS else Demand(both, self.needs_finite | other.needs_finite)

    def __str__(self) -> str:
        needs = ", ".join(str(var) for var in sorted(self.needs_finite, key=lambda var: var.order))
        return f"{self.predicate}{f'; needs finite {needs}' if needs else ''}"


WHOLE = Demand(ALWAYS)


@dataclass(frozen=True)
class Given:
    """One result of a call, what is demanded of it, and what is known of values."""

    call: Call
    demand: Demand
    known: Known
    strict: bool = False

    def but(self, predicate: Predicate, needs: Iterable[Var] = ()) -> Demand:
        """The demand with another predicate and further needs."""
        predicate = small(predicate)
        return WHOLE if predicate == ALWAYS else Demand(predicate, self.demand.needs_finite | frozenset(needs))


Asked = Mapping[SSAValue, Demand]
Rule = Callable[[Given], Asked | None]
RULES: dict[str, Rule] = {}


def register_rule(rule: Rule, *targets: str) -> None:
    """Let `rule` speak for calls of `targets`, in place of the one that is there."""
    RULES.update(dict.fromkeys(targets, rule))


def small(predicate: Predicate) -> Predicate:
    """`predicate`, or all where it is not worth following."""
    return predicate if is_small(predicate) else ALWAYS


# -- where an operand is read from ------------------------------------------------------------------------------------

APART = 1000
"""Positions of the result are numbered from here while those of an operand stand beside them."""


def apart(axis: int) -> Axis:
    return Axis(APART + axis)


def shifted(count: int) -> dict[Atom, Index]:
    """Positions 0 .. count - 1 moved out of the way."""
    return {Axis(axis): Index.of(apart(axis)) for axis in range(count)}


def some_reader(predicate: Predicate, sizes: Sequence[Index], ranges: Ranges, kept: Container[int] = ()) -> Predicate:
    """Is there a position, on each axis that was moved out of the way and is not `kept`, where `predicate` holds?"""
    ranges = with_sizes(ranges, sizes)
    for axis in reversed(range(len(sizes))):
        if axis not in kept and apart(axis).number in axes(predicate):
            predicate = exists(predicate, apart(axis), sizes[axis], ranges)
    return predicate


def with_sizes(ranges: Ranges, sizes: Sequence[Index]) -> Ranges:
    """`ranges` with those of positions that were moved out of the way."""
    for axis, size in enumerate(sizes):
        ranges = ranges.with_size(apart(axis), size)
    return ranges


def read_at(call: Call, demand: Predicate, source: SSAValue, at: tuple[Index, ...]) -> Predicate:
    """The elements of `source` that the result reads at `at` where it is demanded."""
    moved = shifted(call.rank)
    sizes, ranges = call.scope.sizes(source), with_sizes(call.scope.ranges(source), call.sizes)
    meets = [
        equal(substitute(index, moved, ranges), Index.of(Axis(axis)), ranges)
        for axis, index in enumerate(at)
        if sizes[axis].number != 1
    ]
    return some_reader(conjunction((reindex(demand, moved, ranges), *meets)), call.sizes, call.scope.ranges(source))


# -- by label -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Joint:
    """The space of one call: the axes of the result, then those that are only in operands, each with a label."""

    call: Call
    axes: OpAxes

    @cached_property
    def summed(self) -> dict[str, Index]:
        """Labels that are not in the result, with their sizes."""
        own = self.axes.results[self.call.output]
        pairs = [
            pair
            for operand, labels in zip(self.call.op.operands, self.axes.operands, strict=True)
            if labels
            for pair in zip(labels, self.call.scope.sizes(operand), strict=True)
        ]
        return {label: size for label, size in pairs if label and label not in own}

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each label stands. An axis that is not kept stands in the result alone."""
        own = self.axes.results[self.call.output]
        kept = {label: k for k, label in enumerate(own) if label and self.axes.roles.get(label) == KEPT}
        return kept | {label: self.call.rank + k for k, label in enumerate(self.summed)}

    @cached_property
    def sizes(self) -> tuple[Index, ...]:
        return (*self.call.sizes, *self.summed.values())

    @cached_property
    def ranges(self) -> Ranges:
        ranges = self.call.ranges
        for axis, size in enumerate(self.sizes):
            ranges = ranges.with_size(Axis(axis), size)
        return ranges

    def at(self, labels: Labels) -> tuple[Index, ...]:
        """Where an operand with `labels` is read."""
        return tuple(Index.of(Axis(self.places[label])) if label in self.places else Index() for label in labels)

    def of_operand(self, predicate: Predicate, labels: Labels) -> Predicate:
        """A predicate on the space as one on an operand: does it hold for some reader of the element?"""
        moved = reindex(predicate, shifted(len(self.sizes)))
        own: dict[Atom, Index] = {
            apart(self.places[label]): Index.of(Axis(axis)) for axis, label in enumerate(labels) if label in self.places
        }
        kept = {atom.number - APART for atom in own if isinstance(atom, Axis)}
        return reindex(some_reader(moved, self.sizes, self.call.ranges, kept), own)


def joint(given: Given) -> Joint | None:
    """The labels of a call; None where nothing is known, or an operand has one twice."""
    found = axes_of(given.call.op)
    if found is None:
        return None
    for operand, labels in zip(given.call.op.operands, found.operands, strict=True):
        named = [label for label in labels if label]
        if len(set(named)) < len(named):
            return None
        if isinstance(operand.type, TensorType) and len(labels) != rank(operand):
            return None
    return Joint(given.call, found)


def labelled(given: Given) -> Asked:
    """Each operand where some demanded element reads it."""
    space = joint(given)
    if space is None:
        return {}
    return {
        operand: given.but(space.of_operand(given.demand.predicate, labels))
        for operand, labels in zip(given.call.op.operands, space.axes.operands, strict=True)
    }


# -- factors ------------------------------------------------------------------------------------------------------


def factors(given: Given) -> Asked | None:
    """x * y, and sums of such: x also only where y is not 0"""
    space, call = joint(given), given.call
    if space is None:
        return None
    bias = call.tensor(*BIAS[call.target]) if call.target in BIAS else None
    asked = dict(labelled(given))
    members = [operand for operand in call.op.operands if operand in asked and operand is not bias]
    if len(members) == 2 and all(isinstance(member.type, TensorType) for member in members):
        for x, y in (members, members[::-1]):
            asked[x] = factor(given, space, x, y)
    return asked


def factor(given: Given, space: Joint, x: SSAValue, y: SSAValue) -> Demand:
    """What is demanded of the factor `x` beside `y`."""
    call, operands = given.call, list(given.call.op.operands)
    own, other = (space.axes.operands[operands.index(value)] for value in (x, y))
    predicate = given.demand.predicate
    needs: set[Var] = set()
    for part in zeros(given, space, y, other):
        if given.strict and (part.needs or not is_finite(call.scope, x)):
            continue
        narrower = predicate & part.predicate
        if narrower != predicate and is_small(narrower):
            predicate = narrower
            needs |= part.needs if is_finite(call.scope, x) else part.needs | {call.scope.var(x)}
    return given.but(space.of_operand(predicate, own), needs)


def positions(space: Joint, labels: Labels) -> dict[Atom, Index]:
    """Positions of an operand as positions of the space."""
    return {Axis(axis): index for axis, index in enumerate(space.at(labels))}


def zeros(given: Given, space: Joint, y: SSAValue, labels: Labels) -> Iterator[Part]:
    """Where `y` is 0, over the space: by its facts, or, if there are any, because it is."""
    call = given.call
    if call.target in MULTIPLIES:
        found = list(zeros_of(call, given.known, y))
    else:
        by = positions(space, labels)
        found = [replace(p, predicate=reindex(p.predicate, by, space.ranges)) for p in given.known.zeros(y)]
    if found and (itself := call.scope.truth(y)):
        yield Part(reindex(itself, positions(space, labels), space.ranges))
    yield from (part for part in found if part.exact)


MULTIPLIES = frozenset(
    ("aten.mul.Tensor", "aten.logical_and.default", "aten.bitwise_and.Tensor", "aten.__and__.Tensor")
)
register_rule(factors, *MULTIPLIES, *(f"aten.{name}.default" for name in PRODUCTS.split()))


def sum_and_product(given: Given) -> Asked | None:
    """b + value * x * y: x only where y is not 0"""
    space = joint(given)
    members = [given.call.tensor(place) for place in (1, 2)]
    x, y = members
    if space is None or x is None or y is None or x is y or given.call.tensor(0) in members:
        return None
    return dict(labelled(given)) | {
        x: factor(given, space, x, y),
        y: factor(given, space, y, x),
    }


register_rule(sum_and_product, "aten.addcmul.default")


# -- pieces and moves -----------------------------------------------------------------------------------------------


def pieces(given: Given) -> Asked | None:
    """What is chosen, where it is; the condition wherever the result is demanded."""
    call = given.call
    found = PIECES[call.target.removeprefix("aten.")](call)
    if found is None:
        return None
    asked: dict[SSAValue, Demand] = {}
    sources = {piece.source for piece in found if isinstance(piece.source, SSAValue)}
    for operand, demand in labelled(given).items():
        if operand not in sources:
            asked[operand] = demand
    for piece in found:
        if isinstance(piece.source, SSAValue):
            read = given.but(read_at(call, given.demand.predicate & piece.when, piece.source, piece.at))
            asked[piece.source] = asked[piece.source] | read if piece.source in asked else read
    conditions = [value for value in (argument(call.op, k, "") for k in (0, 1)) if isinstance(value, SSAValue)]
    for value in conditions:
        if value in sources and list(call.op.template.data.refs()).count(list(call.op.operands).index(value)) > 1:
            asked[value] = WHOLE
    return asked


register_rule(pieces, *(f"aten.{name}" for name in PIECES))


def moves(given: Given) -> Asked | None:
    """The source where a demanded element reads it; what says where is read whole."""
    call = given.call
    if call.tensor(0) is None or (reading := MOVES[call.target](call)) is None:
        return None
    source, at = reading
    if list(call.op.template.data.refs()).count(list(call.op.operands).index(source)) > 1:
        return None
    return {source: given.but(read_at(call, given.demand.predicate, source, at))}


def reshapes(given: Given) -> Asked | None:
    """A reshape is undone: the element of the result that holds it."""
    call, source = given.call, given.call.source()
    at = regrouped(call.sizes, call.scope.sizes(source), call.scope.ranges(source))
    if at is None:
        return None
    return {source: given.but(call.scope.read(given.demand.predicate, at, call.scope.ranges(source)))}


register_rule(moves, *MOVES)
register_rule(reshapes, *(f"aten.{name}" for name in RESHAPES.split()))


# -- gradients ------------------------------------------------------------------------------------------------------


def threshold_backward(given: Given) -> Asked | None:
    """The gradient where the input was above the threshold; NaN lets it through."""
    call, gradient, x = given.call, given.call.source(), given.call.tensor(1, "self")
    threshold = call.literal(2, "threshold")
    if x is None or x is gradient or threshold is None or (at := call.aligned(x)) is None:
        return None
    cut = ~Compare(call.scope.var(x), "le", float(threshold), at)
    return dict(labelled(given)) | {gradient: given.but(given.demand.predicate & cut)}


register_rule(threshold_backward, "aten.threshold_backward.default")
