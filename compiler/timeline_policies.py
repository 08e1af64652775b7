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

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ..passes.solvers import recompute_megatron as megatron
from ..passes.solvers.recompute_graph import Graph, Schedule
from ..passes.solvers.recompute_memory import keep_all
from ..passes.solvers.recompute_plan import plan

Planner = Callable[[Graph, int, str], Schedule]
"""A schedule of a graph within a budget of bytes, by a rung of `recompute_plan`. Raises UserError if there is none."""


def planned(graph: Graph, budget: int, rung: str) -> Schedule:
    """What our planners find."""
    return plan(graph, budget, rung).schedule


@dataclass(frozen=True)
class Attempt:
    """A way to a schedule of a stage, for a budget if it knows one. Two of one name give the same."""

    name: str
    schedule: Callable[[Graph, int], Schedule]


@dataclass(frozen=True)
class Policy:
    """`attempts` are made on all stages; without a planner the first that fits is taken, else the fastest.

    `host`: windows of forward passes hide recomputation. `fill`: stalls do. `moves`: layers move between stages.
    `planned`: attempts keep to the budget that they are told.
    """

    title: str
    attempts: Callable[[int, Planner], Iterable[Attempt]]
    host: bool = False
    fill: bool = False
    moves: bool = False
    planned: bool = False


def fixed(choice: Callable[[Graph], Schedule]) -> Callable[[int, Planner], list[Attempt]]:
    """One schedule, whatever the budget."""
    return lambda layers, planner: [Attempt(choice.__name__, lambda graph, budget: choice(graph))]


def counted(choice: Callable[[Graph, int], Schedule], least: int) -> Callable[[int, Planner], list[Attempt]]:
    """A schedule for each count of layers, the same on every stage."""

    def attempt(count: int) -> Attempt:
        return Attempt(f"{choice.__name__} {count}", lambda graph, budget: choice(graph, count))

    return lambda layers, planner: [attempt(count) for count in range(least, layers + 1)]


def by_rungs(*rungs: str) -> Callable[[int, Planner], list[Attempt]]:
    """What planners find for each stage; of `closed` windows where a rung says so."""

    def attempt(rung: str, planner: Planner) -> Attempt:
        name = rung.removesuffix(CLOSED)
        shut = closed if rung.endswith(CLOSED) else lambda graph: graph
        return Attempt(rung, lambda graph, budget: planner(shut(graph), budget, name))

    return lambda layers, planner: [attempt(rung, planner) for rung in rungs]


def closed(graph: Graph) -> Graph:
    """The same with windows that hide nothing."""
    return replace(graph, windows=tuple(replace(window, efficiency=0.0) for window in graph.windows))


CLOSED = ", windows closed"
POLICIES = {
    "none": Policy("nothing recomputed", fixed(keep_all)),
    "full": Policy("Megatron full", fixed(megatron.full)),
    "selective": Policy("Megatron selective", fixed(megatron.selective)),
    "uniform": Policy("Megatron uniform", counted(megatron.uniform, 1)),
    "block": Policy("Megatron block", counted(megatron.block, 0)),
    "no-overlap": Policy("optimum, no overlap", by_rungs("mix" + CLOSED), planned=True),
    "heu": Policy("one policy, windows", by_rungs("heu"), host=True, planned=True),
    "heu-moved": Policy("the same, layers moved", by_rungs("heu"), host=True, moves=True, planned=True),
    "mix": Policy("mixed, also stalls, layers moved", by_rungs("mix", "heu", "mix" + CLOSED),
                  host=True, fill=True, moves=True, planned=True),
    "opt": Policy("exact, the same", by_rungs("opt", "mix"), host=True, fill=True, moves=True, planned=True),
}  # fmt: skip
BASELINES = ("none", "full", "selective", "uniform", "block", "no-overlap", "heu", "heu-moved")
