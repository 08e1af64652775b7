"""GPT-2 of 124M parameters within budgets: eager's bits, the predicted peak, and what fitting costs.

Dropout is on, attention is torch's fused one. The step runs once in eager and once within each budget, from the same
random state: the loss and the gradient of every parameter are the same to the bit, or there is no table.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

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
from .training_budgets import gpt2, loss_of, smallest

COLUMNS = (
    "budget MB",
    "predicted bytes",
    "measured bytes",
    "ms again",
    "of the step",
    "ms at least",
    "plan s",
    "equal",
)
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


def eagerly(model: nn.Module, ids: Tensor) -> Tensor:
    """Loss and gradients as torch has them."""
    loss = loss_of(model, ids)
    loss.backward()
    return loss


def budgets(step: TrainingStep, count: int) -> tuple[list[int], float]:
    """Budgets from the smallest that can be met to what keeping all takes, and seconds that the smallest took."""
    graph = training_graph(find(step.kept, "step")).graph
    planner, start = Planner(graph), time.perf_counter()
    least = smallest(planner)
    taken, most = time.perf_counter() - start, peak(graph, keep_all(graph))
    return [least + (most - least) * at // (count - 1) for at in range(count)], taken


def planned(step: TrainingStep, budget: int) -> float:
    """Seconds that a plan takes."""
    graph, start = training_graph(find(step.kept, "step")).graph, time.perf_counter()
    Planner(graph).plan(budget)
    return time.perf_counter() - start


def row(budget: int, report: MemoryReport, seconds: float, equal: bool) -> tuple[str, ...]:
    """One budget."""
    return (
        f"{(budget - report.static) / 1e6:.1f}", f"{report.predicted:,}", f"{report.measured:,}",
        f"{report.exposed * 1e3:.0f}", f"{report.exposed / report.seconds:.1%}", f"{(report.bound or 0) * 1e3:.0f}",
        f"{seconds:.2f}", "yes" if equal else "NO",
    )  # fmt: skip


def training_equality(quick: bool, show: Show) -> Section:
    """The table. Raises AssertionError where a bit or a byte differs."""
    torch.manual_seed(0)
    sizes: tuple[Any, ...] = (100, 2, 64, 16) if quick else (50257, 12, 768, 128)
    model, ids = gpt2(*sizes), torch.randint(sizes[0], (2 if quick else 4, sizes[-1]))
    show("eager")
    expected = gradients(model, lambda: eagerly(model, ids))
    show("measuring ops")
    step = gossamer.compile_training(model, loss_of, (ids,), memory_budget="100%")
    allowed, search = budgets(step, 3 if quick else 6)
    rows = []
    for number, budget in enumerate(allowed):
        show(f"budget {number + 1} of {len(allowed)}")
        seconds = planned(step, budget)
        step.fit((ids,), budget)
        report = step.memory
        equal = same(gradients(model, lambda: step(ids)), expected)
        assert equal, f"budget {budget:,}: not eager's bits"
        assert report.measured == report.predicted <= budget, f"{report.predicted:,} predicted, {report.measured:,}"
        rows.append(row(budget, report, seconds, equal))
    ops = len(training_graph(find(step.kept, "step")).graph.ops)
    title = f"GPT-2, {sizes[1]} layers of {sizes[2]}, {len(ids)} x {sizes[-1]} tokens, dropout on: eager's bits"
    notes = [
        f"loss and {len(expected) - 1} gradients are eager's to the bit at every budget; the predicted peak is what "
        "torch's allocator gave out, weights and batch among it; budgets are beyond those",
        f"a step of {ops} ops; searching for the smallest budget that can be met took {search:.1f} s",
    ]
    return Section("training-equality", title, COLUMNS, rows, notes)
