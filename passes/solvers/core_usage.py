"""What a partition makes of the cores: how full each is, what goes between them, and who depends on whom.

Pure mathematics.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .marked_graph import CoreEdges
from .neuron_graph import NeuronGraph

CHUNK = 1 << 22
"""Synapses that are looked at together."""
SPARSE = 16
"""A table of what is reached may have so many entries for each synapse; else synapses are sorted."""


@dataclass(frozen=True)
class Usage:
    """What each core holds and does: [cores] each. `work` is time a step, its packets with it."""

    work: np.ndarray
    neurons: np.ndarray
    synapse_bytes: np.ndarray
    axons_in: np.ndarray
    axons_out: np.ndarray
    packets: np.ndarray
    """The part of `work` that comes of packets."""

    @property
    def balance(self) -> float:
        """The greatest work of a core over the mean: 1 at best."""
        mean = float(self.work.mean()) if len(self.work) else 0.0
        return float(self.work.max()) / mean if mean else 1.0


@dataclass(frozen=True)
class Cut:
    """`km1` counts the other cores that each neuron reaches; `multicast` weighs them by its rate: packets a step.

    `edges` are pairs of cores of which one hears the other.
    """

    km1: int
    multicast: float
    edges: int


def cut(graph: NeuronGraph, core: np.ndarray) -> Cut:
    """What goes between cores. Spikes from neurons on no core count too; they are on no edge."""
    cores = int(core.max(initial=-1)) + 1
    km1, multicast, edges = 0, 0.0, np.zeros((cores, cores), bool)
    for source, to in reached(graph, core, cores):
        away = core[source] != to
        km1 += int(away.sum())
        multicast += float(graph.rate[source[away]].sum())
        placed = away & (core[source] >= 0)
        edges[core[source[placed]], to[placed]] = True
    return Cut(km1, multicast, int(edges.sum()))


def core_edges(graph: NeuronGraph, core: np.ndarray) -> CoreEdges:
    """Which core hears which other, with the least and the greatest delay."""
    cores, longest = int(core.max(initial=-1)) + 1, int(np.max(graph.delay, initial=0)) + 1
    heard = np.zeros((cores * cores, longest), bool)
    for first, last in chunks(graph):
        synapses = slice(graph.offsets[first], graph.offsets[last])
        source, target = core[graph.sources(first, last)], core[graph.target[synapses]]
        apart = (source != target) & (source >= 0) & (target >= 0)
        heard[source[apart].astype(np.int64) * cores + target[apart], graph.delay[synapses][apart]] = True
    edge = np.flatnonzero(heard.any(1))
    dmin, dmax = heard[edge].argmax(1), longest - 1 - heard[edge, ::-1].argmax(1)
    return CoreEdges(edge // max(cores, 1), edge % max(cores, 1), dmin, dmax)


def traffic(graph: NeuronGraph, core: np.ndarray) -> np.ndarray:
    """Packets a step from each core to each other, [cores, cores]."""
    cores = int(core.max(initial=-1)) + 1
    found = np.zeros(cores * cores)
    for source, to in reached(graph, core, cores):
        away = (core[source] >= 0) & (core[source] != to)
        pair = core[source[away]].astype(np.int64) * cores + to[away]
        found += np.bincount(pair, graph.rate[source[away]], cores * cores)
    return found.reshape(cores, cores)


def usage(graph: NeuronGraph, core: np.ndarray, cores: int, axons: bool = True) -> Usage:
    """What each core holds and does; without `axons` these may be 0, which takes no time where packets cost none."""
    on = core >= 0
    work, memory = (np.bincount(core[on], of[on], cores) for of in (graph.work, graph.memory))
    populations = np.zeros((cores, len(graph.shared)), bool)
    populations[core[on], graph.population[on]] = True
    axons_in, axons_out, packets = (np.zeros(cores) for _ in range(3))
    counted = axons or graph.packet_in > 0 or graph.packet_out > 0
    for source, to in reached(graph, core, cores) if counted else ():
        axons_in += np.bincount(to, minlength=cores)
        away = core[source] != to
        packets += graph.packet_in * np.bincount(to[away], graph.rate[source[away]], cores)
        leaving = source[away & (core[source] >= 0)]
        packets += graph.packet_out * np.bincount(core[leaving], graph.rate[leaving], cores)
        axons_out += np.bincount(core[leaving], minlength=cores)
    neurons = np.bincount(core[on], minlength=cores)
    return Usage(work + packets, neurons, memory + populations @ graph.shared, axons_in, axons_out, packets)


def carried(graph: NeuronGraph, core: np.ndarray, cores: int) -> np.ndarray:
    """The packet time that leaves its core with each neuron: those it sends, and those that it alone there hears."""
    own = np.zeros(graph.neurons)
    for first, last in chunks(graph):
        synapses = slice(graph.offsets[first], graph.offsets[last])
        source, target = graph.sources(first, last), graph.target[synapses]
        away = (core[target] != core[source]) & (core[target] >= 0)
        source, target = source[away], target[away]
        key = (source - first) * max(cores, 1) + core[target]
        _, at, counts = np.unique(key, return_index=True, return_counts=True)
        alone = at[counts == 1]
        own += np.bincount(target[alone], graph.packet_in * graph.rate[source[alone]], graph.neurons)
        own += np.bincount(source[at], graph.packet_out * graph.rate[source[at]], graph.neurons)
    return np.where(core >= 0, own, 0.0)


def reached(graph: NeuronGraph, core: np.ndarray, cores: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The distinct (neuron, core it reaches), a chunk at a time; cores keep delays with their synapses."""
    for first, last in chunks(graph):
        synapses = slice(graph.offsets[first], graph.offsets[last])
        to = core[graph.target[synapses]]
        key = ((graph.sources(first, last) - first) * cores + to)[to >= 0]
        space = (last - first) * cores
        if space <= SPARSE * len(key):
            flags = np.zeros(space, bool)
            flags[key] = True
            key = np.flatnonzero(flags)
        else:
            key = np.unique(key)
        source, to = np.divmod(key, max(cores, 1))
        yield source + first, to


def chunks(graph: NeuronGraph) -> Iterator[tuple[int, int]]:
    """Ranges of neurons, first..last - 1, of so many synapses together (or one neuron that has more)."""
    first = 0
    while first < graph.neurons:
        last = int(np.searchsorted(graph.offsets, graph.offsets[first] + CHUNK, "right")) - 1
        last = min(max(last, first + 1), graph.neurons)
        yield first, last
        first = last
