"""A schedule of a training step within a budget: the front door of the planners.

    plan(graph, budget, rung="mix") -> Plan        frontier(graph, budgets, rung) -> one Plan a budget, never slower
                                                                                    where there is more memory
| rung     | does                                                                             |
|----------|----------------------------------------------------------------------------------|
| `mincut` | minimum cuts, each judged by its exact peak; local moves to the budget           |
| `heu`    | one policy for all identical layers, and local moves                             |
| `mix`    | several policies for identical layers, and local moves: the default              |
| `opt`    | one program for the whole graph, started from `mix`, for a minute at most        |

Every plan meets its budget to the byte: cuts and programs propose, the exact peak of the schedule decides. A pipeline
stage is a graph of identical layers (`Op.layer`) with windows and `in_flight` micro-batches, and goes the same way.
What stays far above its bound, as near the smallest budgets, is searched about at last (`recompute_polish.py`).
Where the graph has a second tier, each rung's best is then tried with storages moved (`recompute_offload.py`).
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import inf
from operator import attrgetter

from ...dialects.diagnostics import UserError, did_you_mean
from .recompute_bound import proven_bound, relaxed_bound
from .recompute_cut import Cut, Network, corners, least_seconds, network_of
from .recompute_floor import floor
from .recompute_graph import Graph, Phase, Schedule
from .recompute_hide import hide
from .recompute_mix import Mixer
from .recompute_moves import movable
from .recompute_offload import offload
from .recompute_opt import optimum
from .recompute_polish import polish
from .recompute_repair import loosen, tighten
from .recompute_schedule import Choice
from .recompute_trial import Trial, Trials
from .recompute_units import Units, units_of
from .recompute_when import Times

RUNGS = ("mincut", "heu", "mix", "opt")

NEAR = 1e-3
"""`opt` ends this share of what can run again above its bound."""
AFTER, PROOF, ENDS = 0.05, 0.25, 0.98
"""It leaves this share of its seconds to local moves, this one to a better bound, and begins nothing after that one."""
FAR = {"mix": (0.12, 120), "opt": (1e-3, 300)}
"""How many steps above the bound a schedule is polished, and how many others may be written for that."""
TIGHT = 0.22
"""Where a mix exposes this share of what ops that can run again take, one policy for all layers is tried too, and cuts
are."""

BEST = 3
"""So many of the schedules that expose least, and of those that run least again, are moved into windows."""


@dataclass(frozen=True)
class Plan:
    """A schedule, the rung that was asked for, and its costs in seconds and bytes.

    `lower_bound` is below the exposed seconds of any schedule in this budget that `recompute_bound.py` speaks of, and 0
    where storages may move; `gap` is what could still be won. No budget under `floor` bytes can be met, because of
    `floor_op`.
    """

    schedule: Schedule
    choice: Choice
    rung: str
    exposed: float
    hidden: float
    recomputed: float
    peak: int
    lower_bound: float
    floor: int
    floor_op: str

    @property
    def gap(self) -> float:
        return max(0.0, self.exposed - self.lower_bound)


class Planner:
    """Plans one graph for several budgets; what was found for one serves others.

    `opt` ends after so many seconds, or as soon as it knows what `mix` finds.
    """

    def __init__(self, graph: Graph, seconds: float = 60.0):
        self.seconds = seconds
        self.graph, self.units, self.trials = graph, units_of(graph), Trials(graph)
        self.bounds: dict[int, float] = {}
        self.floor, self.floor_op = floor(graph)
        self.free, self.movable = self.units.free(), movable(graph)
        self.everything = Choice(frozenset(self.units.maker))

    @cached_property
    def network(self) -> Network:
        return network_of(self.units)

    @cached_property
    def cuts(self) -> list[Cut]:
        return corners(self.network)

    @cached_property
    def times(self) -> Times:
        return Times(self.units)

    @cached_property
    def mixer(self) -> Mixer:
        return Mixer(self.trials, self.times)

    def plan(self, budget: int, rung: str = "mix") -> Plan:
        if rung not in RUNGS:
            raise UserError(f"there is no rung '{rung}' of recomputation", hint=did_you_mean(rung, RUNGS))
        deadline = time.monotonic() + ENDS * self.seconds
        if self.trials.of(self.everything).peak > budget >= self.floor:
            self.search(budget, rung)
            if rung == "opt":
                self.search_on(budget, deadline)
        if self.trials.best(budget) is None:
            self.by_least(budget, rung)
        best = self.trials.best(budget)
        assert best is not None
        return self.told(best, budget, rung)

    def search(self, budget: int, rung: str) -> None:
        """Try what the rung has; of `opt`, what `mix` has."""
        if rung != "mincut":
            self.by_layers(budget, rung)
        if rung == "mincut" or not self.graph.windows or self.is_tight(budget):
            self.by_cuts(budget)
        self.by_windows(budget)
        if rung in ("mix", "opt") and self.exposes(budget) and self.is_tight(budget):
            self.look_about(budget, "mix", relaxed_bound(self.times, budget))
        self.by_offload(budget)

    def search_on(self, budget: int, deadline: float) -> None:
        """Try what else `opt` has, until then."""
        if not self.exposes(budget) and self.trials.best(budget):
            return
        if one := self.mixer.heu(budget):
            loosen(self.trials, self.units, one, budget)
        self.by_program(budget, deadline - (AFTER + PROOF) * self.seconds)
        self.by_windows(budget, deadline)
        if self.exposes(budget):
            left = max(0.0, deadline - AFTER * self.seconds - time.monotonic())
            bound = proven_bound(self.times, budget, min(PROOF * self.seconds, left))
            self.look_about(budget, "opt", bound, deadline)
        if time.monotonic() < deadline:
            self.by_offload(budget)

    def by_least(self, budget: int, rung: str) -> None:
        """Try what is found for a budget of nothing: so the smallest peak that an error tells can be had.

        Raises UserError where that is not small enough.
        """
        planner = Planner(self.graph, self.seconds)
        planner.search(0, rung)
        least = planner.leanest()
        if least.peak > budget:
            raise self.out_of_reach(budget, least)
        loosen(self.trials, self.units, self.trials.of(least.choice), budget)

    def by_layers(self, budget: int, rung: str) -> None:
        """Give layers policies, and spend what those leave."""
        best = self.mixer.heu(budget) if rung == "heu" else self.mixer.mix(budget)
        if best:
            best = loosen(self.trials, self.units, best, budget)
        if rung != "heu" and self.is_tight(budget) and (one := self.mixer.heu(budget)):
            loosen(self.trials, self.units, one, budget)

    def exposes(self, budget: int) -> bool:
        """Whether the best that was found exposes anything."""
        best = self.trials.best(budget)
        return best is not None and best.exposed > 0

    def is_tight(self, budget: int) -> bool:
        """Whether all that was found exposes much, if anything was found."""
        best = self.trials.best(budget)
        again = sum(self.graph.ops[op].time for unit in self.units.units for op in unit.ops)
        return best is None or best.exposed > TIGHT * again

    def by_windows(self, budget: int, deadline: float = inf) -> None:
        """Hide what the best schedules so far expose, and keep what stays exposed, until then."""
        best = self.trials.best(budget)
        if self.graph.windows and best and best.exposed:
            fit = [trial for trial in self.trials.found.values() if trial.peak <= budget]
            least = [sorted(fit, key=attrgetter(cost))[:BEST] for cost in ("exposed", "recomputed")]
            for trial in {id(trial): trial for trials in least for trial in trials}.values():
                if time.monotonic() > deadline:
                    break
                loosen(self.trials, self.units, hide(self.trials, trial, budget), budget)

    def by_program(self, budget: int, deadline: float) -> None:
        """Solve for the whole graph what the other rungs left open, until then."""
        best, gap = self.trials.best(budget), NEAR * sum(unit.time for unit in self.units.units)
        optimum(self.trials, self.times, budget, best, deadline, gap)

    def by_cuts(self, budget: int) -> None:
        """Try the cuts around the budget, and everything kept, each brought under it."""
        tried = [self.trials.of(Choice(cut.kept | self.free)) for cut in self.cuts]
        above = [trial for trial in tried if trial.peak > budget]
        for start in (self.trials.of(self.everything), *above[-1:]):
            self.settle(start, budget)
        if self.trials.best(budget) is None:
            for choice in short_lived(self.units, self.cuts):
                if self.trials.of(choice).peak <= budget:
                    break
            self.settle(self.leanest(), budget)
        if best := self.trials.best(budget):
            loosen(self.trials, self.units, best, budget)

    def leanest(self) -> Trial:
        """The schedule of the lowest peak so far."""
        return min(self.trials.found.values(), key=lambda trial: trial.peak)

    def settle(self, trial: Trial, budget: int) -> None:
        trial = tighten(self.trials, self.units, trial, budget)
        if trial.peak <= budget:
            loosen(self.trials, self.units, trial, budget)

    def lower_bound(self, budget: int) -> float:
        """No schedule in the budget exposes less: what it must run again at least, all windows full."""
        if self.movable:
            return 0.0
        room = (budget - self.graph.static) / self.graph.in_flight
        return max(self.bounds.get(budget, 0.0), least_seconds(self.network, room) - self.hideable())

    def look_about(self, budget: int, rung: str, bound: float, deadline: float = inf) -> None:
        """Look about the best schedule, until then, where it is far from what none is under."""
        self.bounds[budget] = bound = max(bound, self.bounds.get(budget, 0.0))
        best, (far, most) = self.trials.best(budget), FAR[rung]
        if best and best.exposed - bound > far * sum(op.time for op in self.graph.ops):
            polish(self.trials, self.units, best, budget, most, deadline)

    def by_offload(self, budget: int) -> None:
        """Move storages to the second tier, where there is one."""
        if self.movable and budget >= self.floor:
            offload(self.trials, self.units, self.movable, budget)
            self.by_windows(budget)

    def hideable(self) -> float:
        """Seconds of recomputation that windows can hide."""
        backward = {op.starts for op in self.graph.ops if op.phase is Phase.BACKWARD or self.graph.in_flight > 1}
        return sum(self.graph.windows[window].room for window in backward if window is not None)

    def out_of_reach(self, budget: int, least: Trial) -> UserError:
        """That the budget cannot be met, and the smallest that was found."""
        at = least.live.index(least.peak)
        op = self.graph.ops[least.steps[at].op].name
        proof = f"op '{self.floor_op}' alone needs {self.floor:,} bytes with what cannot be computed again"
        message = f"a budget of {budget:,} bytes cannot be met"
        reached = f"the smallest found is {least.peak:,} bytes; op '{op}' sets it"
        return UserError(message, details=[reached, proof], hint="a smaller batch needs less")

    def told(self, trial: Trial, budget: int, rung: str) -> Plan:
        bound = min(self.lower_bound(budget), trial.exposed) if trial.exposed else 0.0
        costs = (trial.exposed, trial.hidden, trial.recomputed, trial.peak)
        return Plan(trial.schedule, trial.choice, rung, *costs, bound, self.floor, self.floor_op)


def short_lived(units: Units, cuts: Iterable[Cut]) -> Iterator[Choice]:
    """Choices of little memory: what runs again lives for one layer; the leanest cut is kept, or a half of it, .."""
    graph, lean = units.graph, [cut.kept for cut in cuts if cut.kept][-1:]
    backward = [index for index, op in enumerate(graph.ops) if op.phase is Phase.BACKWARD]
    turns = [b for a, b in pairwise(backward) if graph.ops[a].layer != graph.ops[b].layer]
    renewed = frozenset((storage, turn) for storage in units.maker for turn in turns)
    kept = sorted(lean[0]) if lean else []
    for apart in (2**k for k in range(len(kept).bit_length() + 1)):
        keep = frozenset(kept[apart - 1 :: apart]) | units.free()
        yield Choice(keep, {}, frozenset(move for move in renewed if move[0] not in keep))


def plan(graph: Graph, budget: int, rung: str = "mix") -> Plan:
    """The fastest schedule found whose peak is at most `budget` bytes; a `UserError` if there is none."""
    return Planner(graph).plan(budget, rung)


def frontier(graph: Graph, budgets: Iterable[int], rung: str = "mix") -> list[Plan]:
    """A plan for each budget, in their order; what a smaller budget found is open to larger ones."""
    planner, budgets = Planner(graph), list(budgets)
    plans = {budget: planner.plan(budget, rung) for budget in sorted(budgets)}
    return [plans[budget] for budget in budgets]
