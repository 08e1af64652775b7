"""Which products skip, by which support, up to which density: the decisions of `insert-skips`, for it and `explain`.

    %linear.1   n   nz(%relu)   density 0.05 measured, skips up to 0.19
    %linear.2   k   nz(%relu)   density 0.05 measured, skips up to 0.04      -> dense: it does not pay

A site has several supports to choose from. The one that costs least at its measured density wins; its own price is
shared by all the sites that could use it. A list of positions is at most as dense as it is long.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from xdsl.dialects.builtin import FloatAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, OpResult, SSAValue

from ..dialects.aten import CallOp
from ..dialects.sparse import Skip
from .analysis.calls import shape
from .analysis.skips import SkipSite, read_product
from .analysis.supports import Columns, Listed, Support
from .guard_density import element_bytes, expected, hints
from .solvers.skipping import WORTH, SkippedProduct, Skipper, listing

DENSITY = "sparse.support"
"""The share of positions of the last axis that are active in some row, measured on the examples."""
LISTED = "sparse.listed"
"""The share of positions that are listed, measured on the examples."""


@dataclass(frozen=True)
class Decision:
    """`threshold` is the density up to which the site skips, `rows` the number of them up to which it looks."""

    site: SkipSite
    work: SkippedProduct | None = None
    support: Support | None = None
    density: float | None = None
    threshold: float = 0.0
    rows: int = 0
    reason: str = ""


def plan(
    function: FuncOp, sites: Sequence[SkipSite], machine: Skipper, *, rows: int, exact: bool = False
) -> list[Decision]:
    """A decision for each site, in order."""
    planner = Planner(function, machine, rows, Counter(support for site in sites for support in site.supports))
    order = {op: number for number, op in enumerate(function.body.block.ops)}
    return one_axis([Decision(s, reason=FORBIDDEN) if exact else planner.decide(s, order) for s in sites])


def one_axis(decisions: Sequence[Decision]) -> list[Decision]:
    """Of a product that could skip along both axes, the one that is less dense."""
    chosen: dict[Operation, Decision] = {}
    for decision in sorted(decisions, key=lambda d: 1.0 if d.density is None else d.density):
        if not decision.reason:
            chosen.setdefault(decision.site.op, decision)
    others = [None if d.reason else chosen[d.site.op] for d in decisions]
    return [
        d if other is None or other is d else replace(d, reason=f"it skips along {other.site.axis} instead")
        for d, other in zip(decisions, others, strict=True)
    ]


FORBIDDEN = 'exact="bitwise" forbids sums in another order'


@dataclass
class Planner:
    """Decides site by site. `uses` counts the sites that could use a support."""

    function: FuncOp
    machine: Skipper
    rows: int
    uses: Counter[Support]

    def decide(self, site: SkipSite, order: Mapping[Operation, int]) -> Decision:
        """Skip, or why not."""
        if site.reason:
            return Decision(site, reason=site.reason)
        if "sparse.layout" in site.op.attributes:
            return Decision(site, reason="its rows are packed")
        work = work_of(self.function, site.op, site.axis)
        ready = [support for support in site.supports if is_ready(support, site, order)]
        if not ready:
            return Decision(site, work, reason="its support is known only after the result is read")
        best = min(ready, key=lambda support: self.seconds(work, site, support))
        density = density_of(best, site, self.function)
        threshold = work.break_even(self.machine)
        decision = Decision(site, work, best, density, threshold, max(self.rows, work.rows))
        return replace(decision, reason=self.objection(decision, work))

    def objection(self, decision: Decision, work: SkippedProduct) -> str:
        """Why it does not pay; empty when it does."""
        if decision.threshold == 0.0:
            return "at no density does it pay"
        if decision.density is None:
            many = work.rows > self.rows
            return f"{work.rows} rows, and the density of their union is not known" if many else ""
        if decision.density > decision.threshold:
            return f"density {decision.density:.3f} in the examples, it pays up to {decision.threshold:.3f}"
        assert decision.support is not None
        dense, seconds = work.dense(self.machine), self.seconds(work, decision.site, decision.support)
        if dense * (1.0 - WORTH) < seconds:
            gain = dense / seconds
            return (
                f"density {decision.density:.3f} in the examples, it would gain {gain:.2f}x: too little to be sure of"
            )
        return ""

    def seconds(self, work: SkippedProduct, site: SkipSite, support: Support) -> float:
        """Expected time of the product with its part of the support's."""
        density = density_of(support, site, self.function)
        if isinstance(support, Listed):
            price = listing(self.machine, length_of(support, self.function))
        else:
            price = work.support(self.machine)
        return work.skipping(self.machine, 1.0 if density is None else density) + price / self.uses[support]


def work_of(function: FuncOp, op: CallOp, axis: Skip) -> SkippedProduct:
    """The sizes of a product as in the examples."""
    product, hint = read_product(op), hints(function)
    assert product is not None
    *rows, inputs = (expected(size, hint) for size in shape(product.x))
    outputs = expected(shape(op.results[0])[-1], hint)
    return SkippedProduct(math.prod(rows), inputs, outputs, element_bytes(product.weight), axis is Skip.K)


def is_ready(support: Support, site: SkipSite, order: Mapping[Operation, int]) -> bool:
    """Are the values it is found from known before anybody reads the site's result?"""
    owners = [value.owner for value in support.values if not isinstance(value.owner, Block)]
    if not all(owner in order for owner in owners):
        return False
    block = site.op.parent_block()
    assert block is not None
    readers = [block.find_ancestor_op_in_block(use.operation) for use in site.op.results[0].uses]
    first = min((order[reader] for reader in readers if reader is not None), default=0)
    return all(order[owner] < first for owner in owners if isinstance(owner, Operation))


def attribute(columns: Columns) -> str:
    """The attribute that holds the density of a support, on the op or argument that makes the value."""
    index = columns.value.index if isinstance(columns.value, OpResult) and columns.value.index else None
    return DENSITY + (f".{index}" if index else "") + (".not" if columns.negated else "")


def listed_attribute(site: SkipSite) -> str:
    """The attribute that holds the density of a list, on the product that skips by it."""
    return f"{LISTED}.{site.axis}"


def density_of(support: Support, site: SkipSite, function: FuncOp) -> float | None:
    """The density that calibration found; of a list else the most that it can be."""
    if isinstance(support, Columns):
        return number(attributes_of(support.value, function).get(attribute(support)))
    found = number(site.op.attributes.get(listed_attribute(site)))
    most = length_of(support, function) / support.size if support.size else 1.0
    return min(most, 1.0) if found is None else found


def number(attribute: object) -> float | None:
    """The number that an attribute holds."""
    return attribute.value.data if isinstance(attribute, FloatAttr) else None


def length_of(listed: Listed, function: FuncOp) -> int:
    """How many entries a list has, as in the examples."""
    hint = hints(function)
    return int(listed.length(lambda size: expected(size, hint)))


def attributes_of(value: SSAValue, function: FuncOp) -> Mapping[str, object]:
    """The attributes of the call that makes `value`, or of the argument that it is."""
    if isinstance(value.owner, CallOp):
        return value.owner.attributes
    given = zip(function.args, function.arg_attrs or (), strict=False)
    return next((attrs.data for argument, attrs in given if argument is value), {})
