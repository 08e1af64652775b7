"""Models of full size within six budgets each: eager's bits, the predicted peak, and what fitting costs.

Dropout is on where a model has it. The step runs once in eager and once within each budget, from the same random state:
the loss and the gradient of every parameter are the same to the bit, or there is no table.
"""

import time
from collections.abc import Callable, Sequence

import gossamer
import torch
from gossamer.compiler.explain_memory import MemoryReport
from gossamer.compiler.training import TrainingStep
from gossamer.passes.analysis.training_graph import training_graph
from gossamer.passes.solvers.recompute_memory import keep_all, peak
from gossamer.passes.solvers.recompute_plan import Planner
from gossamer.runtime.executor import find
from torch import Tensor, nn

from .sections import Section
from .training_budgets import smallest
from .training_models import MODELS, Job

COLUMNS = (
    "model", "ops", "budget MB", "predicted bytes", "measured bytes", "ms again", "of the step", "plan s", "equal",
)  # fmt: skip
SEED = 7
Show = Callable[[str], object]


def gradients(model: nn.Module, run: Callable[[], Tensor]) -> list[Tensor]:
    """The loss that `run` gives, and the gradient of every parameter."""
    model.zero_grad(set_to_none=True)
    torch.manual_seed(SEED)
    loss = run()
    found = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None for gradient in found)
    return [loss.detach(), *(gradient.clone() for gradient in found if gradient is not None)]


def same(ours: Sequence[Tensor], eager: Sequence[Tensor]) -> bool:
    """Equal to the bit."""
    pairs = zip(ours, eager, strict=True)
    return all(torch.equal(a.contiguous().view(torch.int32), b.contiguous().view(torch.int32)) for a, b in pairs)


def eagerly(job: Job) -> Tensor:
    """Loss and gradients as torch has them."""
    loss = job.loss(job.model, *job.batch)
    loss.backward()
    return loss


def budgets(step: TrainingStep, count: int) -> list[int]:
    """Budgets from the smallest that can be met to what keeping all takes."""
    graph = training_graph(find(step.kept, "step")).graph
    least, most = smallest(Planner(graph)), peak(graph, keep_all(graph))
    return [least + (most - least) * at // (count - 1) for at in range(count)]


def planned(step: TrainingStep, budget: int) -> float:
    """Seconds that a plan takes."""
    graph, start = training_graph(find(step.kept, "step")).graph, time.perf_counter()
    Planner(graph).plan(budget)
    return time.perf_counter() - start


def row(name: str, ops: int, budget: int, report: MemoryReport, seconds: float) -> tuple[str, ...]:
    """One budget of one model."""
    return (
        name, str(ops), f"{(budget - report.static) / 1e6:.1f}", f"{report.predicted:,}", f"{report.measured:,}",
        f"{report.exposed * 1e3:.0f}", f"{report.exposed / report.seconds:.1%}", f"{seconds:.2f}", "yes",
    )  # fmt: skip


def rows_of(name: str, job: Job, count: int, show: Show) -> list[tuple[str, ...]]:
    """A model within `count` budgets. Raises AssertionError where a bit or a byte differs."""
    show(f"{name}: eager")
    expected, found = gradients(job.model, lambda: eagerly(job)), list[tuple[str, ...]]()
    show(f"{name}: measuring ops")
    step = gossamer.compile_training(job.model, job.loss, job.batch, memory_budget="100%")
    ops = len(training_graph(find(step.kept, "step")).graph.ops)
    for number, budget in enumerate(budgets(step, count)):
        show(f"{name}: budget {number + 1} of {count}")
        seconds = planned(step, budget)
        step.fit(job.batch, budget)
        report = step.memory
        assert same(gradients(job.model, lambda: step(*job.batch)), expected), f"{name}, {budget:,}: not eager's bits"
        assert report.measured == report.predicted <= budget, f"{report.predicted:,} predicted, {report.measured:,}"
        found.append(row(name, ops, budget, report, seconds))
    return found


def training_equality(quick: bool, show: Show) -> Section:
    """The table. Raises AssertionError where a bit or a byte differs."""
    rows = []
    for name, make in MODELS.items():
        torch.manual_seed(0)
        rows += rows_of(name, make(quick), 3 if quick else 6, show)
    title = f"{len(MODELS)} models within budgets from the smallest that can be met to all: eager's bits"
    notes = [
        "loss and all gradients are eager's to the bit at every budget; the predicted peak is what torch's allocator "
        "gave out, weights and batch among it; budgets are beyond those",
    ]
    return Section("training-equality", title, COLUMNS, rows, notes)
