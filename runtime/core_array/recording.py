"""A network and what fired in it, with all that no mapping changes counted once.

    recording.heard              synaptic events of each neuron in each step
    recording.reach(core, ..)    under a mapping: the cores that each neuron reaches, and after how many steps first

Reach is one write for each synapse into a table of neurons and cores, longest delays first, so that the shortest stay.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from ..spiking.arrays import NO_CORE, Raster, Synapses
from .axons import axons_of

EVENTS = 1 << 22
"""Synaptic events that are looked at together."""
CELLS = 1 << 24
"""Of a table of neurons and cores at most."""
SPARSE = 16
"""A table may have so many cells for each synapse; else synapses are sorted."""


@dataclass(frozen=True)
class Reach:
    """The distinct (neuron, core it reaches), sorted, with the shortest delay: [pairs] each."""

    neuron: np.ndarray
    core: np.ndarray
    delay: np.ndarray


@dataclass(frozen=True)
class Recording:
    """A network and what fired in it, whatever the mapping. `inputs` bool [neurons] are never updated."""

    synapses: Synapses
    raster: Raster
    inputs: np.ndarray

    @classmethod
    def of(cls, synapses: Synapses, raster: Raster, inputs: np.ndarray | None = None) -> "Recording":
        return cls(synapses, raster, np.zeros(synapses.neurons, bool) if inputs is None else inputs)

    @cached_property
    def spikes(self) -> sparse.csr_array:
        """Of [steps, neurons], one where a neuron fired."""
        ones = np.ones(len(self.raster.neuron), np.int32)
        shape = (self.raster.steps, self.synapses.neurons)
        return sparse.csr_array((ones, self.raster.neuron, self.raster.offsets), shape=shape)

    @cached_property
    def heard(self) -> np.ndarray:
        """Synaptic events of each neuron in each step, int32 [neurons, steps]."""
        steps, synapses, raster = self.raster.steps, self.synapses, self.raster
        found = np.zeros(synapses.neurons * steps, np.int32)
        counts = np.diff(synapses.offsets)[raster.neuron]
        ends = np.cumsum(counts)
        first = 0
        while first < len(ends):
            done = ends[first] - counts[first]
            last = max(int(np.searchsorted(ends, done + EVENTS, "right")), first + 1)
            start = synapses.offsets[raster.neuron[first:last]] - (ends - counts)[first:last] + done
            one = np.arange(ends[last - 1] - done) + np.repeat(start, counts[first:last])
            step = np.repeat(raster.step[first:last], counts[first:last]) + synapses.delay[one]
            inside = step < steps
            np.add.at(found, synapses.target[one[inside]].astype(np.int64) * steps + step[inside], np.int32(1))
            first = last
        return found.reshape(synapses.neurons, steps)

    @cached_property
    def longest_first(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Source, target and delay of each synapse, by source, and then from the longest delay to the shortest."""
        source, target, delay = self.synapses.source, self.synapses.target, self.synapses.delay.astype(np.int32)
        longest = int(delay.max(initial=0))
        order = np.argsort(source * np.int64(longest + 1) + longest - delay, kind="stable")
        return source, target[order], delay[order]

    def reach(self, core: np.ndarray, cores: int) -> Reach:
        """Which cores each neuron reaches with neuron i on `core[i]`, and after how many steps first."""
        if self.synapses.neurons * cores > SPARSE * len(self.synapses):
            axons = axons_of(self.synapses, core, cores)
            return Reach(*(part[axons.lead] for part in (axons.neuron, axons.core, axons.delay)))
        parts = list(self.tables(core, cores))
        return Reach(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def tables(self, core: np.ndarray, cores: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The same of some neurons after the other."""
        source, target, delay = self.longest_first
        # What leads to neurons on no core goes to a column of its own.
        width, several = cores + 1, max(CELLS // (cores + 1), 1)
        onto = np.where(core == NO_CORE, cores, core).astype(np.int32)
        for first in range(0, max(self.synapses.neurons, 1), several):
            count = min(several, self.synapses.neurons - first)
            own = slice(self.synapses.offsets[first], self.synapses.offsets[first + count])
            table = np.full(count * width, -1, np.int32)
            table[(source[own] - first) * width + onto[target[own]]] = delay[own]
            cell = np.flatnonzero(table >= 0)
            neuron, to = np.divmod(cell.astype(np.int32), width)
            kept = to < cores
            yield neuron[kept] + first, to[kept], table[cell[kept]]
