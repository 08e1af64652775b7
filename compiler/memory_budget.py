"""Let a training step fit into a memory budget: measure it, schedule it, measure what came of it.

    step.module   ─ split-random-ops ─ times, bytes ─ schedule-recompute{budget="60%"} ─ run once ─>  step.module
                                       (step_costs)                                     (allocations)

The predicted peak is that of the schedule which the text of the program is (`analysis/training_graph.py`), the
measured one what torch's allocator gave out, both with weights and batch. They are equal to the byte on the CPU. What
ops take is measured once, for the first budget. Where ranks train together, all of them take part, count with the times
of the slowest, and run the same plan (`ranks.py`).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from xdsl.dialects.builtin import ModuleOp

from ..dialects.diagnostics import UserError
from ..dialects.remat import MEASURED, set_number
from ..dialects.tier import Link, set_link
from ..passes.analysis.training_graph import static_bytes
from ..passes.schedule_recompute import DEFAULT_RUNG, ScheduleRecompute, budget_bytes
from ..passes.split_random_ops import device_of
from ..runtime.allocations import allocations
from ..runtime.executor import find
from .device_memory import DEVICE, free_bytes, place
from .pipeline import run_pipeline
from .ranks import agree, least_share, on_any_rank, share_times, starts
from .step_costs import Progress, is_measured, measure_step, silent
from .windows import measure_windows

FUNCTION = "step"


def is_device(budget: int | str) -> bool:
    """Whether the budget is what is free on the device."""
    return str(budget).strip().lower() == DEVICE


def fit(
    module: ModuleOp,
    weights: dict[str, Tensor],
    args: Sequence[Any],
    budget: int | str,
    rung: str | None = None,
    progress: Progress = silent,
    link: Link | None = None,
) -> ModuleOp:
    """`module`, a training step, as it runs within `budget`; `module` itself learns once what its ops take.

    Storages may move over `link`.
    Raises UserError where the budget cannot be met, saying which can.
    """
    if isinstance(budget, bool) or not isinstance(budget, int | str):
        message = f"memory_budget is a {type(budget).__name__}, expected bytes or a text"
        raise UserError(message, hint='memory_budget="60%", "2GiB", 2147483648 or "device"')
    if not is_device(budget):
        budget_bytes(str(budget), 0, 0)
    entry = find(module, FUNCTION)
    if link is not None and starts(entry):
        hint = "leave offload out: what collectives leave free is spent on recomputation"
        raise UserError("ranks that train together keep all in their devices", hint=hint)
    if on_any_rank(entry, not is_measured(entry)):
        run_pipeline(module, "split-random-ops")
        measure_step(module, weights, args, FUNCTION, progress, lambda wanted: on_any_rank(entry, wanted))
        share_times(entry)
        measure_windows(entry)
    static = sum(static_bytes(entry))
    if is_device(budget):
        device = torch.device(device_of(entry))
        budget = least_share(entry, place(device), free_bytes(device), static)
    scheduled = module.clone()
    if link is not None:
        set_link(find(scheduled, FUNCTION), link)
    run_pipeline(scheduled, [ScheduleRecompute(budget, rung or DEFAULT_RUNG)])
    function = find(scheduled, FUNCTION)
    agree(function)
    with torch.random.fork_rng():
        set_number(function, MEASURED, static + allocations(scheduled, weights, args, FUNCTION).peak)
    return scheduled
