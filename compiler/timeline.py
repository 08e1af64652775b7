"""A training step over a pipeline of devices: how long it takes by each policy of recomputation, and why.

    setting, policy  --graphs of stages, schedules-->  costs  --order of tasks-->  timeline, memory

A policy is tried on equal stages; where layers may move, one moves from the slowest device to another as long as that
is faster. Budgets of planners shrink until what runs early or waits fits too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ..dialects.diagnostics import UserError, did_you_mean
from ..passes.solvers.recompute_graph import Graph, Schedule
from ..passes.solvers.recompute_memory import keep_all
from ..passes.solvers.recompute_stage import POINTS, StageCost, stage_cost
from ..passes.solvers.transformer_graph import Part, stage_graph
from ..runtime.timeline.orders import FIXED, Plan, interleaved
from ..runtime.timeline.simulator import Timeline, simulate
from ..runtime.timeline.zero_bubble import Durations, zero_bubble_h1, zero_bubble_h2, zero_bubble_v
from .timeline_policies import POLICIES, Attempt, Planner, Policy, planned
from .timeline_setting import Setting

ROUNDS = 4
"""So often are budgets made smaller."""
MOVES = 12
"""So many layers move at most."""
ZERO_BUBBLE = {"zb-h1": zero_bubble_h1, "zb-h2": zero_bubble_h2, "zb-v": zero_bubble_v}


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


@dataclass
class Pipeline:
    """A setting under study. Graphs, schedules and costs of stages are kept: many partitions share them."""

    setting: Setting
    planner: Planner = planned
    show: Callable[[str], object] = lambda text: None
    schedules: dict[tuple, Schedule | UserError] = field(default_factory=dict)
    costs: dict[tuple, StageCost] = field(default_factory=dict)

    def best(self, name: str) -> Outcome:
        """A policy, on the partition that suits it where it may choose."""
        if name not in POLICIES:
            raise UserError(f"there is no policy '{name}'", hint=did_you_mean(name, POLICIES))
        self.show(f"{self.setting.name}: {POLICIES[name].title}")
        found = self.outcome(name, self.setting.even())
        for _ in range(MOVES if POLICIES[name].moves else 0):
            tried = [self.outcome(name, partition) for partition in self.neighbours(found)]
            better = min(tried, key=lambda outcome: (outcome.seconds, outcome.excess), default=found)
            if (better.seconds, better.excess) >= (found.seconds * (1 - 1e-9), found.excess):
                break
            found = better
        return found

    def neighbours(self, outcome: Outcome) -> list[tuple[int, ...]]:
        """One layer moved from the device that works longest, or is fullest, to each other device."""
        setting, partition = self.setting, outcome.partition
        load = [0.0] * setting.stages
        for chunk, device in enumerate(setting.place):
            if outcome.fits:
                cost = outcome.costs[chunk]
                load[device] += cost.forward + cost.backward + cost.weights
            else:
                load[device] += partition[chunk]
        slowest = max(range(setting.stages), key=load.__getitem__)
        chunks = [[c for c, d in enumerate(setting.place) if d == device] for device in range(setting.stages)]
        giver = max(chunks[slowest], key=partition.__getitem__)
        found = []
        for device in range(setting.stages):
            taker = min(chunks[device], key=partition.__getitem__)
            if device != slowest and partition[giver] > 1:
                moved = list(partition)
                moved[giver], moved[taker] = moved[giver] - 1, moved[taker] + 1
                found.append(tuple(moved))
        return found

    def outcome(self, name: str, partition: tuple[int, ...]) -> Outcome:
        """The first attempt of a policy that fits, else the one that is least over."""
        policy, over = POLICIES[name], []
        for number, attempt in enumerate(policy.attempts(max(partition), self.planner)):
            found = self.attempted(name, policy, (name, number), attempt, partition)
            if found.fits:
                return found
            over.append(found)
        return min(over, key=lambda each: (each.timeline is None, each.excess))

    def attempted(self, name: str, policy: Policy, key: tuple, attempt: Attempt, partition: tuple[int, ...]) -> Outcome:
        """One attempt on every stage, with smaller budgets where what runs early or waits does not fit."""
        setting = self.setting
        budgets, plan = [setting.memory] * setting.stages, self.plan(self.bare(partition))
        for _ in range(ROUNDS):
            found = self.once(name, policy, key, attempt, partition, plan, budgets)
            if found.timeline is None or found.fits or not policy.budgeted:
                return found
            plan = found.timeline.plan
            over = [max(0, found.peak(device) - setting.memory) for device in range(setting.stages)]
            budgets = [budget - more * 5 // 4 for budget, more in zip(budgets, over, strict=True)]
        return self.once(name, policy, key, attempt, partition, plan, budgets)

    def once(
        self, name: str, policy: Policy, key: tuple, attempt: Attempt, partition: tuple[int, ...], plan: Plan,
        budgets: Sequence[int],
    ) -> Outcome:  # fmt: skip
        """One attempt with so many micro-batches in flight as in `plan`, and these budgets."""
        setting = self.setting
        static = tuple(setting.static(partition, device) for device in range(setting.stages))
        limits = [setting.memory - each for each in static]
        points = POINTS if policy.fill or policy.host else 0
        try:
            costs = self.stages(key, attempt, partition, plan, static, budgets, points)
        except UserError as fault:
            return Outcome(name, partition, static=static, refused=str(fault))
        timeline = simulate(self.plan(costs), costs, transfer=setting.transfer, limits=limits, fill=policy.fill,
                            host=policy.host)  # fmt: skip
        over = max(timeline.peak(device) - limits[device] for device in range(setting.stages))
        return Outcome(name, partition, timeline, costs, static, over)

    def stages(
        self, key: tuple, attempt: Attempt, partition: Sequence[int], plan: Plan, static: Sequence[int],
        budgets: Sequence[int], points: int,
    ) -> tuple[StageCost, ...]:  # fmt: skip
        """What each chunk costs by an attempt."""
        found = []
        for chunk, layers in enumerate(partition):
            device = self.setting.place[chunk]
            part, flying = self.setting.part(chunk, layers), plan.in_flight(device)
            known = (*key, part, flying, static[device], budgets[device], points)
            if known not in self.costs:
                graph = self.graph(part, static[device], flying)
                schedule = self.schedule(known, attempt, graph, budgets[device])
                self.costs[known] = stage_cost(graph, schedule, split=self.setting.split, points=points)
            found.append(self.costs[known])
        return tuple(found)

    def schedule(self, known: tuple, attempt: Attempt, graph: Graph, budget: int) -> Schedule:
        """What an attempt gives, and gave before: a refusal too."""
        if known not in self.schedules:
            try:
                self.schedules[known] = attempt(graph, budget)
            except UserError as fault:
                self.schedules[known] = fault
        found = self.schedules[known]
        if isinstance(found, UserError):
            raise found
        return found

    def graph(self, part: Part, static: int = 0, in_flight: int = 1) -> Graph:
        setting = self.setting
        return stage_graph(setting.model, setting.execution, setting.rates, part, static=static, in_flight=in_flight)

    def bare(self, partition: Sequence[int]) -> tuple[StageCost, ...]:
        """What each chunk costs where nothing is recomputed."""
        return tuple(self.bare_part(self.setting.part(chunk, layers)) for chunk, layers in enumerate(partition))

    def bare_part(self, part: Part) -> StageCost:
        if ("bare", part) not in self.costs:
            graph = self.graph(part)
            self.costs["bare", part] = stage_cost(graph, keep_all(graph), split=self.setting.split, points=0)
        return self.costs["bare", part]

    def plan(self, costs: Sequence[StageCost]) -> Plan:
        """The order of tasks."""
        setting = self.setting
        if setting.schedule in FIXED:
            return FIXED[setting.schedule](setting.stages, setting.micro_batches)
        if setting.schedule == "interleaved":
            return interleaved(setting.stages, setting.micro_batches, setting.chunks)
        durations = Durations(
            [cost.forward for cost in costs], [cost.backward for cost in costs], [cost.weights for cost in costs],
            setting.transfer,
        )  # fmt: skip
        return ZERO_BUBBLE[setting.schedule](setting.stages, setting.micro_batches, durations)

    def bound(self) -> float:
        """No partition is faster in this order of tasks, even if nothing had to be recomputed.

        Where devices have several chunks, work that is shared evenly and no stalls.
        """
        setting = self.setting
        if setting.chunks > 1:
            total = sum(cost.forward + cost.backward + cost.weights for cost in self.bare(setting.even()))
            return setting.micro_batches * total / setting.stages
        best = {0: 0.0}
        for stage in range(setting.stages):
            left = setting.stages - stage - 1
            following: dict[int, float] = {}
            for before, worst in best.items():
                most = setting.model.layers - before - left
                for layers in range(1, most + 1) if left else (most,):
                    reach = max(worst, self.at_least(stage, before, layers))
                    following[before + layers] = min(following.get(before + layers, float("inf")), reach)
            best = following
        return best[setting.model.layers]

    def at_least(self, stage: int, before: int, layers: int) -> float:
        """Seconds of a step because of one stage, the longest of three chains that hold for this order of tasks.

        Its work, with what runs before its first task and after its last; the way of the first micro-batch to its
        backward pass there, and what that stage has left then; the same up to its last forward pass, and the way of the
        last micro-batch from there. Of a split backward pass: its work, and what runs before.
        """
        setting, batches = self.setting, self.setting.micro_batches
        own, whole = self.cost_of(setting.part(stage, layers)), self.cost_of(Part(setting.model.layers, True, True))
        first = self.cost_of(Part(before, first=True)) if stage else None
        travel = stage * setting.transfer
        if setting.split:
            ahead_of_it = first.forward + travel if first else 0.0
            return ahead_of_it + batches * (own.forward + own.backward + own.weights)
        ramp = whole.forward + whole.backward + 2 * (setting.stages - 1) * setting.transfer
        around = first.forward + first.backward + 2 * travel if first else 0.0
        after = ramp - around - own.forward - own.backward
        ahead = batches if setting.schedule == "gpipe" else min(batches, setting.stages - stage)
        return max(
            around + batches * (own.forward + own.backward),
            ramp + (batches - 1) * own.backward + (batches - ahead) * own.forward,
            ramp + (batches - ahead) * (own.forward + own.backward) + after if batches > ahead else 0.0,
        )

    def cost_of(self, part: Part) -> StageCost:
        """What a part costs where nothing is recomputed: each layer as much as any other."""
        one, two = (self.bare_part(replace(part, layers=n)) for n in (1, 2))
        more = part.layers - 1
        early = replace(one.early[0], backward=one.backward + more * (two.backward - one.backward))
        return replace(
            one,
            forward=one.forward + more * (two.forward - one.forward),
            weights=one.weights + more * (two.weights - one.weights),
            early=(early,),
        )
