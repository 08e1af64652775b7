"""What each core does in each step, counted from one recorded raster under any mapping.

    events heard [neurons, steps]   summed over the neurons of each core          ->  events [steps, cores]
    spikes [steps, neurons]         x  reach [neurons, (core, shortest delay)]     ->  packets in [steps, cores]
                                    x  reach [neurons, edge]                       ->  packets sent [steps, edges]

Spikes do not depend on the mapping, so thousands of mappings are counted from one recording, which keeps what no
mapping changes. A spike sends one packet to each core that its neuron reaches, where delays are kept with the
synapses: it is paid for in the step of the shortest. What stays on its core costs the receiver the same and no packet
out. Spikes that would arrive after the last step are sent, and never received.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ..spiking.arrays import NO_CORE
from .machine import Costs
from .mapping import Mapping
from .recording import Reach, Recording


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
    steps, cores, raster = recording.raster.steps, mapping.cores, recording.raster
    reach = recording.reach(mapping.core, cores)
    sent = departures(recording, reach, mapping)
    packets_out = np.zeros((steps, cores), np.int64)
    starts = np.searchsorted(mapping.edges.source, np.arange(cores))
    sends = np.flatnonzero(np.bincount(mapping.edges.source, minlength=cores))
    if len(sends):
        packets_out[:, sends] = np.add.reduceat(sent, starts[sends], axis=1)
    where = mapping.core[raster.neuron]
    placed = where != NO_CORE
    cell = raster.step[placed].astype(np.int64) * cores + where[placed]
    active = np.bincount(cell, minlength=steps * cores).reshape(steps, cores)
    kept = ~recording.inputs & (mapping.core != NO_CORE)
    fired = np.bincount(raster.neuron, minlength=recording.synapses.neurons)
    outside = mapping.core[reach.neuron] == NO_CORE
    injected = int(fired[reach.neuron[outside]].sum())
    updates = np.bincount(mapping.core[kept], minlength=cores)
    events, packets_in = events_of(recording, mapping), arrivals(recording, reach, cores)
    return Traffic(updates, active, events, packets_in, packets_out, sent, injected)


def events_of(recording: Recording, mapping: Mapping) -> np.ndarray:
    """Synaptic events of each core in each step, [steps, cores]."""
    neurons = np.flatnonzero(mapping.core != NO_CORE)
    ones = np.ones(len(neurons), recording.heard.dtype)
    shape = (mapping.cores, recording.synapses.neurons)
    table = sparse.coo_array((ones, (mapping.core[neurons], neurons)), shape=shape).tocsr()
    return np.ascontiguousarray((table @ recording.heard).T)


def arrivals(recording: Recording, reach: Reach, cores: int) -> np.ndarray:
    """Packets that arrive, [steps, cores]."""
    steps, delays = recording.raster.steps, int(reach.delay.max(initial=0)) + 1
    table = rows(recording, reach.neuron, reach.delay.astype(np.int64) * cores + reach.core, delays * cores)
    emitted = product(recording, table).reshape(steps, delays, cores)
    arrived = np.zeros((steps, cores), np.int64)
    for delay in range(min(delays, steps)):
        arrived[delay:] += emitted[: steps - delay, delay]
    return arrived


def departures(recording: Recording, reach: Reach, mapping: Mapping) -> np.ndarray:
    """Packets sent along each edge, [steps, edges]."""
    edges, cores = mapping.edges, mapping.cores
    own = mapping.core[reach.neuron]
    far = np.flatnonzero((own != NO_CORE) & (own != reach.core))
    number = np.zeros(cores * cores, np.int32)
    number[edges.source.astype(np.int64) * cores + edges.target] = np.arange(len(edges))
    edge = number[own[far].astype(np.int64) * cores + reach.core[far]]
    return product(recording, rows(recording, reach.neuron[far], edge, len(edges)))


def rows(recording: Recording, neuron: np.ndarray, column: np.ndarray, width: int) -> sparse.csr_array:
    """A sparse matrix of [neurons, width] with a one at each entry; entries come sorted by neuron."""
    offsets = np.searchsorted(neuron, np.arange(recording.synapses.neurons + 1))
    ones = np.ones(len(column), np.int32)
    return sparse.csr_array((ones, column, offsets), shape=(recording.synapses.neurons, width))


def product(recording: Recording, table: sparse.csr_array) -> np.ndarray:
    """The rows of a table summed over the spikes of each step: [steps, width]."""
    summed = recording.spikes @ table
    assert isinstance(summed, sparse.csr_array)
    return summed.toarray()
