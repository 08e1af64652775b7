"""Where a model is sparse, what was done there, and why not elsewhere.

    domain 0   nz(attention_mask[i, j])              density 0.30 measured   packed up to 0.89   gain 3.4x, limit 3.9x
    | op         | axis | class   | decision | line
    | %linear.4  | m    | REASSOC | packed   | modeling_bert.py:197
    | %linear.90 | m    | -       | dense    | aten.select.int reads every row (modeling_bert.py:512)

The facts come from the analyses on the stage before packing, the thresholds from the program that runs. A gain is the
dense time over the packed time of the domain's region in the cost model (`passes/solvers/break_even.py`) at the
measured density; its limit leaves moves and calls out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import FloatAttr, ModuleOp
from xdsl.dialects.func import FuncOp

from ..dialects.aten import CallOp
from ..dialects.diagnostics import place_of
from ..passes.analysis.liveness import liveness
from ..passes.analysis.sites import SiteReport, report
from ..passes.guard_density import region_of, roots, threshold
from ..passes.insert_gathers import is_exact
from ..passes.solvers.break_even import Machine
from .dont_care import DENSITY, entries
from .entry import adapted_modules, entry_function, import_notes
from .explain_skips import Skips, explain_skips
from .machine import rates

if TYPE_CHECKING:
    from .compiled import CompiledModel

BEFORE_PACKING = ("detect-sparsity", "simplify", "import")


@dataclass(frozen=True)
class DomainReport:
    """One domain of the program: up to which density it packs, and what the cost model expects at the measured one."""

    rows: str
    density: float | None
    threshold: float | None
    gain: float | None
    limit: float | None


@dataclass(frozen=True)
class Line:
    """One candidate site for the table."""

    op: str
    target: str
    axis: str
    rows: str
    legality: str
    decision: str
    reason: str
    source: str
    blocker: str


@dataclass(frozen=True)
class Explanation:
    """All domains and all candidate sites of a compiled model; `adapted` are modules that were read in another form,
    `notes` what the import assumed."""

    domains: tuple[DomainReport, ...]
    sites: tuple[Line, ...]
    adapted: dict[str, str] = field(default_factory=dict)
    skips: Skips = field(default_factory=Skips)
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        packed = sum(line.decision == "packed" for line in self.sites)
        lines = [f"{len(self.sites)} candidate sites, {packed} packed, {len(self.domains)} domains"]
        lines += [f"domain {number}: {show_domain(domain)}" for number, domain in enumerate(self.domains)]
        lines += show_adapted(self.adapted)
        lines += [f"note: {note}" for note in self.notes]
        header = ("op", "call", "axis", "rows that are read", "class", "decision", "why", "line")
        rows = [
            (line.op, line.target, line.axis, line.rows, line.legality, line.decision,
             line.reason + (f" ({line.blocker})" if line.blocker else ""), line.source)
            for line in self.sites
        ]  # fmt: skip
        skips = [str(self.skips), "", *table(self.skips.rows)] if self.skips.lines else []
        return "\n".join(lines + (["", *table([header, *rows])] if rows else []) + (["", *skips] if skips else []))


def show_domain(domain: DomainReport) -> str:
    """One domain in a line."""
    density = "density not measured" if domain.density is None else f"density {domain.density:.3f} in the examples"
    if domain.threshold is None:
        guard = "always packed"
    elif domain.threshold == 0.0:
        guard = "never packed: at no density does it pay"
    else:
        guard = f"packed up to density {domain.threshold:.3f}"
    gain = "" if domain.gain is None else f", expected {domain.gain:.2f}x of at most {domain.limit:.2f}x"
    return f"{domain.rows}: {density}, {guard}{gain}"


def show_adapted(adapted: Mapping[str, str]) -> Iterable[str]:
    """One line for each form: what was read in it."""
    for form in dict.fromkeys(adapted.values()):
        names = [name for name, own in adapted.items() if own == form]
        yield f"adapted: {form}: {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns aligned, a rule under the header."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def explain(compiled: "CompiledModel") -> Explanation:
    """What was found in `compiled`, and what was done about it."""
    stage = next((name for name in BEFORE_PACKING if name in compiled.stages), None)
    module = compiled.stages[stage]() if stage else compiled.module
    function, final = entry_function(module), entry_function(compiled.module)
    sites = report(function, liveness(function, exact=is_exact(module)))
    found = tuple(domains(final, sites))
    unpaid = {domain.rows for domain in found if domain.threshold == 0.0}
    candidates = tuple(lines(sites, compiled.module, unpaid))
    return Explanation(found, candidates, adapted_modules(compiled.module), explain_skips(compiled),
                       tuple(import_notes(compiled.module)))  # fmt: skip


def lines(sites: Iterable[SiteReport], final: ModuleOp, unpaid: set[str]) -> Iterable[Line]:
    """The table's rows. A site was packed where no call with its result's name takes full rows any more.

    Sites of domains in `unpaid` never run packed.
    """
    kept = {id_of(op) for op in final.walk() if isinstance(op, CallOp) and "sparse.layout" not in op.attributes}
    for site in sites:
        compact = not site.reason and id_of(site.op) not in kept
        packed = compact and site.rows not in unpaid
        doubt = "at no density does it pay" if compact else "it was not packed by this pipeline"
        reason = site.reason or ("" if packed else doubt)
        blocker = place_of(site.blocker) if site.blocker is not None else None
        place = place_of(site.op)
        yield Line(
            op=f"%{site.op.results[0].name_hint}",
            target=site.op.target.data,
            axis="m",
            rows=site.rows,
            legality=site.legality,
            decision="packed" if packed else "dense",
            reason=reason,
            source="" if place is None else str(place),
            blocker="" if blocker is None else str(blocker),
        )


def id_of(op: CallOp) -> tuple[str, str | None]:
    """What an op is known by through the passes: its call and its result's name."""
    return op.target.data, op.results[0].name_hint if op.results else None


def domains(function: FuncOp, sites: Iterable[SiteReport]) -> Iterable[DomainReport]:
    """One report for each domain of the program."""
    texts = list(dict.fromkeys(site.rows for site in sites if not site.reason))
    densities = [entry[DENSITY] for entry in entries(function.arg_attrs) if DENSITY in entry]
    density = next((d.value.data for d in densities if isinstance(d, FloatAttr)), None)
    for number, domain in enumerate(roots(function)):
        region, machine = region_of(domain, function), Machine(**rates())
        gain = limit = None
        if density is not None:
            gain = region.dense(machine) / region.packed(machine, density)
            limit = region.dense(machine) / max(region.work(machine, density), 1e-12)
        text = texts[number] if number < len(texts) else "a domain"
        yield DomainReport(text, density, threshold(domain), gain, limit)
