"""Where a model's values are zero, along k and n: what was measured, what was done, and what is to be gained.

    2 of 3 products skip; all products together: expected 1.91x, at most 2.64x
    | %linear.1 | n | nz(%relu) | REASSOC | 0.05 | skips | up to density 0.41, expected 4.1x of at most 20.0x | m.py:9
    | %linear.2 | k | nz(%relu) | REASSOC | 0.05 | skips | up to density 0.12, expected 1.7x of at most 20.0x | m.py:9

    | %linear.3 | k | nz(%relu) | REASSOC | 0.82 | tiles | of 4 rows, clustered: density 0.05, up to 0.62, expected ..

Gains come from the cost models (`passes/solvers/skipping.py`, `tiles.py`) at the measured density; the limit of a
product leaves out everything but its active part, and that of all products together is Amdahl's law.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.dialects.scf import IfOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from ..dialects.aten import CallOp
from ..dialects.diagnostics import place_of
from ..dialects.kernel import LaunchOp
from ..dialects.sparse import MatmulOp, Skip
from ..dialects.tiles import TileOp, TilesType
from ..passes.analysis.calls import argument
from ..passes.analysis.skips import products
from ..passes.choose_tiles import ChooseTiles, tile_densities
from ..passes.guard_density import threshold
from ..passes.insert_skips import InsertSkips
from ..passes.skip_plan import Decision, work_of
from ..passes.solvers.skipping import Skipper, gain
from ..passes.solvers.tiles import Candidate, TiledProduct
from ..passes.threshold_activations import is_threshold
from .approximation import error_of
from .entry import entry_function
from .machine import skip_options
from .pipeline import parse_passes
from .tile_rates import tile_options

if TYPE_CHECKING:
    from .compiled import CompiledModel


@dataclass(frozen=True)
class SkipLine:
    """One site. `limit` is 1 / density; without a measured density there is neither a gain nor a limit."""

    op: str
    target: str
    axis: str
    where: str
    legality: str
    density: float | None
    threshold: float | None
    decision: str
    reason: str
    gain: float | None
    limit: float | None
    source: str
    tiles: str = ""

    @property
    def why(self) -> str:
        """Why it does not skip, or up to which density it does, and what that is worth."""
        if self.reason:
            return self.reason
        expected = "" if self.gain is None else f", expected {self.gain:.2f}x of at most {self.limit:.2f}x"
        return f"{self.tiles}up to density {self.threshold or 1.0:.3f}{expected}"


@dataclass(frozen=True)
class Skips:
    """All sites, and the gain of all products together."""

    lines: tuple[SkipLine, ...] = ()
    gain: float = 1.0
    limit: float = 1.0
    thresholds: tuple[float, ...] = ()
    error: float | None = None

    def __str__(self) -> str:
        skipping = sum(line.decision != "dense" for line in self.lines)
        together = f"; all products together: expected {self.gain:.2f}x, at most {self.limit:.2f}x" if skipping else ""
        counted = f"{skipping} of {len(self.lines)} products with zeros skip{together}"
        return "\n".join([counted, *self.approximation])

    @property
    def approximation(self) -> list[str]:
        """What was taken for zero, and what that does to the results."""
        if not self.thresholds:
            return []
        error = "not measured" if self.error is None else f"{self.error:.2g} of the results (rms, examples)"
        least, most = min(self.thresholds), max(self.thresholds)
        sizes = f"{least:.3g}" if least == most else f"{least:.3g} .. {most:.3g}"
        return [f"approximate: {len(self.thresholds)} activations up to {sizes} count as 0; error {error}"]

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The table, its header first."""
        header = ("op", "call", "axis", "where it counts", "class", "density", "decision", "why", "line")
        return [header, *(
            (line.op, line.target, line.axis, line.where, line.legality,
             "-" if line.density is None else f"{line.density:.3f}", line.decision, line.why, line.source)
            for line in self.lines
        )]  # fmt: skip


def explain_skips(compiled: "CompiledModel") -> Skips:
    """Sites of the stage that `insert-skips` saw, with what became of them."""
    names = list(compiled.stages)
    at = names.index(InsertSkips.name) - 1 if InsertSkips.name in names else len(names) - 1
    module = compiled.stages[names[at]]() if names else compiled.module
    function, (step,) = entry_function(module), parse_passes(InsertSkips.name + skip_options(compiled.device))
    assert isinstance(step, InsertSkips)
    decisions = step.decisions(function, module)
    lines = tuple(line_of(decision, compiled.module, step.machine) for decision in decisions)
    lines = tuple(tiled_line(line, decision, compiled) for line, decision in zip(lines, decisions, strict=True))
    cut = [argument(op, 1, "lambd") for op in compiled.module.walk() if isinstance(op, CallOp) and is_threshold(op)]
    thresholds = tuple(float(threshold) for threshold in cut if isinstance(threshold, int | float))
    return Skips(lines, *together(function, decisions, lines, step.machine), thresholds, error_of(compiled.module))


