"""A network run by its kernels: bit by bit what `reference.run` gives.

    engine = Engine.build(network_op, network)        None where a population has no kernel, or a weight is no number
    engine.run(inputs, ["out", "hidden.v"])           as `reference.run`

Populations that do not depend on one another's earlier steps run through all steps at once, one after the other, each
with its spikes as lists. Those on a cycle take turns, step by step. Samples are shared out among threads; where there
are fewer, the columns of each population are.

Spikes are lists. Where many sources of a dense projection fire in a few steps, their sums are those of all sources for
these steps at once, in the same order (`passes/kernels/spike_tiles.py`): 1.8 to 3.3 times as fast when all fire. Each
layer, sample and tile of steps is counted and decided anew, so results do not depend on it. Projections of a population
to itself, sparse ones and convolutions are lists at every rate.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ...dialects.snn import NetworkOp
from .lists import Lists, Tiles
from .native import Kernel, kernels_of
from .network import Network, Population, Projection
from .packing import Buffers, Target, finite, packed
from .passage import Passage
from .reference import common_length

STEPWISE = 1 << 22
"""Synapses of a population with itself whose one step is worth a team of threads."""


Spare = tuple[list[Lists], dict[tuple[int, int], Tiles]]
"""Lists of populations, and tiles of projections."""


@dataclass(frozen=True)
class Group:
    """Populations in the order of a step; `stepwise` if they need each other's earlier steps."""

    populations: tuple[int, ...]
    stepwise: bool


def groups(network: Network) -> list[Group]:
    """Populations that depend on each other, and those groups in the order of their dependence."""
    count = len(network.populations)
    reaches = np.eye(count, dtype=bool)
    for projection in network.projections:
        reaches[projection.source, projection.target] = True
    for middle in range(count):
        reaches |= np.outer(reaches[:, middle], reaches[middle])
    found: dict[tuple[int, ...], int] = {}
    for i in network.order:
        together = tuple(j for j in network.order if reaches[i, j] and reaches[j, i])
        found[together] = int(reaches[:, i].sum())
    return [Group(group, len(group) > 1) for group in sorted(found, key=found.__getitem__)]


def synapses(projection: Projection) -> int:
    """The synapses of a projection; of several maps, all of them."""
    return sum(len(stage.product.data) for stage in projection.stages if stage.product is not None)


@dataclass
class Engine:
    """A network, its kernels by population, and its weights as they read them, by number of splits."""

    network: Network
    kernels: Mapping[str, Kernel]
    tables: dict[int, list[Buffers]] = field(default_factory=dict)
    spare: dict[tuple[int, ...], Spare] = field(default_factory=dict)

    @classmethod
    def build(cls, op: NetworkOp, network: Network) -> "Engine | None":
        """The engine of a network; None where it has to be run step by step."""
        kernels = kernels_of(op)
        return cls(network, kernels) if kernels and finite(network) else None

    def run(self, inputs: Sequence[np.ndarray], records: Sequence[str]) -> list[np.ndarray]:
        """What is recorded over the steps of `inputs`, as `reference.run` has it."""
        steps, batch = common_length(self.network, inputs)
        passage = Passage.start(self, steps, batch)
        passage.give(inputs)
        passage.go(0, steps)
        passage.close()
        return [passage.record(name) for name in records]

    def borrow(self, key: tuple[int, ...]) -> Spare | None:
        """Lists and tiles that an earlier run of as many steps left; those of other runs are given up."""
        found = self.spare.pop(key, None)
        self.spare.clear()
        return found

    @cached_property
    def groups(self) -> list[Group]:
        """Groups of the network.

        A population goes step by step where what it brings to itself is not computed by its kernel, and, by all
        threads, where it has many synapses to itself.
        """

        def stepwise(i: int) -> bool:
            own = [(number, j) for number, j, p in self.feeds(i) if p.source == i]
            forms = self.kernels[self.network.populations[i].name]
            return any(forms.form(number) == "given" for number, _ in own) or (
                sum(self.synapses[j] for _, j in own) > STEPWISE
            )

        return [Group(g.populations, g.stepwise or stepwise(g.populations[0])) for g in groups(self.network)]

    @cached_property
    def synapses(self) -> tuple[int, ...]:
        """How many synapses each projection has."""
        return tuple(map(synapses, self.network.projections))

    @cached_property
    def arriving(self) -> tuple[int, ...]:
        """How many synapses each population has."""
        numbers = range(len(self.network.populations))
        return tuple(sum(self.synapses[j] for _, j, _ in self.feeds(i)) for i in numbers)

    def starts(self, population: Population, splits: int) -> np.ndarray:
        """Where the columns of a population are cut."""
        kernel = self.kernels[population.name]
        if population.step is None:
            return np.asarray([0, population.size])
        units = kernel.width // kernel.unit
        return np.arange(splits + 1) * units // splits * kernel.unit

    def stride(self, population: Population) -> int:
        """The length of a list."""
        return self.kernels[population.name].width or population.size

    def feeds(self, target: int) -> Iterator[tuple[int, int, Projection]]:
        """Projections to a population: their number there, that in the network, and what they are."""
        found = [(j, p) for j, p in enumerate(self.network.projections) if p.target == target]
        return ((number, j, p) for number, (j, p) in enumerate(found))

    def table(self, splits: int) -> list[Buffers]:
        """Weights of all projections."""
        if splits not in self.tables:
            made: list[Buffers] = [{} for _ in self.network.projections]
            for i, population in enumerate(self.network.populations):
                kernel = self.kernels[population.name]
                for number, j, projection in self.feeds(i):
                    stride = self.stride(self.network.populations[projection.source])
                    target = Target(population, kernel.width, self.starts(population, splits), stride)
                    made[j] = packed(projection, kernel.form(number), target)
            self.tables[splits] = made
        return self.tables[splits]
