"""How long the planners of recomputation search, and how much they leave exposed: one budget a row.

    16 layers, four budgets      each rung, and the highest bound
    24 layers, the tightest      the same, `opt` for a minute
    one layer, windows closed    the same against the exact program of Checkmate
    all settings of pipelines    `mix` on the first stage of each: mean seconds, mean gap

The stage is 16 layers of a GPT of 6.7 billion parameters under tensor parallelism of four on A100s with NVLink, four
sequences of 2048 tokens, attention not fused, four micro-batches in flight. Budgets are shares of what keeping
everything takes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from gossamer.compiler.timeline import Pipeline
from gossamer.compiler.timeline_policies import closed
from gossamer.compiler.timeline_setting import setting
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_checkmate import Optimum, checkmate
from gossamer.passes.solvers.recompute_graph import Graph, Phase
from gossamer.passes.solvers.recompute_memory import keep_all, peak
from gossamer.passes.solvers.recompute_plan import Plan, Planner
from gossamer.passes.solvers.transformer_graph import Part

from .pipeline_timeline import TABLES, cases
from .sections import Section

LAYERS, IN_FLIGHT = 16, 4
SHARES = (0.7, 0.5, 0.3, 0.15)
RUNGS = ("heu", "mix", "opt")
EXACT = (0.8, 0.6, 0.5)
LIMIT = 20.0
"""Seconds that `opt` may search."""
DEEP, MINUTE = 24, 60.0
"""Layers for which it has as long as it has by default."""
COLUMNS = ("layers", "budget", "GB", *(f"{rung} {what}" for rung in RUNGS for what in ("exposed ms", "s")),
           "bound ms", "gap ms", "gap of the step", "checkmate ms", "checkmate s")  # fmt: skip
Show = Callable[[str], object]


def stage(layers: int) -> Graph:
    """The layers between the first stage and the last."""
    study = Pipeline(setting("gpt-6.7b", hardware="a100-nvlink", tensor_parallel=4, micro_batch=4))
    return study.stages.graph(Part(layers), in_flight=IN_FLIGHT)


def searched(graph: Graph, budget: int, rung: str, limit: float) -> tuple[Plan, float]:
    """A plan from nothing, lawful, and seconds that it took."""
    start = time.perf_counter()
    plan = Planner(graph, limit).plan(budget, rung)
    took = time.perf_counter() - start
    check(graph, plan.schedule, budget)
    return plan, took


@dataclass(frozen=True)
class Tried:
    """The planners on one graph and budget, in the order of `RUNGS`, and what `Checkmate` finds where it is asked."""

    graph: Graph
    budget: int
    plans: list[Plan]
    seconds: list[float]
    exact: Optimum | None = None
    took: float = 0.0

    def row(self, layers: int, share: float) -> tuple[str, ...]:
        """The cells of the table."""
        pairs = zip(self.plans, self.seconds, strict=True)
        rungs = [cell for plan, took in pairs for cell in (f"{1e3 * plan.exposed:.2f}", f"{took:.2f}")]
        best, bound = min(plan.exposed for plan in self.plans), max(plan.lower_bound for plan in self.plans)
        if self.exact:
            bound = self.exact.bound
        gap = max(0.0, best - bound)
        of_step = gap / (sum(op.time for op in self.graph.ops) + best)
        exact = (f"{1e3 * self.exact.seconds:.2f}", f"{self.took:.2f}") if self.exact else ("", "")
        found = (str(layers), f"{share:.0%}", f"{self.budget / 1e9:.1f}", *rungs)
        return (*found, f"{1e3 * bound:.2f}", f"{1e3 * gap:.2f}", f"{of_step:.2%}", *exact)


def tried(graph: Graph, share: float, limit: float, *, exact: bool = False) -> Tried:
    """Every rung on a budget."""
    budget = int(share * peak(graph, keep_all(graph)))
    found = [searched(graph, budget, rung, limit) for rung in RUNGS]
    start = time.perf_counter()
    best = checkmate(graph, budget, limit) if exact else None
    took = time.perf_counter() - start
    return Tried(graph, budget, [plan for plan, _ in found], [took for _, took in found], best, took)


def over_settings(quick: bool) -> str:
    """How long `mix` searches on the first stage of every setting of the pipelines, and its gap to its own bound."""
    seconds, gaps = list[float](), list[float]()
    for case in (case for name in TABLES for case in cases(name, quick)):
        setting = case.setting()
        layers, static = setting.even(), setting.static(setting.even(), 0)
        graph = Pipeline(setting).stages.graph(setting.part(0, layers[0]), static, setting.stages)
        plan, took = searched(graph, setting.memory, "mix", LIMIT)
        seconds.append(took)
        gaps.append(plan.gap / (sum(op.time for op in graph.ops) + plan.exposed))
    return (
        f"mix over the first stages of {len(seconds)} settings of pipelines, equal layers: {fmean(seconds):.2f} s a "
        f"search, at most {max(seconds):.2f} s; gap to its own bound {fmean(gaps):.2%} of the step, at most "
        f"{max(gaps):.2%}"
    )


def recompute_search(quick: bool, show: Show) -> Section:
    """The table. Raises ScheduleError where a plan breaks a law or its budget."""
    layers, rows = 2 if quick else LAYERS, []
    graph, limit = stage(layers), 1.0 if quick else LIMIT
    for share in SHARES:
        show(f"{layers} layers, {share:.0%}")
        rows.append(tried(graph, share, limit).row(layers, share))
    if not quick:
        show(f"{DEEP} layers, {SHARES[-1]:.0%}")
        rows.append(tried(stage(DEEP), SHARES[-1], MINUTE).row(DEEP, SHARES[-1]))
    for share in EXACT:
        show(f"one layer against Checkmate, {share:.0%}")
        rows.append(tried(closed(stage(1)), share, limit, exact=True).row(1, share))
    title = f"Planners of recomputation: {layers} layers of GPT-6.7B on a stage, {len(graph.ops)} ops"
    forward = sum(op.time for op in graph.ops if op.phase is Phase.FORWARD)
    notes = [
        f"exposed: what a micro-batch takes longer than one that keeps all; ops of its forward pass take "
        f"{1e3 * forward:.0f} ms; the step: both passes of one micro-batch, with what is exposed",
        "s: seconds of the search from nothing; heu: one policy for all layers, mix: several, "
        f"opt: one program for the whole graph, {limit:.0f} s at most, for {DEEP} layers {MINUTE:.0f}",
        "bound: the highest that a rung proves, of schedules that run ops of the forward pass again, as often as they "
        "like, and wait at once for collectives among them; gap: the best rung over it",
        "one layer: windows hide nothing, as in Checkmate, whose exact program may run any op as often as it likes and "
        "proves the bound",
        over_settings(quick),
    ]
    return Section("recompute-search", title, COLUMNS, rows, notes)
