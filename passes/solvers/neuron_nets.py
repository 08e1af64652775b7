"""Neurons as a hypergraph, and coarser ones of it: those that hear and reach the same neurons are taken together.

A net is a neuron with all that it reaches; it costs its rate for each core beyond the first that it touches (km1).
Rating of a pair = sum over their common nets of weight / (pins - 1), on a random ring of each net's pins in place of
all pairs. Pure mathematics.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix

from .neuron_graph import NeuronGraph

EVEN = 0.05
"""A spike that is never seen counts so much of a mean one: a core edge has its price at any rate."""
RINGS = 2
ROUNDS = 8
"""Of proposals, in which those that choose each other are paired."""
SHRINK = 0.95
"""Coarsening ends where fewer than 1 in 20 find a pair."""


@dataclass(frozen=True)
class Nets:
    """Vertices (neurons, or sets of them), and the nets they are pins of.

    `pins` bool-like [nets, vertices]; `weight` [nets]; `sizes` [vertices, 3]: work, neurons, bytes; `group` and
    `population` [vertices]; `activity` [vertices, bins].
    """

    pins: csr_matrix
    weight: np.ndarray
    sizes: np.ndarray
    group: np.ndarray
    population: np.ndarray
    activity: np.ndarray

    @property
    def vertices(self) -> int:
        return len(self.sizes)

    @cached_property
    def net(self) -> np.ndarray:
        """The net of each pin."""
        return np.repeat(np.arange(len(self.weight)), np.diff(self.pins.indptr))

    @cached_property
    def weighted(self) -> csr_matrix:
        """The nets of each vertex, by weight: [vertices, nets]."""
        return csr_matrix(self.pins.T.multiply(self.weight.astype(np.float32)))

    def sampled(self, pins: int, generator: np.random.Generator) -> "Nets":
        """With about so many pins at most, of nets chosen at random."""
        share = pins / max(self.pins.nnz, 1)
        if share >= 1:
            return self
        chosen = np.sort(generator.permutation(len(self.weight))[: max(int(share * len(self.weight)), 1)])
        return replace(self, pins=self.pins[chosen], weight=self.weight[chosen])

    def merged(self, into: np.ndarray) -> "Nets":
        """With vertex v made part of into[v]."""
        count = int(into.max(initial=-1)) + 1
        pins = csr_matrix(
            (np.ones(self.pins.nnz, np.float32), into[self.pins.indices], self.pins.indptr.copy()),
            (len(self.weight), count),
        )
        pins.sum_duplicates()
        pins.data = np.ones_like(pins.data)
        group, population = np.zeros(count, np.int64), np.zeros(count, np.int64)
        group[into], population[into] = self.group, self.population
        kept = np.diff(pins.indptr) > 1
        whole = csr_matrix((np.ones(len(into), np.float32), (into, np.arange(len(into)))), (count, len(into)))
        return Nets(pins[kept], self.weight[kept], whole @ self.sizes, group, population, whole @ self.activity)


def nets_of(graph: NeuronGraph, free: np.ndarray, pins: int, generator: np.random.Generator) -> Nets:
    """The nets of a graph, over the neurons `free` (ascending): about `pins` pins at most, of neurons at random."""
    number = np.full(graph.neurons, -1, np.int64)
    number[free] = np.arange(len(free))
    chosen = np.arange(graph.neurons)
    if graph.offsets[-1] > pins:
        share = int(graph.neurons * pins / graph.offsets[-1])
        chosen = np.sort(generator.permutation(graph.neurons)[: max(share, 1)])
    counts = np.diff(graph.offsets)[chosen]
    starts = np.repeat(graph.offsets[chosen] - np.cumsum(counts) + counts, counts)
    reached = graph.target[starts + np.arange(len(starts))]
    vertex = number[np.concatenate([reached, chosen])]
    net = np.concatenate([np.repeat(np.arange(len(chosen)), counts), np.arange(len(chosen))])[vertex >= 0]
    vertex = vertex[vertex >= 0]
    rate = graph.rate[chosen] + EVEN * float(graph.rate.mean())
    table = csr_matrix((np.ones(len(net), np.float32), (net, vertex)), (len(chosen), len(free)))
    table.sum_duplicates()
    table.data = np.ones_like(table.data)
    several = np.diff(table.indptr) > 1
    sizes = np.stack([graph.work[free], np.ones(len(free)), graph.memory[free]], 1)
    activity = np.zeros((len(free), 0)) if graph.activity is None else np.asarray(graph.activity[:, free].T)
    weight = rate if rate.any() else np.ones(len(rate))
    return Nets(table[several], weight[several], sizes, graph.group[free], graph.population[free], activity)


def ratings(nets: Nets, kind: np.ndarray, generator: np.random.Generator) -> csr_matrix:
    """How much vertices of the same kind belong together: symmetric, [vertices, vertices]."""
    kinds = int(kind.max(initial=0)) + 1
    vertex = nets.pins.indices
    part = nets.net * kinds + kind[vertex]
    order = np.argsort(part + generator.random(len(part)) * 0.5, kind="stable")
    vertex, part, net = vertex[order], part[order], nets.net[order]
    worth = (nets.weight / np.maximum(np.diff(nets.pins.indptr) - 1, 1))[net]
    pairs = []
    for ring in range(1, RINGS + 1):
        same = np.flatnonzero(part[ring:] == part[:-ring])
        pairs.append((vertex[same], vertex[same + ring], worth[same]))
    one, other, value = (np.concatenate(column) for column in zip(*pairs, strict=True))
    table = csr_matrix((value.astype(np.float32), (one, other)), (nets.vertices, nets.vertices))
    table = csr_matrix(table + table.T)
    table.sum_duplicates()
    return table


def matched(nets: Nets, rating: csr_matrix, kind: np.ndarray, most: np.ndarray) -> np.ndarray:
    """A number for each vertex, the same for two that become one: the best rated pairs that keep within `most`."""
    row = np.repeat(np.arange(nets.vertices), np.diff(rating.indptr))
    column, value = rating.indices.astype(np.int64), rating.data * jitter(row, rating.indices)
    fits = np.all(nets.sizes[row] + nets.sizes[column] <= most, axis=1) & (row != column)
    row, column, value = row[fits], column[fits], value[fits]
    lonely = np.bincount(row, minlength=nets.vertices) == 0
    mate = np.arange(nets.vertices)
    for _ in range(ROUNDS):
        alive = (mate[row] == row) & (mate[column] == column)
        row, column, value = row[alive], column[alive], value[alive]
        if not len(row):
            break
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        best = np.repeat(np.maximum.reduceat(value, starts), np.diff(starts, append=len(row))) == value
        choice = np.full(nets.vertices, -1)
        choice[row[best]] = column[best]
        chosen = np.flatnonzero(choice >= 0)
        mutual = chosen[choice[choice[chosen]] == chosen]
        mate[mutual] = choice[mutual]
    pair_lonely(nets, mate, lonely, kind, most)
    return np.unique(np.minimum(mate, np.arange(nets.vertices)), return_inverse=True)[1]


def pair_lonely(nets: Nets, mate: np.ndarray, lonely: np.ndarray, kind: np.ndarray, most: np.ndarray) -> None:
    """Pair vertices that are rated with none, two neighbours by number each time."""
    alone = np.flatnonzero(lonely)
    alone = alone[np.argsort(kind[alone], kind="stable")]
    one, other = alone[: len(alone) // 2 * 2].reshape(-1, 2).T
    fits = (kind[one] == kind[other]) & np.all(nets.sizes[one] + nets.sizes[other] <= most, axis=1)
    mate[one[fits]], mate[other[fits]] = other[fits], one[fits]


def jitter(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """1 to 1.001, at random but the same for (u, v) and (v, u): equal pairs are not all equal."""
    low, high = np.minimum(one, other).astype(np.uint64), np.maximum(one, other).astype(np.uint64)
    mixed = (low * np.uint64(0x9E3779B97F4A7C15)) ^ (high * np.uint64(0xC2B2AE3D27D4EB4F))
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return 1.0 + 1e-3 * (mixed >> np.uint64(40)).astype(np.float64) / 2**24


def coarsened(
    nets: Nets, kind: np.ndarray, most: np.ndarray, goal: int, generator: np.random.Generator
) -> tuple[list[Nets], list[np.ndarray]]:
    """Coarser and coarser nets, to about `goal` vertices, with the vertex that each of the finer became."""
    steps, becomes = [nets], []
    while steps[-1].vertices > goal:
        finer = steps[-1]
        into = matched(finer, ratings(finer, kind, generator), kind, most)
        if int(into.max()) + 1 > SHRINK * finer.vertices:
            break
        coarse = np.zeros(int(into.max()) + 1, np.int64)
        coarse[into] = kind
        kind = coarse
        steps.append(finer.merged(into))
        becomes.append(into)
    return steps, becomes
