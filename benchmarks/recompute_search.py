"""How long the planners of recomputation search, and how much they leave exposed: one budget a row.

The stage is 16 layers of a GPT of 6.7 billion parameters under tensor parallelism of four on A100s with NVLink, four
sequences of 2048 tokens, attention not fused, four micro-batches in flight. Budgets are shares of what keeping
everything takes.
"""

import time
from collections.abc import Callable

from gossamer.compiler.timeline import Pipeline
from gossamer.compiler.timeline_setting import setting
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_graph import Graph, Phase
from gossamer.passes.solvers.recompute_memory import keep_all, peak
from gossamer.passes.solvers.recompute_plan import Plan, Planner
from gossamer.passes.solvers.transformer_graph import Part

from .sections import Section

LAYERS, IN_FLIGHT = 16, 4
SHARES = (0.7, 0.5, 0.3, 0.15)
RUNGS = ("heu", "mix", "opt")
LIMIT = 20.0
"""Seconds that `opt` may solve."""
COLUMNS = ("budget", "GB", *(f"{rung} {what}" for rung in RUNGS for what in ("exposed ms", "s")), "bound ms", "gap ms")
Show = Callable[[str], object]


def stage(layers: int) -> Graph:
    """The layers between the first stage and the last."""
    study = Pipeline(setting("gpt-6.7b", hardware="a100-nvlink", tensor_parallel=4, micro_batch=4))
    return study.graph(Part(layers), in_flight=IN_FLIGHT)


def searched(graph: Graph, budget: int, rung: str, limit: float) -> tuple[Plan, float]:
    """A plan from nothing, lawful, and seconds that it took."""
    start = time.perf_counter()
    plan = Planner(graph, limit).plan(budget, rung)
    took = time.perf_counter() - start
    check(graph, plan.schedule, budget)
    return plan, took


def recompute_search(quick: bool, show: Show) -> Section:
    """The table. Raises ScheduleError where a plan breaks a law or its budget."""
    layers, rows = 2 if quick else LAYERS, []
    graph = stage(layers)
    most, limit = peak(graph, keep_all(graph)), 1.0 if quick else LIMIT
    for share in SHARES:
        budget, plans, cells = int(share * most), list[Plan](), list[str]()
        for rung in RUNGS:
            show(f"{rung}, {share:.0%}")
            plan, took = searched(graph, budget, rung, limit)
            plans.append(plan)
            cells += [f"{1e3 * plan.exposed:.2f}", f"{took:.2f}"]
        bound = max(plan.lower_bound for plan in plans)
        gap = max(0.0, min(plan.exposed for plan in plans) - bound)
        rows.append((f"{share:.0%}", f"{budget / 1e9:.1f}", *cells, f"{1e3 * bound:.2f}", f"{1e3 * gap:.2f}"))
    title = f"Planners of recomputation: {layers} layers of GPT-6.7B on a stage, {len(graph.ops)} ops"
    forward = sum(op.time for op in graph.ops if op.phase is Phase.FORWARD)
    notes = [
        f"exposed: what a micro-batch takes longer than one that keeps all; ops of its forward pass take "
        f"{1e3 * forward:.0f} ms",
        "s: seconds of the search from nothing; heu: one policy for all layers, mix: several, "
        f"opt: one program for the whole graph, {limit:.0f} s at most",
        "bound: the highest that a rung proves, of schedules that rebuild storages once at most and move no collective "
        "into windows; gap: the best rung over it",
    ]
    return Section("recompute-search", title, COLUMNS, rows, notes)
