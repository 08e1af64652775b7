"""Which synapses are behind each (neuron, core, delay), and what the host plays to each core in each step."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...dialects.diagnostics import UserError
from ..spiking.arrays import NO_CORE, Raster, Synapses
from .inbox import Slots
from .mapping import Mapping

Update = Callable[[int, int, np.ndarray], np.ndarray]
"""(core, step, current of each of its neurons, ascending) -> which of them fire. It holds the state of neurons."""


@dataclass(frozen=True)
class Wiring:
    """A network on cores: `behind` each axon its synapses, ascending; `reach` the delays of a neuron to each core."""

    synapses: Synapses
    inputs: Raster
    mapping: Mapping
    behind: dict[tuple[int, int, int], np.ndarray]
    reach: dict[int, dict[int, list[int]]]

    @property
    def steps(self) -> int:
        return self.inputs.steps

    def axons(self, neuron: int) -> list[tuple[int, int]]:
        """The (core, delay) pairs of a neuron."""
        return [(core, delay) for core, delays in self.reach.get(neuron, {}).items() for delay in delays]

    @cached_property
    def place(self) -> np.ndarray:
        """The number of each neuron on its core."""
        order = np.argsort(self.mapping.core, kind="stable")
        held = self.mapping.core[order]
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order)) - np.searchsorted(held, held)
        return place

    def slots(self, core: int) -> Slots:
        """Empty slots, as many as the widest edge into a core and its own delays need."""
        edges, own = self.mapping.edges, self.mapping.core[self.synapses.source] == core
        within = own & (self.mapping.core[self.synapses.target] == core)
        longest = int(self.synapses.delay[within].max(initial=0))
        count = max(1, longest + 1, int(edges.slots[edges.target == core].max(initial=0)))
        neurons = np.flatnonzero(self.mapping.core == core)
        return Slots(neurons, self.place, self.synapses.target, self.synapses.weight, count)

    def limits(self, core: int) -> dict[int, int]:
        """The slots that each source may fill."""
        edges = self.mapping.edges
        into = edges.target == core
        return dict(zip(edges.source[into].tolist(), edges.slots[into].tolist(), strict=True))

    def played(self) -> list[np.ndarray]:
        """What the host plays in each step."""
        spikes = [self.inputs.at(step) for step in range(self.steps)]
        return [neurons[self.mapping.core[neurons] == NO_CORE] for neurons in spikes]

    @cached_property
    def injections(self) -> dict[tuple[int, int], list[np.ndarray]]:
        found: dict[tuple[int, int], list[np.ndarray]] = {}
        for step, neurons in enumerate(self.played()):
            for neuron in neurons.tolist():
                for core, delay in self.axons(neuron):
                    found.setdefault((core, step + delay), []).append(self.behind[neuron, core, delay])
        return found

    def injected(self, core: int, step: int) -> list[np.ndarray]:
        """The synapses through which the host reaches a core in a step."""
        return self.injections.get((core, step), [])


def wiring_of(synapses: Synapses, inputs: Raster, mapping: Mapping) -> Wiring:
    """Sort the synapses by neuron, core and delay."""
    if len(mapping.core) != synapses.neurons:
        raise UserError(f"the mapping places {len(mapping.core)} neurons, the network has {synapses.neurons}")
    core = mapping.core[synapses.target]
    order = np.lexsort((synapses.delay, core, synapses.source))
    order = order[core[order] != NO_CORE]
    keys = np.stack([synapses.source[order], core[order], synapses.delay[order].astype(np.int32)], axis=1)
    cuts = np.flatnonzero((np.diff(keys, axis=0) != 0).any(axis=1)) + 1
    behind: dict[tuple[int, int, int], np.ndarray] = {}
    reach: dict[int, dict[int, list[int]]] = {}
    for start, group in zip([0, *cuts.tolist()], np.split(order, cuts), strict=True):
        if len(group):
            neuron, target, delay = keys[start].tolist()
            behind[neuron, target, delay] = group
            reach.setdefault(neuron, {}).setdefault(target, []).append(delay)
    return Wiring(synapses, inputs, mapping, behind, reach)
