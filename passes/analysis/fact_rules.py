"""Facts about values, and the rules that carry them through ops.

    %r = aten.relu(%x)                 0 unless nz(%r)
    %h = aten.mul(%x, %mask)           0 on axes (0, 1) unless nz(%mask)          needs finite %x
    %y = aten.linear(%h, %w, %b)       %b on axes (0, 1) unless nz(%mask)         needs finite %x, %w
    %p = aten.masked_fill(%s, %m, -inf)  -inf unless not nz(%m)

Rules stand in `RULES` by call target; several may speak for one op, and each yields what it can prove. An op without a
rule gives no facts: unknown is never wrong.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from xdsl.ir import Attribute, SSAValue

from ...dialects.aten import tensor_of
from .fact_fills import ONE, ZERO, Fill, Number, Sizes, Whole, filled, viewed
from .fact_fills import variables as fill_variables
from .fact_scope import Call, Scope, is_small, position
from .indices import Axis, Index, Var
from .predicates import ALWAYS, Constant, Predicate, axes, reindex, variables

MAX_FACTS = 8
"""Facts kept of one value: the first found, those of the op itself first."""


@dataclass(frozen=True)
class Inactive:
    """For every index tuple over `axes` where `predicate` does not hold, the slice equals `fill`.

    `axes[k]` is the axis of the value that position `i<k>` of the predicate runs along, so that all tensors masked
    alike have the same predicate. `exact`: equal bit for bit (0 and -0 alike); else equal up to rounding. `binary`:
    all other elements are 1. The fact holds when every tensor of `needs_finite` is finite (and, for a mask of
    finfo.min that is added to scores, the scores are below a quarter of the type's largest number).
    """

    predicate: Predicate
    axes: tuple[int, ...]
    fill: Fill = ZERO
    exact: bool = True
    binary: bool = False
    needs_finite: frozenset[Var] = frozenset()

    @cached_property
    def on_value(self) -> Predicate:
        """The predicate in the value's own axes."""
        return reindex(self.predicate, {Axis(k): position(axis) for k, axis in enumerate(self.axes)})

    def kind(self, rank: int) -> str:
        """element, rows (the first axes), columns (the last), slices, or whole, of a value of `rank` axes."""
        covered = sorted(self.axes)
        kinds = {
            tuple(range(rank - len(covered), rank)): "columns",
            tuple(range(len(covered))): "rows",
            tuple(range(rank)): "element",
            (): "whole",
        }
        return kinds.get(tuple(covered), "slices")

    def __str__(self) -> str:
        where = f" on axes {list(self.axes)}" if self.axes else ""
        unless = "" if self.predicate == Constant(False) else f" unless {self.predicate}"
        needs = ", ".join(str(var) for var in sorted(self.needs_finite, key=lambda var: var.order))
        marks = ["else 1"] * self.binary + ["rounded"] * (not self.exact) + [f"needs finite {needs}"] * bool(needs)
        return "; ".join([f"{self.fill}{where}{unless}", *marks])


@dataclass(frozen=True)
class Part:
    """A fact in the making: what holds of the result where `predicate`, over all its axes, does not."""

    predicate: Predicate
    fill: Fill = ZERO
    exact: bool = True
    binary: bool = False
    needs: frozenset[Var] = frozenset()

    def with_other(self, other: "Part", predicate: Predicate) -> "Part":
        """What holds where this and `other` do: zero again."""
        exact, binary = self.exact and other.exact, self.binary and other.binary
        return Part(predicate, exact=exact, binary=binary, needs=self.needs | other.needs)

    def and_needs(self, *vars: Var) -> "Part":
        """The same where more must be finite."""
        return replace(self, needs=self.needs | frozenset(vars))


Rule = Callable[[Call, "Known"], Iterable[Part]]
RULES: dict[str, tuple[Rule, ...]] = {}


def register_rule(rule: Rule, *targets: str) -> None:
    """Let `rule` speak for calls of `targets`, beside the rules that are there."""
    for target in targets:
        RULES[target] = (*RULES.get(target, ()), rule)


def rule(*targets: str) -> Callable[[Rule], Rule]:
    """Register the decorated rule for `targets`."""

    def register(function: Rule) -> Rule:
        register_rule(function, *targets)
        return function

    return register


@dataclass
class Known:
    """The facts of the values seen so far."""

    facts: dict[SSAValue, tuple[Inactive, ...]] = field(default_factory=dict)

    def of(self, value: SSAValue) -> Iterator[Part]:
        """The facts of `value`, over its own axes."""
        for fact in self.facts.get(value, ()):
            yield Part(fact.on_value, fact.fill, fact.exact, fact.binary, fact.needs_finite)

    def zeros(self, value: SSAValue) -> Iterator[Part]:
        """Those whose fill is 0."""
        return (part for part in self.of(value) if part.fill == ZERO)

    def read(self, call: Call, value: SSAValue, at: Sequence[Index], fill: Fill | None = None) -> Iterator[Part]:
        """The facts of `value` with a Number for a fill (or with just `fill`), where the result reads it at `at`."""
        for part in self.of(value):
            if isinstance(part.fill, Number) and fill in (None, part.fill):
                yield replace(part, predicate=call.scope.read(part.predicate, tuple(at), call.ranges))


def settle(call: Call, parts: Iterable[Part]) -> tuple[Inactive, ...]:
    """Parts as facts in normal form, each once, the weaker of two left out."""
    facts: dict[Inactive, None] = {}
    for part in parts:
        fact = normal(call.scope, call.result, part)
        if fact is not None and not any(weaker(fact, other) for other in facts):
            facts = {other: None for other in facts if not weaker(other, fact)}
            facts[fact] = None
    one_elsewhere = {~fact.on_value for fact in facts if fact.binary}
    told = [fact for fact in facts if fact.fill != ONE or fact.on_value not in one_elsewhere]
    return tuple(told)[:MAX_FACTS]


def normal(scope: Scope, value: SSAValue, part: Part) -> Inactive | None:
    """The fact over the axes that its predicate depends on; None when it says nothing or cannot be used."""
    predicate = part.predicate
    if predicate == ALWAYS or not is_small(predicate) or not scope.is_stable(value):
        return None
    read = (*variables(predicate), *fill_variables(part.fill))
    if not all(isinstance(var.value, SSAValue) and scope.is_stable(var.value) for var in read):
        return None
    used = axes(predicate)
    if not isinstance(part.fill, Number) and not is_row(part.fill, used):
        return None
    numbered = reindex(predicate, {Axis(axis): position(k) for k, axis in enumerate(used)})
    return Inactive(numbered, used, part.fill, part.exact, part.binary, part.needs)


def is_row(fill: Fill, used: tuple[int, ...]) -> bool:
    """Is a fill the same along the axes of its fact, and not just the tensor itself?"""
    return all(fill.sizes[axis] == 1 for axis in used or range(len(fill.sizes)))


def weaker(fact: Inactive, other: Inactive) -> bool:
    """Does `other` say as much along the same axes: the same fill in more places, under fewer conditions?"""
    if (
        set(fact.axes) != set(other.axes)
        or fact.fill != other.fill
        or not other.needs_finite <= fact.needs_finite
        or other.exact < fact.exact
    ):
        return False
    if fact.predicate == other.predicate and fact.axes == other.axes:
        return other.binary >= fact.binary
    return not fact.binary and fact.on_value | other.on_value == fact.on_value


# -- fills --------------------------------------------------------------------------------------------------------


def whole(call: Call, value: SSAValue) -> Whole:
    """`value` as a fill."""
    scope = call.scope
    sizes = tuple(size.number if size.number is not None else str(size) for size in scope.sizes(value))
    return Whole(scope.var(value), sizes, tensor_of(value).element_type)


def trailing(call: Call, value: SSAValue, rank: int) -> Fill | None:
    """`value` as a fill of `rank` axes, its own axes last; None where it is of another type than the result."""
    fill = whole(call, value)
    return viewed(fill, (1,) * (rank - len(fill.sizes)) + fill.sizes) if fill.element == call.element else None


def on_axis(call: Call, value: SSAValue, rank: int, axis: int) -> Fill | None:
    """A vector as a fill of `rank` axes, along `axis`; None where it is of another type than the result."""
    fill = whole(call, value)
    if len(fill.sizes) != 1 or fill.element != call.element:
        return None
    return viewed(fill, tuple(fill.sizes[0] if k == axis else 1 for k in range(rank)))


def spread(fill: Fill, sizes: Sizes, element: Attribute) -> Fill | None:
    """A Number as a tensor of `sizes`; other fills as they are."""
    return filled(fill.value, sizes, element) if isinstance(fill, Number) else fill
