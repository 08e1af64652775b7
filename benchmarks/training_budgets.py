"""A training step within memory budgets: what is computed again, by gossamer's planner and by torch's partitioner.

`activation_memory_budget` of torch says what the forward pass keeps of the joint graph. That becomes a schedule of the
same graph, by the same accounts, and gossamer plans for its exact peak. Plans are made of one profile of the ops, all
are judged by another, which no planner saw. In both, ops that do the same take the same time: the median of theirs.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any

import torch
import torch._functorch.config as functorch
import transformers
from gossamer.compiler.frontends.graphs import value_name
from gossamer.compiler.frontends.joint import ALIASES, ImportedStep, import_step
from gossamer.compiler.frontends.joint_capture import Capture, capture
from gossamer.compiler.step_costs import is_view, measure_step, signature
from gossamer.dialects.diagnostics import UserError
from gossamer.dialects.remat import PATH, text_of
from gossamer.passes.analysis.training_graph import TrainingGraph, training_graph
from gossamer.passes.rematerialization import apply_schedule
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_graph import INPUT, Graph, Phase, Schedule
from gossamer.passes.solvers.recompute_megatron import full
from gossamer.passes.solvers.recompute_memory import keep_all, peak
from gossamer.passes.solvers.recompute_plan import Planner
from gossamer.passes.solvers.recompute_stage import sequenced
from gossamer.runtime.allocations import allocations
from gossamer.runtime.executor import find
from gossamer.runtime.stopwatch import seconds
from torch import Tensor, nn
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch.fx import Node
from torch.utils import _pytree as pytree
from xdsl.ir import Operation

from .sections import Section

SHARES = (1.0, 0.8, 0.6, 0.5, 0.4, 0.35, 0.3, 0.05, 0.0)
"""Of `activation_memory_budget`."""
FRONTIERS = {"training-frontier": 6, "training-frontier-12": 12, "training-frontier-24": 24}
"""Layers of each table's model."""
COLUMNS = (
    "schedule", "peak MB", "ms again", "gossamer peak MB", "gossamer ms again", "x fewer", "ms at least", "ops again",
)  # fmt: skip
Show = Callable[[str], object]


@dataclass(frozen=True)
class Profiled:
    """A measured step, as it is planned (`graph`) and as it is judged (`judge`: by other runs)."""

    imported: ImportedStep
    args: list[Any]
    training: TrainingGraph
    graph: Graph
    judge: Graph

    def again(self, schedule: Schedule) -> float:
        """Seconds that a schedule computes again, by the profile that no planner saw."""
        return sum(self.judge.ops[step.op].time for step in schedule.steps if step.life)

    def planned(self, schedule: Schedule) -> float:
        """Seconds that a schedule computes again, by the profile that plans are made of."""
        return sum(self.graph.ops[step.op].time for step in schedule.steps if step.life)

    def megabytes(self, schedule: Schedule) -> float:
        """The most that a schedule takes beyond weights and batch."""
        return (peak(self.graph, schedule) - self.graph.static) / 1e6

    def measured(self, schedule: Schedule) -> int:
        """Bytes that torch's allocator gives out at most, as the schedule runs."""
        module = self.imported.module.clone()
        function = find(module, "step")
        apply_schedule(function, training_graph(function), schedule)
        return self.graph.static + allocations(module, self.imported.weights, self.args, "step").peak


