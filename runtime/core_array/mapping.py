"""A mapping: which neuron is on which core, where each core sits, and what cores wait for.

neuron 0 1 2 3        core 0: neurons 0, 1          edge 0 -> 1, delays 1 to 4, K = 6 slots, 2 axons
core   0 0 1 -1       core 1: neuron 2, hears 0, 1   (neuron 3 is an input: the host injects its spikes)
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...dialects.diagnostics import UserError
from ..spiking.arrays import NO_CORE, Synapses
from .axons import axons_of
from .machine import Machine

NO_GROUP = -1
"""The group of an edge whose two cores tell each other."""


@dataclass(frozen=True)
class Edges:
    """Which core hears which other one, sorted by (source, target): int32 [edges] each.

    `dmin` and `dmax` bound the delays of the edge in steps; the target keeps `slots` steps of arriving spikes;
    `axons` are the distinct neurons whose spikes go over the edge.
    """

    source: np.ndarray
    target: np.ndarray
    dmin: np.ndarray
    dmax: np.ndarray
    slots: np.ndarray
    axons: np.ndarray

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class Mapping:
    """`core` int32 [neurons], NO_CORE for inputs that the host injects; `place` int32 [cores], the core of the machine
    that each one is; `group` int32 [edges], the collector that speaks for an edge, or NO_GROUP; `barrier` bool [cores],
    cores that run in lockstep.
    """

    core: np.ndarray
    place: np.ndarray
    edges: Edges
    group: np.ndarray
    barrier: np.ndarray

    @property
    def cores(self) -> int:
        return len(self.place)

    @cached_property
    def neurons(self) -> np.ndarray:
        """Neurons on each core, int64 [cores]."""
        return np.bincount(self.core[self.core != NO_CORE], minlength=self.cores)

    @staticmethod
    def edges_of(synapses: Synapses, core: np.ndarray, cores: int | None = None, slack: int = 2) -> Edges:
        """The edges between cores, each with `slack` slots over its longest delay."""
        cores = int(core.max(initial=NO_CORE)) + 1 if cores is None else cores
        axons = axons_of(synapses, core, cores)
        own = core.astype(np.int64)[axons.neuron]
        within = own == axons.core
        if (axons.delay[within] == 0).any():
            where = int(axons.core[within][axons.delay[within] == 0][0])
            raise UserError(
                f"core {where} holds a synapse of no delay within itself", hint="split its neurons by level"
            )
        far = (own != NO_CORE) & ~within
        pair, edge = np.unique(own[far] * cores + axons.core[far], return_inverse=True)
        count = np.bincount(edge[axons.lead[far]], minlength=len(pair))
        dmin, dmax = np.full(len(pair), 2**30, np.int32), np.zeros(len(pair), np.int32)
        np.minimum.at(dmin, edge, axons.delay[far].astype(np.int32))
        np.maximum.at(dmax, edge, axons.delay[far].astype(np.int32))
        ends = (pair // max(cores, 1)).astype(np.int32), (pair % max(cores, 1)).astype(np.int32)
        return Edges(*ends, dmin, dmax, (dmax + slack).astype(np.int32), count.astype(np.int32))

    @classmethod
    def of(cls, synapses: Synapses, core: np.ndarray, place: np.ndarray | None = None, slack: int = 2) -> "Mapping":
        """Every core on the machine's core of its number, or on `place`, and speaking for itself."""
        core = np.asarray(core, np.int32)
        cores = int(core.max(initial=NO_CORE)) + 1 if place is None else len(place)
        edges = cls.edges_of(synapses, core, cores, slack)
        where = np.arange(cores, dtype=np.int32) if place is None else np.asarray(place, np.int32)
        return cls(core, where, edges, np.full(len(edges), NO_GROUP, np.int32), np.zeros(cores, bool))

    def with_slots(self, slots: np.ndarray | int) -> "Mapping":
        """With other slots on each edge."""
        given = np.broadcast_to(np.asarray(slots, np.int32), len(self.edges))
        return replace(self, edges=replace(self.edges, slots=given))

    def check(self, machine: Machine) -> None:
        """Refuse what cannot be: cores outside the machine, two on one place, neurons on cores that are not there."""
        if len(self.core) and (self.core.min() < NO_CORE or self.core.max() >= self.cores):
            raise UserError(f"the mapping has {self.cores} cores, but a neuron on core {self.core.max()}")
        if self.cores > machine.cores:
            raise UserError(f"the mapping takes {self.cores} cores, {machine.name} has {machine.cores}")
        if self.cores and (self.place.min() < 0 or self.place.max() >= machine.cores):
            raise UserError(f"place {self.place.max()} is outside the {machine.cores} cores of {machine.name}")
        if len(np.unique(self.place)) != self.cores:
            raise UserError("two cores of the mapping share one place")
        if len(self.edges) and (self.edges.slots < 1).any():
            edge = int(np.argmin(self.edges.slots))
            ends = f"{self.edges.source[edge]} -> {self.edges.target[edge]}"
            raise UserError(f"edge {ends} has {self.edges.slots[edge]} slots: every edge needs at least one")

    def tiles(self, machine: Machine) -> int:
        """Tiles with a core in use."""
        return len(np.unique(self.place // machine.cores_per_tile))


def hops(machine: Machine, source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Links along x and along y from places to places, by XY routing."""
    (x, y), (other_x, other_y) = machine.position(source), machine.position(target)
    return np.abs(x - other_x), np.abs(y - other_y)


def latency(machine: Machine, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Nanoseconds of a packet from places to places, without contention."""
    x, y = hops(machine, source, target)
    return machine.time.tile + x * machine.time.hop_x + y * machine.time.hop_y
