"""A training step over a pipeline of devices: how long it takes by each policy of recomputation, and why.

    setting, policy  --graphs of stages, schedules-->  costs  --order of tasks-->  timeline, memory

A policy is tried on equal stages. Where layers may move, one by one moves to another device as long as that is faster,
from equal stages and from those that are best where nothing is recomputed. Budgets of planners shrink until what runs
early or waits fits too.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, permutations

from ..dialects.diagnostics import UserError, did_you_mean
from ..passes.solvers.recompute_stage import POINTS, StageCost, stage_cost
from ..passes.solvers.transformer_graph import Part
from ..runtime.timeline.orders import Plan
from ..runtime.timeline.simulator import Timeline, simulate
from .timeline_bound import Bounds
from .timeline_policies import POLICIES, Attempt, Planner, planned
from .timeline_setting import Setting
from .timeline_stages import Stages

ROUNDS = 4
"""So often are budgets made smaller, each time by twice as much: a planner may give the same for near ones."""
MOVES = 12
"""So many layers move at most."""
NEAR = 1 + 1e-6
"""This many times the bound is the bound."""


@dataclass(frozen=True)
class Outcome:
    """A policy on a partition of the layers: its timeline, what each chunk costs, bytes on each device.

    `excess` is by how many bytes the fullest device is over its memory; `refused` tells why there is no timeline.
    """

    policy: str
    partition: tuple[int, ...]
    timeline: Timeline | None = None
    costs: tuple[StageCost, ...] = ()
    static: tuple[int, ...] = ()
    excess: int = 0
    refused: str = ""

    @property
    def fits(self) -> bool:
        return self.timeline is not None and self.excess <= 0

    @property
    def seconds(self) -> float:
        """Of a step; infinite where it does not fit."""
        return self.timeline.makespan if self.timeline is not None and self.fits else float("inf")

    def peak(self, device: int) -> int:
        """The most bytes on a device."""
        return self.static[device] + (self.timeline.peak(device) if self.timeline else 0)


def rank(outcome: Outcome) -> tuple[float, int]:
    """The less the better: seconds, then bytes that are missing, a schedule that is missing last."""
    return outcome.seconds, outcome.excess if outcome.timeline is not None else 2**62


@dataclass(frozen=True)
class Stage:
    """What a schedule is wanted for."""

    part: Part
    static: int
    in_flight: int
    budget: int


@dataclass
class Pipeline:
    """A setting under study. Schedules and costs of stages are kept: many partitions share them."""

    setting: Setting
    planner: Planner = planned
    show: Callable[[str], object] = lambda text: None
    costs: dict[tuple, StageCost | UserError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stages = Stages(self.setting)
        self.bounds = Bounds(self.stages)

    def best(self, name: str) -> Outcome:
        """A policy, on the partition that suits it where it may choose."""
        if name not in POLICIES:
            raise UserError(f"there is no policy '{name}'", hint=did_you_mean(name, POLICIES))
        policy, even = POLICIES[name], self.setting.even()
        self.show(f"{self.setting.name}: {policy.title}")
        first, *others = policy.attempts(max(even), self.planner)
        found = self.attempted(name, first, even)
        if found.seconds <= self.bounds.free * NEAR:
            return found
        if not policy.planned:
            return next((each for each in chain([found], self.each(name, others, even)) if each.fits), found)
        partitions = [even]
        if policy.moves:
            starts = [found, self.attempted(name, first, self.bounds.ideal[1])]
            found = min((self.moved(name, first, start) for start in starts), key=rank)
            partitions = list(dict.fromkeys([found.partition, even]))
        return min(
            [found, *(each for partition in partitions for each in self.each(name, others, partition))], key=rank
        )

    def each(self, name: str, attempts: Sequence[Attempt], partition: tuple[int, ...]) -> Iterator[Outcome]:
        """What attempts make of a partition."""
        return (self.attempted(name, attempt, partition) for attempt in attempts)

    def moved(self, name: str, attempt: Attempt, found: Outcome) -> Outcome:
        """Layers moved, one by one, as long as that is faster."""
        for _ in range(MOVES if found.seconds > self.bounds.free * NEAR else 0):
            hopeful = (each for each in self.neighbours(found.partition) if self.bounds.of(each) < found.seconds)
            tried = (self.attempted(name, attempt, partition) for partition in hopeful)
            better = min(tried, key=rank, default=found)
            if rank(better) >= rank(found):
                break
            found = better
        return found

    def neighbours(self, partition: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """One layer moved from each device to each other."""
        devices = range(self.setting.stages)
        chunks = [[c for c, d in enumerate(self.setting.place) if d == device] for device in devices]
        for giver, taker in permutations(devices, 2):
            more, less = max(chunks[giver], key=partition.__getitem__), min(chunks[taker], key=partition.__getitem__)
            if partition[more] > 1:
                yield tuple(n - (c == more) + (c == less) for c, n in enumerate(partition))

    def attempted(self, name: str, attempt: Attempt, partition: tuple[int, ...]) -> Outcome:
        """One attempt on every stage, with smaller budgets where what runs early or waits does not fit."""
        setting = self.setting
        budgets, plan = [setting.memory] * setting.stages, self.stages.plan(self.stages.bare(partition))
        for turn in range(ROUNDS):
            found = self.once(name, attempt, partition, plan, budgets)
            if found.timeline is None or found.fits or not POLICIES[name].planned:
                return found
            plan = found.timeline.plan
            over = [max(0, found.peak(device) - setting.memory) for device in range(setting.stages)]
            less = (max(more * 5 // 4, setting.memory >> 10) << turn if more else 0 for more in over)
            budgets = [budget - each for budget, each in zip(budgets, less, strict=True)]
        return self.once(name, attempt, partition, plan, budgets)

    def once(
        self, name: str, attempt: Attempt, partition: tuple[int, ...], plan: Plan, budgets: Sequence[int]
    ) -> Outcome:
        """One attempt with so many micro-batches in flight as in `plan`, and these budgets."""
        setting, policy = self.setting, POLICIES[name]
        static = tuple(setting.static(partition, device) for device in range(setting.stages))
        limits = [setting.memory - each for each in static]
        costs: list[StageCost] = []
        try:
            for chunk, layers in enumerate(partition):
                part, device = setting.part(chunk, layers), setting.place[chunk]
                flying = plan.in_flight(device)
                costs.append(self.cost(attempt, Stage(part, static[device], flying, budgets[device]), policy.host))
        except UserError as fault:
            return Outcome(name, partition, static=static, refused=str(fault))
        timeline = simulate(self.stages.plan(costs), costs, transfer=setting.transfer, limits=limits, fill=policy.fill,
                            host=policy.host)  # fmt: skip
        over = max(timeline.peak(device) - limits[device] for device in range(setting.stages))
        return Outcome(name, partition, timeline, tuple(costs), static, over)

    def cost(self, attempt: Attempt, stage: Stage, early: bool) -> StageCost:
        """What a stage costs by an attempt, and what can run `early`. What was refused once is refused again."""
        key = (attempt.name, stage, early)
        if key not in self.costs:
            graph = self.stages.graph(stage.part, stage.static, stage.in_flight)
            try:
                schedule = attempt.schedule(graph, stage.budget)
                self.costs[key] = stage_cost(graph, schedule, split=self.setting.split, points=POINTS if early else 0)
            except UserError as fault:
                self.costs[key] = fault
        found = self.costs[key]
        if isinstance(found, UserError):
            raise found
        return found
