"""What a demand is, and how it passes from a result to operands: by where they are read, or by labels of axes.

    read_at       result[i0, i1] reads x[i1, 2 * i0]        x: some demanded element reads it from there
    labelled      result[m, n] sums x[m, k] w[n, k]         x: rows m of which some (m, n) is demanded, for every k

A rule takes one result of a call (`Given`) and gives a demand for each operand; it stands in `RULES` by call target.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from xdsl.dialects.builtin import TensorType
from xdsl.ir import SSAValue

from .axis_rules import KEPT, Labels, OpAxes
from .calls import rank
from .fact_rules import Known
from .fact_scope import Call, is_small
from .index_arithmetic import Ranges, substitute
from .indices import Atom, Axis, Index, Var
from .permutable import axes_of
from .predicates import ALWAYS, Predicate, axes, conjunction, equal, exists, reindex


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