def gpt2(vocabulary: int = 2000, layers: int = 6, width: int = 256, length: int = 64, **options: Any) -> nn.Module:
    """GPT-2 of transformers."""
    sizes = {"n_layer": layers, "n_embd": width, "n_head": width // 64 or 1, "n_positions": length}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    config = transformers.GPT2Config(vocab_size=vocabulary, **sizes, **ends, **options)
    model = transformers.GPT2LMHeadModel(config)
    model.loss_type = "ForCausalLM"  # what it falls back to, with a warning that breaks graphs of torch's compiler
    return model.train()


def loss_of(model: nn.Module, ids: Tensor) -> Tensor:
    """The loss of a language model on its own input."""
    return model(input_ids=ids, labels=ids).loss


def profiled(model: nn.Module, ids: Tensor, runs: int) -> tuple[Profiled, Capture]:
    """A step with two profiles, and torch's own graph of it."""
    imported, args = import_step(model, loss_of, (ids,)), [ids, torch.ones(())]
    measure_step(imported.module, imported.weights, args)
    training = training_graph(imported.function)
    turns = [seconds(imported.module, imported.weights, args, "step", runs=runs) for _ in range(4)]
    planned, judge = (timed(training, together(turns[at], turns[at + 2])) for at in (0, 1))
    leaves, spec = pytree.tree_flatten((ids,))
    return Profiled(imported, args, training, planned, judge), capture(model, loss_of, spec, leaves)


def together(one: dict[Operation, float], two: dict[Operation, float]) -> dict[Operation, float]:
    """The quieter of two profiles, op by op."""
    return {op: min(taken, two[op]) for op, taken in one.items()}


def timed(training: TrainingGraph, times: dict[Operation, float]) -> Graph:
    """The graph with other times, one for ops that do the same; views take none."""
    alike: defaultdict[str, list[float]] = defaultdict(list)
    for op in training.ops:
        alike[signature(op)].append(times.get(op, 0.0))
    found = [0.0 if is_view(op) else median(alike[signature(op)]) for op in training.ops]
    ops = tuple(replace(op, time=taken) for op, taken in zip(training.graph.ops, found, strict=True))
    return replace(training.graph, ops=ops)


def saved_by_torch(captured: Capture, budget: float) -> list[Node]:
    """What torch's partitioner keeps for the backward pass."""
    graph = copy.deepcopy(captured.graph)
    with functorch.patch(activation_memory_budget=budget):
        forward, _ = min_cut_rematerialization_partition(graph, None, num_fwd_outputs=1)
    names = {node.name for node in forward.graph.output_node().all_input_nodes}
    return [node for node in captured.graph.graph.nodes if node.op == "call_function" and node.name in names]


def torchs(step: Profiled, captured: Capture, budget: float) -> Schedule:
    """The schedule that keeps what torch keeps."""
    hints = {result.name_hint: op.results for op in step.training.ops for result in op.results}
    number = {value: index for index, value in enumerate(step.training.values)}
    kept = set[int]()
    for node in saved_by_torch(captured, budget):
        node, place = source(node)
        results = hints.get(value_name(node.name))
        if results is not None:
            kept.add(step.graph.storage[number[results[place]]])
    return as_needed(step.graph, kept)


def as_needed(graph: Graph, kept: Collection[int]) -> Schedule:
    """The schedule that keeps these storages alone, and computes others again when the backward pass reads them."""
    there = {v for v, value in enumerate(graph.values) if value.producer == INPUT or graph.storage[v] in kept}
    order: list[int] = []
    for index, op in enumerate(graph.ops):
        if op.phase is Phase.BACKWARD:
            again, waiting = set[int](), [*op.reads]
            while waiting:
                value = waiting.pop()
                if value not in there:
                    there.update(graph.ops[producer := graph.values[value].producer].results)
                    again.add(producer)
                    waiting += graph.ops[producer].reads
            order += sorted(again)
            there.update(op.results)
        order.append(index)
    return sequenced(graph, order)


def source(node: Node) -> tuple[Node, int]:
    """The call that makes a node's value, and which of its results it is."""
    place = 0
    while node.target in ALIASES or getattr(node.target, "__name__", "") == "getitem":
        if node.target not in ALIASES:
            place = int(node.args[1])  # pyright: ignore[reportArgumentType]
        node = node.args[0]  # pyright: ignore[reportAssignmentType]
    return node, place


def selective(step: Profiled) -> Schedule:
    """Attention from its queries, keys and values runs again, as Megatron-LM's selective recomputation has it."""
    graph = step.graph
    core = {index for index, op in enumerate(step.training.ops) if (text_of(op, PATH) or "").endswith(".attn")}
    made = {storage: graph.values[storage].producer for storage in graph.storage}
    return as_needed(graph, {storage for storage, op in made.items() if op not in core})


def schedules(step: Profiled, captured: Capture, shares: Sequence[float]) -> Iterator[tuple[str, Schedule]]:
    """What there is to compare with, by name."""
    yield "keep all", keep_all(step.graph)
    for share in shares:
        yield f"torch, {share:g}", torchs(step, captured, share)
    yield "selective: attention", selective(step)
    yield "full: every layer", full(step.graph)


@dataclass(frozen=True)
class Point:
    """A schedule `theirs` and gossamer's at its peak; seconds that no schedule can undercut."""

    name: str
    theirs: Schedule
    ours: Schedule
    bound: float

    def cells(self, step: Profiled) -> tuple[str, ...]:
        """One row."""
        both = (self.theirs, self.ours)
        (most, other), (again, fewer) = map(step.megabytes, both), map(step.again, both)
        times = "" if not again else f"{again / fewer:.2f}" if fewer else "nothing again"
        counts = ", ".join(str(sum(1 for s in each.steps if s.life and step.graph.ops[s.op].time)) for each in both)
        costs = (f"{most:.2f}", f"{again * 1e3:.2f}", f"{other:.2f}", f"{fewer * 1e3:.2f}")
        return (self.name, *costs, times, f"{self.bound * 1e3:.2f}", counts)


def points(step: Profiled, captured: Capture, shares: Sequence[float], show: Show) -> tuple[list[Point], int]:
    """Every schedule with gossamer's, and the smallest peak that gossamer reaches. All peaks are measured, too."""
    planner, judge, found = Planner(step.graph), Planner(step.judge), list[Point]()
    for name, theirs in sorted(schedules(step, captured, shares), key=lambda pair: peak(step.graph, pair[1])):
        show(name)
        budget = check(step.graph, theirs).peak
        ours = planner.plan(budget).schedule
        found.append(Point(name, theirs, ours, judge.lower_bound(budget)))
        for schedule in (theirs, ours):
            predicted, measured = peak(step.graph, schedule), step.measured(schedule)
            assert predicted == measured, f"{name}: predicted {predicted:,} bytes, measured {measured:,}"
    return found, smallest(planner)


def smallest(planner: Planner) -> int:
    """The smallest peak that a planner finds a schedule for."""
    try:
        return planner.plan(planner.floor).peak
    except UserError:
        return min(trial.peak for trial in planner.trials.found.values())


def training_frontier(name: str, quick: bool, show: Show) -> Section:
    """A table: at the peak of every schedule, what gossamer computes again."""
    torch.manual_seed(0)
    shape = (100, 2, 64, 16) if quick else (2000, FRONTIERS[name], 256, 64)
    model = gpt2(*shape, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    ids = torch.randint(shape[0], (2 if quick else 8, shape[-1]))
    show("measuring ops")
    step, captured = profiled(model, ids, 3 if quick else 20)
    found, least = points(step, captured, SHARES[::4] if quick else SHARES, show)
    title = f"GPT-2, {shape[1]} layers of {shape[2]}, {len(ids)} x {shape[-1]} tokens: computed again at equal peaks"
    rows = [point.cells(step) for point in found]
    return Section(name, title, COLUMNS, rows, verdicts(step, found, least))


def verdicts(step: Profiled, found: list[Point], least: int) -> list[str]:
    """Who computes less again, who reaches what, and whose frontier is one."""
    torchs = [point for point in found if point.name.startswith("torch")]
    fewer = [point for point in torchs if step.again(point.ours) <= step.again(point.theirs)]
    smallest_of_torch = min(step.megabytes(point.theirs) for point in torchs)
    planned = [step.planned(point.ours) for point in found]
    by_plan = [point for point in torchs if step.planned(point.ours) <= step.planned(point.theirs)]
    monotone = all(a >= b for a, b in pairwise(planned))
    return [
        f"goal no more seconds again than torch at its own peak: {'reached' if fewer == torchs else 'MISSED'}"
        f" ({len(fewer)} of {len(torchs)}; by the profile that plans are made of, {len(by_plan)})",
        f"smallest peak: torch {smallest_of_torch:.2f} MB, gossamer {(least - step.graph.static) / 1e6:.2f} MB",
        f"{len(dominated(step, torchs))} of torch's {len(torchs)} points take more memory and more time"
        f" than another; more memory is {'never' if monotone else 'SOMETIMES'} slower in gossamer",
        f"keeping all: {step.megabytes(keep_all(step.graph)):.2f} MB, all ops once "
        f"{sum(op.time for op in step.judge.ops) * 1e3:.0f} ms; peaks are beyond weights and batch, and each is what "
        "torch's allocator gave out, to the byte",
    ]


def dominated(step: Profiled, found: list[Point]) -> list[Point]:
    """Points that another undercuts in bytes and in seconds."""
    costs = [(step.megabytes(point.theirs), step.again(point.theirs)) for point in found]
    return [
        point
        for point, (most, again) in zip(found, costs, strict=True)
        if any(a < most and b < again for a, b in costs)
    ]
