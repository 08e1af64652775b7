"""What each core does in each step, counted from one recorded raster under any mapping.

    spikes [steps, neurons]  x  axons [neurons, (core, delay)]  ->  events and packets in [steps, cores]
                             x  axons [neurons, edge]           ->  packets sent [steps, edges]

Spikes do not depend on the mapping, so thousands of mappings are counted from one recording. A spike sends one packet
to each core that its neuron reaches, where delays are kept with the synapses: it is paid for in the step of the
shortest. What stays on its core costs the receiver the same and no packet out.
Spikes that would arrive after the last step are sent, and never received.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from ..spiking.arrays import NO_CORE, Raster, Synapses
from .axons import Axons, axons_of
from .machine import Costs
from .mapping import Mapping

HIGH = 32
"""Packets are counted in the upper half of a word whose lower half counts synaptic events: one product for both."""


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
        ones = np.ones(len(self.raster.neuron), np.int64)
        shape = (self.raster.steps, self.synapses.neurons)
        return sparse.csr_array((ones, self.raster.neuron, self.raster.offsets), shape=shape)


@dataclass(frozen=True)
class Traffic:
    """Counts of a run: `updates` [cores] a step; `active` (spikes), `events` (synaptic), `packets_in`, `packets_out`
    [steps, cores]; `sent` packets [steps, edges]. `injected` are packets that the host sends.
    """

    updates: np.ndarray
    active: np.ndarray
    events: np.ndarray
    packets_in: np.ndarray
    packets_out: np.ndarray
    sent: np.ndarray
    injected: int

    def work(self, costs: Costs) -> np.ndarray:
        """What each core pays in each step, [steps, cores], but for control messages."""
        total = self.active * (costs.spike + costs.update_active)
        total += self.events * costs.synapse
        total += self.packets_in * costs.packet_in
        total += self.packets_out * costs.packet_out
        total += costs.step + self.updates * costs.update
        return total


def count(recording: Recording, mapping: Mapping) -> Traffic:
    """The traffic of a recording under a mapping."""
    axons = axons_of(recording.synapses, mapping.core, mapping.cores)
    steps, cores = recording.raster.steps, mapping.cores
    events, packets_in = arrivals(recording, axons, cores)
    sent = departures(recording, axons, mapping)
    packets_out = np.zeros((steps, cores), np.int64)
    starts = np.searchsorted(mapping.edges.source, np.arange(cores))
    sends = np.flatnonzero(np.bincount(mapping.edges.source, minlength=cores))
    if len(sends):
        packets_out[:, sends] = np.add.reduceat(sent, starts[sends], axis=1)
    where = mapping.core[recording.raster.neuron]
    placed = where != NO_CORE
    cell = recording.raster.step[placed].astype(np.int64) * cores + where[placed]
    active = np.bincount(cell, minlength=steps * cores).reshape(steps, cores)
    kept = ~recording.inputs & (mapping.core != NO_CORE)
    fired = np.bincount(recording.raster.neuron, minlength=recording.synapses.neurons)
    outside = (mapping.core[axons.neuron] == NO_CORE) & axons.lead
    injected = int(fired[axons.neuron[outside]].sum())
    updates = np.bincount(mapping.core[kept], minlength=cores)
    return Traffic(updates, active, events, packets_in, packets_out, sent, injected)


def arrivals(recording: Recording, axons: Axons, cores: int) -> tuple[np.ndarray, np.ndarray]:
    """Synaptic events and packets that arrive, [steps, cores] each."""
    steps, delays = recording.raster.steps, int(axons.delay.max(initial=0)) + 1
    words = axons.synapses + (axons.lead.astype(np.int64) << HIGH)
    table = rows(recording, axons.neuron, axons.delay * cores + axons.core, words, delays * cores)
    emitted = product(recording, table).reshape(steps, delays, cores)
    arrived = np.zeros((steps, cores), np.int64)
    for delay in range(min(delays, steps)):
        arrived[delay:] += emitted[: steps - delay, delay]
    return arrived & ((1 << HIGH) - 1), arrived >> HIGH


def departures(recording: Recording, axons: Axons, mapping: Mapping) -> np.ndarray:
    """Packets sent along each edge, [steps, edges]."""
    own = mapping.core.astype(np.int64)[axons.neuron]
    far = (own != NO_CORE) & (own != axons.core) & axons.lead
    neuron, target = axons.neuron[far], axons.core[far]
    key = mapping.edges.source.astype(np.int64) * mapping.cores + mapping.edges.target
    edge = np.searchsorted(key, own[far] * mapping.cores + target)
    table = rows(recording, neuron, edge, np.ones(len(edge), np.int64), len(mapping.edges))
    return product(recording, table)


def rows(
    recording: Recording, neuron: np.ndarray, column: np.ndarray, value: np.ndarray, width: int
) -> sparse.csr_array:
    """A sparse matrix of [neurons, width] whose entries come sorted by neuron."""
    offsets = np.searchsorted(neuron, np.arange(recording.synapses.neurons + 1))
    return sparse.csr_array((value, column, offsets), shape=(recording.synapses.neurons, width))


def product(recording: Recording, table: sparse.csr_array) -> np.ndarray:
    """The rows of a table summed over the spikes of each step: [steps, width]."""
    summed = recording.spikes @ table
    assert isinstance(summed, sparse.csr_array)
    return summed.toarray()
