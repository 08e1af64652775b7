"""The stages of a setting: their graphs, what they cost where nothing is recomputed, and the order of their tasks."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..passes.solvers.recompute_graph import Graph
from ..passes.solvers.recompute_memory import keep_all
from ..passes.solvers.recompute_stage import StageCost, stage_cost
from ..passes.solvers.transformer_graph import Part, stage_graph
from ..runtime.timeline.orders import FIXED, Plan, interleaved
from ..runtime.timeline.zero_bubble import Durations, zero_bubble_h1, zero_bubble_h2, zero_bubble_v
from .timeline_setting import Setting

ZERO_BUBBLE = {"zb-h1": zero_bubble_h1, "zb-h2": zero_bubble_h2, "zb-v": zero_bubble_v}


@dataclass
class Stages:
    """Of one setting. What parts cost is kept: many partitions share them."""

    setting: Setting
    plain: dict[Part, StageCost] = field(default_factory=dict)

    def graph(self, part: Part, static: int = 0, in_flight: int = 1) -> Graph:
        """The training step of a part, of which so many micro-batches are under way."""
        setting = self.setting
        return stage_graph(setting.model, setting.execution, setting.rates, part, static=static, in_flight=in_flight)

    def bare(self, partition: Sequence[int]) -> tuple[StageCost, ...]:
        """What each chunk costs where nothing is recomputed."""
        return tuple(self.bare_part(self.setting.part(chunk, layers)) for chunk, layers in enumerate(partition))

    def bare_part(self, part: Part) -> StageCost:
        """The same of one part."""
        if part not in self.plain:
            graph = self.graph(part)
            self.plain[part] = stage_cost(graph, keep_all(graph), split=self.setting.split, points=0)
        return self.plain[part]

    def cost_of(self, part: Part) -> StageCost:
        """The same where each layer costs as much as any other: soon known for all numbers of layers."""
        one, two = (self.bare_part(replace(part, layers=n)) for n in (1, 2))
        more = part.layers - 1
        early = replace(one.early[0], backward=one.backward + more * (two.backward - one.backward))
        return replace(
            one,
            forward=one.forward + more * (two.forward - one.forward),
            weights=one.weights + more * (two.weights - one.weights),
            early=(early,),
        )

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
