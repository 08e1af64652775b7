"""Seconds that no training step over a pipeline is under, however layers are cut and recomputation is scheduled.

| bound    | of steps                                                                               | holds for      |
|----------|----------------------------------------------------------------------------------------|----------------|
| `free`   | in which nothing is recomputed, as if no memory were missing                           | all orders     |
| `within` | that fit into memory: each stage recomputes the same for all micro-batches, one by one | gpipe and 1f1b |

A step takes as long as the dearest of its stages makes it, and a stage hangs on its layers and on how many stand before
it. So the best partition is found by dynamic programming over stages. What must be recomputed within memory, and fits
into no window, is that of `passes/solvers/recompute_bound.py`: stalls do not hide it from the stage that works longest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from math import inf

from ..passes.solvers.recompute_bound import relaxed_bound
from ..passes.solvers.recompute_floor import floor
from ..passes.solvers.recompute_units import units_of
from ..passes.solvers.recompute_when import Times
from ..passes.solvers.transformer_graph import Part
from ..runtime.timeline.orders import FIXED
from .timeline_setting import Setting
from .timeline_stages import Stages

Cost = Callable[[int, int, int], float]
"""(stage, layers before it, its layers) -> seconds of a step because of it."""
Cheapest = dict[tuple[int, int], tuple[float, tuple[int, ...]]]
"""(stage, layers before it) -> seconds because of the dearest of it and those that follow, as cheaply as layers can be
cut, and so cut."""


@dataclass
class Bounds:
    """Of one setting."""

    stages: Stages
    known: dict[tuple[int, int], float] = field(default_factory=dict)

    @property
    def setting(self) -> Setting:
        return self.stages.setting

    @property
    def free(self) -> float:
        """No partition is faster in this order of tasks, even if nothing had to be recomputed."""
        return self.ideal[0]

    @cached_property
    def ideal(self) -> tuple[float, tuple[int, ...]]:
        """That bound, and the partition whose own bound it is.

        Where devices have several chunks: work that is shared evenly, without stalls.
        """
        setting, even = self.setting, self.setting.even()
        if setting.chunks > 1:
            total = sum(cost.forward + cost.backward + cost.weights for cost in self.stages.bare(even))
            return setting.micro_batches * total / setting.stages, even
        return self.plain[0, 0]

    @cached_property
    def plain(self) -> Cheapest:
        """Where nothing is recomputed."""
        return self.cheapest(self.at_least)

    def within(self, most: float) -> float:
        """No step that fits into memory is faster. Looks no further than `most`, what a step is known to take."""
        if self.setting.schedule not in FIXED:
            return min(most, self.free)

        def cost(stage: int, before: int, layers: int) -> float:
            rest, _ = self.plain[stage + 1, before + layers]
            if max(rest, self.at_least(stage, before, layers)) >= most:
                return inf
            return self.at_least(stage, before, layers, self.exposed(stage, layers))

        return max(self.free, min(most, self.cheapest(cost)[0, 0][0]))

    def cheapest(self, cost: Cost) -> Cheapest:
        """Of all that may follow from the first stage on, at finite cost."""
        end = self.setting.stages, self.setting.model.layers
        found: Cheapest = {end: (0.0, ())}

        def fill(stage: int, before: int) -> tuple[float, tuple[int, ...]]:
            if (stage, before) not in found:
                best: tuple[float, tuple[int, ...]] = (inf, ())
                for layers in self.sizes(stage, before):
                    if (own := cost(stage, before, layers)) < inf:
                        rest, others = fill(stage + 1, before + layers)
                        best = min(best, (max(own, rest), (layers, *others)))
                found[stage, before] = best
            return found[stage, before]

        fill(0, 0)
        return found

    def sizes(self, stage: int, before: int) -> Sequence[int]:
        """The numbers of layers that a stage may have after so many: one at least is left for each that follows."""
        left = self.setting.stages - stage - 1
        most = self.setting.model.layers - before - left
        return range(1, most + 1) if left else (most,)

    def exposed(self, stage: int, layers: int) -> float:
        """Seconds that a stage recomputes at least for each micro-batch, beyond all windows, to fit into memory."""
        if (stage, layers) not in self.known:
            setting, part = self.setting, self.setting.part(stage, layers)
            flying = FIXED[setting.schedule](setting.stages, setting.micro_batches).in_flight(stage)
            graph = self.stages.graph(part, setting.static_part(part), flying)
            fits = floor(graph)[0] <= setting.memory
            self.known[stage, layers] = relaxed_bound(Times(units_of(graph)), setting.memory) if fits else inf
        return self.known[stage, layers]

    def at_least(self, stage: int, before: int, layers: int, exposed: float = 0.0) -> float:
        """Seconds of a step because of one stage, the longest of three chains that hold for this order of tasks.

        Its work, with what runs before its first task and after its last; the way of the first micro-batch to its
        backward pass there, and what that stage has left then; the same up to its last forward pass, and the way of the
        last micro-batch from there. Of a split backward pass: its work, and what runs before. The work of each
        micro-batch is `exposed` seconds more; those of the first may be in the stall before its backward pass.
        """
        setting, batches, cost = self.setting, self.setting.micro_batches, self.stages.cost_of
        own, whole = cost(setting.part(stage, layers)), cost(Part(setting.model.layers, True, True))
        first = cost(Part(before, first=True)) if stage else None
        travel = stage * setting.transfer
        if setting.split:
            ahead_of_it = first.forward + travel if first else 0.0
            return ahead_of_it + batches * (own.forward + own.backward + own.weights)
        ramp = whole.forward + whole.backward + 2 * (setting.stages - 1) * setting.transfer
        around = first.forward + first.backward + 2 * travel if first else 0.0
        after = ramp - around - own.forward - own.backward
        ahead = batches if setting.schedule == "gpipe" else min(batches, setting.stages - stage)
        return max(
            around + batches * (own.forward + own.backward + exposed),
            ramp + (batches - 1) * (own.backward + exposed) + (batches - ahead) * own.forward,
            ramp + (batches - ahead) * (own.forward + own.backward + exposed) - exposed + after
            if batches > ahead
            else 0.0,
        )

    def of(self, partition: Sequence[int]) -> float:
        """Seconds that no step of a partition is under; 0 where that is not known."""
        if self.setting.chunks > 1:
            return 0.0
        before = accumulate(partition, initial=0)
        return max(self.at_least(stage, *each) for stage, each in enumerate(zip(before, partition, strict=False)))