def line_of(decision: Decision, final: ModuleOp, machine: Skipper) -> SkipLine:
    """One decision, held against the program that runs."""
    site, work = decision.site, decision.work
    inserted = find(final, site.op.results[0].name_hint, site.axis)
    place = place_of(site.op)
    reason = "" if inserted else decision.reason or "it was not inserted by this pipeline"
    density = decision.density
    expected = limit = None
    if work is not None and density is not None and inserted is not None:
        expected, limit = work.dense(machine) / work.skipping(machine, density), 1.0 / max(density, 1e-12)
    return SkipLine(
        op=f"%{site.op.results[0].name_hint}",
        target=site.op.target.data,
        axis=str(site.axis),
        where=str(decision.support or site.predicate),
        legality="REASSOC" if site.supports else "-",
        density=density,
        threshold=None if inserted is None else threshold(outside(inserted.domain)),
        decision="skips" if inserted else "dense",
        reason=reason,
        gain=expected,
        limit=limit,
        source="" if place is None else str(place),
    )


def tiled_line(line: SkipLine, decision: Decision, compiled: "CompiledModel") -> SkipLine:
    """The line of a product that goes by tiles, with what they were measured to be; others as they are."""
    product = find(compiled.module, decision.site.op.results[0].name_hint, decision.site.axis)
    if product is None or not isinstance(kind := product.domain.type, TilesType):
        return line
    function, x = entry_function(compiled.module), outside(product.x)
    candidate = Candidate(kind.height.data, is_clustered(outside(product.domain)))
    density = tile_densities(x, function).get(candidate)
    text = f"tiles of {candidate.height} rows{', clustered' * candidate.clustered}: "
    if density is None or decision.work is None:
        return replace(line, decision="tiles", tiles=text, gain=None, limit=None)
    (step,) = parse_passes(ChooseTiles.name + tile_options(compiled.device))
    assert isinstance(step, ChooseTiles)
    sizes = decision.work
    work = TiledProduct(sizes.rows, sizes.inputs, sizes.outputs, sizes.width)
    limit = 1.0 / max(density, 1e-12)
    gain = min(work.dense(step.machine) / work.tiled(step.machine, candidate, density, line.density or 1.0), limit)
    text = f"{text}density {density:.3f} in the examples, "
    return replace(line, decision="tiles", tiles=text, gain=gain, limit=limit)


def is_clustered(tiles: SSAValue) -> bool:
    """Were the rows of tiles brought together? Seen through the guard, and through the launch that finds them."""
    op = tiles.owner
    if isinstance(op, IfOp):
        return is_clustered(op.true_region.block.last_op.operands[0])  # pyright: ignore[reportOptionalMemberAccess]
    found = [inner for inner in op.walk() if isinstance(inner, TileOp)] if isinstance(op, Operation) else []
    return bool(found) and found[0].clustered is not None


def find(module: ModuleOp, name: str | None, axis: Skip) -> MatmulOp | None:
    """The product called `name` that skips along `axis`."""
    found = (op for op in module.walk() if isinstance(op, MatmulOp) and op.axis.data is axis)
    return next((op for op in found if op.output.name_hint == name), None)


def outside(value: SSAValue) -> SSAValue:
    """What a value inside a launch is outside of it."""
    launch = value.owner.parent_op() if isinstance(value, BlockArgument) else None
    return launch.operands[value.index] if isinstance(launch, LaunchOp) and isinstance(value, BlockArgument) else value


def together(
    function: FuncOp, decisions: Sequence[Decision], lines: Sequence[SkipLine], machine: Skipper
) -> tuple[float, float]:
    """Expected and greatest gain over all products of the program."""
    taken = [(decision, line) for decision, line in zip(decisions, lines, strict=True) if line.decision != "dense"]
    priced = [
        (decision.work.dense(machine), line.gain, line.limit)
        for decision, line in taken
        if decision.work is not None and line.gain is not None and line.limit is not None
    ]
    chosen = {decision.site.op for decision, _ in taken}
    return gain(priced, sum(rest(function, chosen, machine)))


def rest(function: FuncOp, chosen: set, machine: Skipper) -> Iterable[float]:
    """Seconds of the products that do not skip."""
    return (work_of(function, op, Skip.K).dense(machine) for op, _ in products(function) if op not in chosen)
