"""Training steps over pipelines, simulated: our recomputation against that of others, and against the bound.

Others are Megatron's choices, an optimum without overlap, and one policy for all layers. The bound is what no partition
of the layers beats even where nothing is recomputed. All on the same graphs and machines, by the same simulator: ratios
of a model, not measurements.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gossamer.compiler.timeline import Outcome, Pipeline
from gossamer.compiler.timeline_report import shares
from gossamer.compiler.timeline_setting import Setting, setting

from .sections import Section

Show = Callable[[str], object]
PEERS = ("full", "selective", "uniform", "block", "no-overlap", "heu", "heu-moved")
OURS = "mix"
GOAL = 0.97
"""Of the bound, wherever it can be reached."""
EFFICIENCIES = (0.7, 0.8, 0.9, 1.0)
ORDERS = ("gpipe", "1f1b", "interleaved", "zb-h1", "zb-h2", "zb-v")
LYNX = """\
Lynx (arXiv 2406.08756) tells 1.02 to 1.53x over Megatron-LM and Checkmate in its first version, up to 1.37x in its \
fourth, on machines of its own. Here recomputing all takes at most {most:.2f}x the bound: beside the forward and the \
backward pass it runs one more forward pass with its collectives, so no schedule that hides or avoids recomputation \
can win more over Megatron full. Over the optimum without overlap at most {over:.2f}x is won. More can only come from \
baselines that run out of memory or share layers badly"""
NOTES = (
    "each peer: how many times as long as ours a step takes; 1f1b, 16 micro-batches, dropout, 18 bytes a parameter; "
    "OOM: out of memory",
    "full, selective, uniform, block: Megatron-LM's, equal layers on stages, the fewest layers recomputed that fit",
    "no-overlap: the best schedule found where nothing is hidden, as Checkmate looks for it; heu: one policy for all "
    "layers of a stage, hidden in windows, as Lynx-HEU has it; heu-moved: the same, layers moved between stages",
    "bound: no partition is faster where nothing is recomputed and no memory is missing; the head and the embedding "
    "take time and memory on their stages",
)


@dataclass(frozen=True)
class Cluster:
    """Machines, and how a model is cut over them."""

    hardware: str
    ranks: int
    stages: int
    memory: str

    def __str__(self) -> str:
        return f"{self.hardware} TP{self.ranks} PP{self.stages}"


NVLINK = Cluster("a100-nvlink", 4, 4, "36GiB")
PCIE, WIDE_PCIE = Cluster("a100-pcie", 2, 4, "36GiB"), Cluster("a100-pcie", 4, 2, "36GiB")
HOPPER = Cluster("h100-nvlink", 8, 4, "72GiB")
TABLES = {
    "pipeline-nvlink": (
        (NVLINK, ("2.7b", 8), ("6.7b", 4), ("6.7b", 8), ("13b", 2), ("13b", 4), ("13b", 8), ("20b", 2), ("20b", 4)),
    ),
    "pipeline-pcie": (
        (PCIE, ("1.3b", 8), ("2.7b", 4), ("2.7b", 8), ("6.7b", 2), ("6.7b", 4), ("6.7b", 8), ("13b", 2)),
        (WIDE_PCIE, ("2.7b", 4), ("2.7b", 8), ("6.7b", 4), ("6.7b", 8), ("13b", 2), ("13b", 4)),
    ),
    "pipeline-h100": ((HOPPER, ("2.7b", 16), ("6.7b", 16), ("13b", 8), ("13b", 16), ("20b", 8), ("20b", 16)),),
    "pipeline-flash": (
        (NVLINK, ("6.7b", 4), ("13b", 2), ("13b", 4), ("20b", 2), ("20b", 4)),
        (WIDE_PCIE, ("6.7b", 4), ("13b", 2)),
        (HOPPER, ("13b", 16), ("20b", 8), ("20b", 16)),
    ),
}
"""Settings in which not all activations fit; 2048 tokens and attention with scores, or 4096 and fused attention."""
SWEPT = ((NVLINK, "13b", 8), (NVLINK, "20b", 4), (PCIE, "13b", 2), (WIDE_PCIE, "13b", 4))


@dataclass(frozen=True)
class Case:
    """One row."""

    cluster: Cluster
    model: str
    batch: int
    flash: bool = False

    def __str__(self) -> str:
        return f"{self.model.upper()} b={self.batch}" + (" flash s=4096" if self.flash else "")

    def setting(self, **more) -> Setting:
        """All of it."""
        return setting(
            f"gpt-{self.model}",
            hardware=self.cluster.hardware,
            tensor_parallel=self.cluster.ranks,
            stages=self.cluster.stages,
            memory=self.cluster.memory,
            micro_batch=self.batch,
            flash=self.flash,
            sequence=4096 if self.flash else 2048,
            **more,
        )


def cases(name: str, quick: bool) -> list[Case]:
    """The rows of a table, or one."""
    found = [Case(cluster, *row, flash="flash" in name) for cluster, *rows in TABLES[name] for row in rows]
    return found[:1] if quick else found


@dataclass(frozen=True)
class Row:
    """A case, the bound, that of what fits into memory, and a step by each policy."""

    case: Case
    bound: float
    within: float
    outcomes: dict[str, Outcome]

    @property
    def ours(self) -> Outcome:
        return self.outcomes[OURS]

    @property
    def near(self) -> float:
        """Ours of the bound."""
        return self.bound / self.ours.seconds

    @property
    def is_near(self) -> bool:
        return self.near >= GOAL

    @property
    def can_be_near(self) -> bool:
        """Is it not ruled out that what fits into memory comes so near?"""
        return self.bound / self.within >= GOAL

    def ratio(self, peer: str) -> float | None:
        """A peer over ours; None where it does not fit."""
        return self.outcomes[peer].seconds / self.ours.seconds if self.outcomes[peer].fits else None

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        full = self.outcomes["full"]
        ratios = (self.ratio(peer) for peer in PEERS)
        return (
            str(self.case.cluster),
            str(self.case),
            *("OOM" if ratio is None else f"{ratio:.3f}" for ratio in ratios),
            f"{self.ours.seconds:.2f} s",
            f"{self.near:.1%}",
            f"{full.seconds / self.bound:.2f}" if full.fits else "",
            " ".join(map(str, self.ours.partition)),
            "" if self.is_near else why(self),
        )


def pipelines(name: str, quick: bool, show: Show) -> Section:
    """The settings of a table against every policy."""
    rows = []
    for case in cases(name, quick):
        show(f"{case.cluster}, {case}")
        study = Pipeline(case.setting())
        outcomes = {policy: study.best(policy) for policy in (*PEERS, OURS)}
        rows.append(Row(case, study.bounds.free, study.bounds.within(outcomes[OURS].seconds), outcomes))
    columns = ("cluster", "model", *PEERS, "ours", "of the bound", "bound over full", "layers", "note")
    title = "Training steps over pipelines, simulated: recomputation against its peers"
    return Section(name, title, columns, [row.cells() for row in rows], [*NOTES, *verdicts(rows)])


def verdicts(rows: list[Row]) -> list[str]:
    """Goals, and what others tell."""
    reached, possible = sum(row.is_near for row in rows), sum(row.can_be_near for row in rows)
    behind = [ratio for row in rows for peer in PEERS[4:] if (ratio := row.ratio(peer)) is not None]
    worst = min(behind, default=1.0)
    full = [row.outcomes["full"].seconds / row.bound for row in rows if row.outcomes["full"].fits]
    over = [ratio for row in rows if (ratio := row.ratio("no-overlap")) is not None]
    return [
        f"goal {GOAL:.0%} of the bound wherever that can be reached: reached in {reached} of {possible} settings"
        + (f", in {len(rows) - possible} no step that fits into memory reaches it" if possible < len(rows) else ""),
        "goal never behind heu or the optimum without overlap: "
        f"{'reached' if worst >= 1 - 1e-6 else 'missed'} (lowest {worst:.3f})",
        LYNX.format(most=max(full, default=1.0), over=max(over, default=1.0)),
    ]


def why(row: Row) -> str:
    """What keeps a step from the bound."""
    if not row.ours.fits:
        return "out of memory"
    exposed = sum(shares(row.ours, device).exposed for device in range(len(row.ours.static)))
    share = exposed / len(row.ours.static) / row.ours.seconds
    most = f"no step that fits comes nearer than {row.bound / row.within:.1%}"
    return f"devices recompute for {share:.1%} of the step in the mean: memory; {most}"


def windows(quick: bool, show: Show) -> Section:
    """How much hangs on what share of a collective other kernels can use."""
    rows = []
    for case in [Case(*row) for row in SWEPT[: 1 if quick else None]]:
        show(f"{case.cluster}, {case}")
        none, cells, behind = Pipeline(case.setting()).best("no-overlap").seconds, [], []
        for efficiency in EFFICIENCIES:
            study = Pipeline(case.setting().with_windows(efficiency))
            ours = study.best(OURS).seconds
            cells.append(f"{none / ours:.3f} ({study.bounds.free / ours:.1%})")
            behind.append(study.best("heu").seconds / ours)
        rows.append((str(case.cluster), str(case), *cells, f"{min(behind):.3f} .. {max(behind):.3f}"))
    columns = ("cluster", "model", *(f"{efficiency:.0%}" for efficiency in EFFICIENCIES), "heu over ours")
    note = (
        "the optimum without overlap over ours, and ours of the bound, where other kernels can use this share of the "
        "time of a collective; real shares hang on how many processors collectives take, and are not measured here"
    )
    return Section("pipeline-windows", "The same by the share of collectives that hides work", columns, rows, [note])


def orders(quick: bool, show: Show) -> Section:
    """One setting in every order of tasks."""
    case, rows = Case(NVLINK, "6.7b", 4), []
    for name in ORDERS[: 2 if quick else None]:
        show(name)
        study = Pipeline(case.setting(schedule=name))
        rows.append((name, *in_order(study, study.best(OURS), study.best("full"))))
    columns = ("order", "step", "full", "of its bound", "idle, mean", "exposed, mean", "layers")
    notes = [
        "full: how many times as long; exposed: recomputation that nothing hides",
        "bound: of gpipe and 1f1b no partition is faster; of zb-h1 and -h2 its work, and what runs before; of several "
        "chunks on a device work that is shared evenly, without stalls",
    ]
    return Section("pipeline-orders", f"Orders of tasks: {case}, {case.cluster}, 36 GiB", columns, rows, notes)


def in_order(study: Pipeline, ours: Outcome, full: Outcome) -> tuple[str, ...]:
    """The cells of an order of tasks."""
    if not ours.fits:
        return ("OOM", *[""] * 5)
    parts = [shares(ours, device) for device in range(study.setting.stages)]
    idle, again = (sum(values) / len(parts) / ours.seconds for values in
                   ([part.idle for part in parts], [part.exposed for part in parts]))  # fmt: skip
    return (
        f"{ours.seconds:.3f} s",
        f"{full.seconds / ours.seconds:.2f}" if full.fits else "OOM",
        f"{study.bounds.free / ours.seconds:.1%}",
        f"{idle:.1%}",
        f"{again:.1%}",
        " ".join(map(str, ours.partition)),
    )
