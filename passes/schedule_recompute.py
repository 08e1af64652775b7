"""Fit a training step into a memory budget: forget values, and compute them again before they are read.

    %a = aten.call "aten.gelu.default"(%x)                  %a = aten.call "aten.gelu.default"(%x) {remat.name = "a"}
    %y = aten.call "aten.mm.default"(%a, %w)                %y = aten.call "aten.mm.default"(%a, %w)
    ..                                               ->     ..
    %d = aten.call "aten.mm.default"(%t, %g)                %b = aten.call "aten.gelu.default"(%x)
                                                                     {remat.of = "a", remat.life = 1}
                                                            %d = aten.call "aten.mm.default"(%t1, %g)

The budget is in bytes (`2147483648`, `2GiB`), for all memory that the step takes, or a share (`60%`) of what keeping
all takes beyond weights and inputs. A rung of `solvers/recompute_plan.py` chooses. What ops take must stand on them, as
`train.time` and `train.storage`. A random op is computed again only as a draw from a known state (`split-random-ops`);
states that no replay reads are taken back. Where the function has a `tier.link`, storages may also go there and come
back (`tier.offload`, `tier.fetch`), where that is faster. Bitwise. Pays nothing where all fits: then nothing changes.
"""

import re
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import FloatAttr, ModuleOp, StringAttr, f64
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass

from ..dialects.byte_sizes import read_bytes
from ..dialects.diagnostics import UserError, place_of
from ..dialects.remat import BOUND, BUDGET, FLOOR, PHASE, RUNG, set_number
from .analysis.training_graph import training_graph
from .rematerialization import apply_schedule, keep_everything
from .solvers.recompute_memory import peak
from .solvers.recompute_plan import Plan, plan
from .split_random_ops import join_random_ops

DEFAULT_RUNG = "mix"
HINT = 'write 60%, 2GiB, 500MB or a number of bytes; compile_training takes "device" too'
SHARE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")


def budget_bytes(budget: str, static: int, most: int) -> int:
    """A budget in bytes, where `most` is what keeping all takes. Raises UserError for what is no budget."""
    if share := SHARE.fullmatch(budget):
        return static + int((most - static) * float(share[1]) / 100)
    return read_bytes(budget, "memory budget", HINT)


@dataclass(frozen=True)
class ScheduleRecompute(ModulePass):
    """Recompute, or move away, what does not fit."""

    name = "schedule-recompute"
    budget: int | str = "100%"
    rung: str = DEFAULT_RUNG

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.ops:
            if isinstance(function, FuncOp) and any(PHASE in step.attributes for step in function.body.block.ops):
                schedule(function, str(self.budget), self.rung)


def schedule(function: FuncOp, budget: str, rung: str) -> Plan:
    """Let a training step fit into `budget`. Raises UserError where that cannot be, or nothing is known of the ops."""
    keep_everything(function)
    training = training_graph(function)
    graph = training.graph
    if not any(op.time for op in graph.ops):
        hint = "gossamer.compile_training(.., memory_budget=..) measures them"
        raise UserError("no op has a time (`train.time`)", place=place_of(function), hint=hint)
    allowed = budget_bytes(budget, graph.static, peak(graph, training.schedule))
    found = plan(graph, allowed, rung)
    apply_schedule(function, training, found.schedule)
    join_random_ops(function)
    set_number(function, BUDGET, allowed)
    set_number(function, FLOOR, found.floor)
    function.attributes[RUNG] = StringAttr(found.rung)
    if graph.tier is None:
        function.attributes[BOUND] = FloatAttr(found.lower_bound, f64)
    return found
