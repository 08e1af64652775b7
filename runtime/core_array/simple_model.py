"""Time and energy of a network under a barrier, as the `simple` timing model of SANA-FE reckons them.

A step takes as long as the slowest of two things on any core, and then the barrier:

    send(core, step)    = updates * update + spikes * (spike + update_active) + packets out * packet_out
    receive(core, step) = packets in * packet_in + synaptic events * synapse      (of packets sent in that very step)
    time(step)          = max over cores of max(send, receive) + step + barrier(tiles in use)

It knows no network: hops take energy but no time. A spike sends one packet to each core where it has a synapse, its own
core included, whatever the delays.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from ..spiking.arrays import NO_CORE, Raster, Synapses
from .barriers import sync_time
from .machine import Machine
from .mapping import hops

Matrix = Any
"""A sparse array of scipy, whose stubs know too little of what its operators give."""


@dataclass(frozen=True)
class Events:
    """What happens: `updates` a step [cores]; spikes, packets and synaptic events [steps, cores]; links gone over.

    `in_use` is how many cores have a neuron.
    """

    in_use: int
    updates: np.ndarray
    spikes: np.ndarray
    packets_out: np.ndarray
    packets_in: np.ndarray
    synaptic: np.ndarray
    hops: tuple[int, int]


@dataclass(frozen=True)
class BarrierRun:
    """Nanoseconds of each step, float64 [steps], and picojoules of the run by kind of event."""

    step_time: np.ndarray
    energy: dict[str, float]

    @property
    def time(self) -> float:
        return float(self.step_time.sum())


def barrier_simple(
    machine: Machine, synapses: Synapses, core: np.ndarray, raster: Raster, is_input: np.ndarray
) -> BarrierRun:
    """What a run costs on `machine` with neuron i on core `core[i]`; inputs are never updated.

    Inputs on no core cost what they send to the cores that hear them: the host sends for nothing.
    """
    events = count_events(machine, synapses, core, raster, is_input)
    cost = machine.time
    send = (
        events.updates * cost.update
        + events.spikes * (cost.spike + cost.update_active)
        + events.packets_out * cost.packet_out
    )
    receive = events.packets_in * cost.packet_in + events.synaptic * cost.synapse
    busiest = np.maximum(send, receive).max(axis=1, initial=0)
    return BarrierRun(busiest + cost.step + barrier_time(machine, core), energies(machine, events))


def energies(machine: Machine, events: Events) -> dict[str, float]:
    """Picojoules by kind of event, the static power apart."""
    cost, steps = machine.energy, len(events.spikes)
    return {
        "step": float(events.in_use * steps * cost.step),
        "update": float(events.updates.sum() * steps * cost.update + events.spikes.sum() * cost.update_active),
        "spike": float(events.spikes.sum() * cost.spike),
        "synapse": float(events.synaptic.sum() * cost.synapse),
        "packet_in": float(events.packets_in.sum() * (cost.packet_in + cost.tile)),
        "packet_out": float(events.packets_out.sum() * cost.packet_out),
        "hop": float(events.hops[0] * cost.hop_x + events.hops[1] * cost.hop_y),
    }


def count_events(
    machine: Machine, synapses: Synapses, core: np.ndarray, raster: Raster, is_input: np.ndarray
) -> Events:
    """Every event of a run, by step and core."""
    cores, placed = machine.cores, core != NO_CORE
    if not (placed | is_input).all() or core.max(initial=NO_CORE) >= cores or core.min(initial=0) < NO_CORE:
        raise ValueError(f"expected every neuron that is no input on one of the {cores} cores of {machine.name}")
    reach = events_per_spike(synapses, core, cores)
    packets = reach.sign()
    fires, here = spikes_by_step(raster, synapses.neurons), np.ones(synapses.neurons, np.int64)
    return Events(
        in_use=len(np.unique(core[placed])),
        updates=np.bincount(core[placed & ~is_input], minlength=cores),
        spikes=(fires @ by_core(here, core, cores)).toarray(),
        packets_out=(fires @ by_core(np.diff(packets.indptr), core, cores)).toarray(),
        packets_in=(fires @ packets).toarray(),
        synaptic=(fires @ reach).toarray(),
        hops=links(machine, core, packets, np.bincount(raster.neuron, minlength=synapses.neurons)),
    )


def events_per_spike(synapses: Synapses, core: np.ndarray, cores: int) -> Matrix:
    """How many synapses a neuron has on each core, [neurons, cores]."""
    rows, columns = synapses.source, core[synapses.target]
    if (columns == NO_CORE).any():
        raise ValueError("a synapse leads to a neuron on no core")
    counted = sparse.coo_array((np.ones(len(synapses), np.int64), (rows, columns)), shape=(synapses.neurons, cores))
    return counted.tocsr()


def spikes_by_step(raster: Raster, neurons: int) -> Matrix:
    """One where a neuron fires, [steps, neurons]."""
    ones = np.ones(len(raster.neuron), np.int64)
    return sparse.csr_array((ones, raster.neuron, raster.offsets), shape=(raster.steps, neurons))


def by_core(amount: np.ndarray, core: np.ndarray, cores: int) -> Matrix:
    """An amount of each neuron in the column of its core, [neurons, cores]."""
    rows = np.flatnonzero(core != NO_CORE)
    return sparse.csr_array((amount[rows].astype(np.int64), (rows, core[rows])), shape=(len(core), cores))


def links(machine: Machine, core: np.ndarray, packets: Matrix, spikes: np.ndarray) -> tuple[int, int]:
    """Links along x and along y that all packets go over; those of the host go over none."""
    sender, receiver = packets.nonzero()
    known = core[sender] != NO_CORE
    sender, receiver = sender[known], receiver[known]
    x, y = hops(machine, core[sender], receiver)
    return int(spikes[sender] @ x), int(spikes[sender] @ y)


def barrier_time(machine: Machine, core: np.ndarray) -> float:
    """Of as many tiles as have a neuron."""
    return sync_time(machine.barrier, len(np.unique(core[core != NO_CORE] // machine.cores_per_tile)))
