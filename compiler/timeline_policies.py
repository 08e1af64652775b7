"""Who decides what to recompute: Megatron's choices, planners without and with windows.

| policy     | is                                                                                      |
|------------|-----------------------------------------------------------------------------------------|
| none       | nothing is recomputed                                                                   |
| full ..    | Megatron-LM, equal layers on each stage: see `passes/solvers/recompute_megatron.py`     |
| no-overlap | the best that is found where no communication hides anything, as Checkmate looks for it |
| heu        | one policy for all layers of a stage, hidden in windows, as Lynx-HEU has it             |
| mix        | several policies, hidden in windows and stalls; layers move where that is faster        |
| opt        | the same by the slower, exact planner                                                   |
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ..passes.solvers import recompute_megatron as megatron
from ..passes.solvers.recompute_graph import Graph, Schedule
from ..passes.solvers.recompute_memory import keep_all
from ..passes.solvers.recompute_plan import plan

Planner = Callable[[Graph, int, str], Schedule]
"""A schedule of a graph within a budget of bytes, by a rung of `recompute_plan`. Raises UserError if there is none."""
Attempt = Callable[[Graph, int], Schedule]
"""A schedule of a stage, for a budget if it knows one."""


def planned(graph: Graph, budget: int, rung: str) -> Schedule:
    """What our planners find."""
    return plan(graph, budget, rung).schedule


@dataclass(frozen=True)
class Policy:
    """`attempts` gives schedules for all stages, the fastest first, of which the first that fits is taken.

    `host`: windows of forward passes hide recomputation. `fill`: stalls do. `moves`: layers move between stages.
    `budgeted`: attempts keep to the budget that they are told.
    """

    title: str
    attempts: Callable[[int, Planner], Iterator[Attempt]]
    host: bool = False
    fill: bool = False
    moves: bool = False
    budgeted: bool = False


def fixed(choice: Callable[[Graph], Schedule]) -> Callable[[int, Planner], Iterator[Attempt]]:
    """One schedule, whatever the budget."""
    return lambda layers, planner: iter([lambda graph, budget: choice(graph)])


def counted(choice: Callable[[Graph, int], Schedule], least: int) -> Callable[[int, Planner], Iterator[Attempt]]:
    """A schedule for each count of layers, the same on every stage."""

    def attempts(layers: int, planner: Planner) -> Iterator[Attempt]:
        for count in range(least, layers + 1):
            yield lambda graph, budget, count=count: choice(graph, count)

    return attempts


def by_rung(rung: str, *, windows: bool = True) -> Callable[[int, Planner], Iterator[Attempt]]:
    """What a planner finds for each stage."""
    return lambda layers, planner: iter(
        [lambda graph, budget: planner(graph if windows else closed(graph), budget, rung)]
    )


def closed(graph: Graph) -> Graph:
    """The same with windows that hide nothing."""
    return replace(graph, windows=tuple(replace(window, efficiency=0.0) for window in graph.windows))


POLICIES = {
    "none": Policy("nothing recomputed", fixed(keep_all)),
    "full": Policy("Megatron full", fixed(megatron.full)),
    "selective": Policy("Megatron selective", fixed(megatron.selective)),
    "uniform": Policy("Megatron uniform", counted(megatron.uniform, 1)),
    "block": Policy("Megatron block", counted(megatron.block, 0)),
    "no-overlap": Policy("optimum, no overlap", by_rung("mix", windows=False), budgeted=True),
    "heu": Policy("one policy, windows", by_rung("heu"), host=True, budgeted=True),
    "heu-moved": Policy("the same, layers moved", by_rung("heu"), host=True, moves=True, budgeted=True),
    "mix": Policy(
        "mixed, windows, stalls, layers moved", by_rung("mix"), host=True, fill=True, moves=True, budgeted=True
    ),
    "opt": Policy("exact, the same", by_rung("opt"), host=True, fill=True, moves=True, budgeted=True),
}
BASELINES = ("none", "full", "selective", "uniform", "block", "no-overlap", "heu", "heu-moved")
