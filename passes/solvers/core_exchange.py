"""Large partitions made better: neurons go to the core of those they reach.

Each neuron looks at a few of those it reaches, and goes where most of them are, while that core has room or expects to
lose as much. Linear in neurons; for networks with too many to keep the gain of each from each core. Work is made even
after. Pure mathematics.
"""

import numpy as np

from .core_refine import LOOSE, SLIGHT, Cores, running
from .neuron_graph import NeuronGraph
from .neuron_nets import Nets

SEEN = 16
"""Of those that a neuron reaches, so many are looked at."""
ROUNDS = 10
CHANCE = 0.75
"""With which a neuron that gains goes, so that two do not go round each other."""


def exchanged(
    graph: NeuronGraph, nets: Nets, part: np.ndarray, cores: Cores, generator: np.random.Generator
) -> np.ndarray:
    """`part` after the last round of moves for which memory has room."""
    seen, best = looked_at(graph, generator), part
    for _ in range(ROUNDS):
        here = np.append(part, -1)[seen]
        here[cores.group[here] != nets.group[:, None]] = -1
        to, most = majority(here)
        value = most - (here == part[:, None]).sum(1)
        vertex = np.flatnonzero((to >= 0) & (value > 0) & (generator.random(len(part)) < CHANCE))
        vertex = vertex[np.lexsort((vertex, -value[vertex], to[vertex]))]
        leaving = np.stack([np.bincount(part[vertex], size, len(cores)) for size in nets.sizes[vertex].T], 1)
        room = cores.limit * (1 + LOOSE, 1, 1) - cores.loads(nets, part) + leaving
        goes = [
            running(size, to[vertex]) <= room[to[vertex], i] + SLIGHT for i, size in enumerate(nets.sizes[vertex].T)
        ]
        vertex = vertex[np.all(goes, axis=0)]
        part = part.copy()
        part[vertex] = to[vertex]
        if np.all(cores.loads(nets, part)[:, 1:] <= cores.limit[:, 1:] + SLIGHT):
            best = part
    return best


def looked_at(graph: NeuronGraph, generator: np.random.Generator) -> np.ndarray:
    """Some neurons that each free neuron reaches, by their number among the free, int64 [free, SEEN]; -1 for none."""
    free = np.flatnonzero(graph.group >= 0)
    number = np.full(graph.neurons, -1, np.int64)
    number[free] = np.arange(len(free))
    counts = np.diff(graph.offsets)[free][:, None]
    place = (generator.random((len(free), SEEN)) * counts).astype(np.int64)
    some = np.minimum(graph.offsets[free][:, None] + place, max(len(graph.target) - 1, 0))
    return np.where(counts > 0, number[graph.target[some]], -1) if len(graph.target) else np.full(some.shape, -1)


def majority(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number that is most often in each row, and how often; -1 does not count."""
    values = np.sort(values, axis=1)
    best, most, run = np.full(len(values), -1), np.zeros(len(values), np.int64), np.zeros(len(values), np.int64)
    for column in range(values.shape[1]):
        run = np.where(values[:, column] == values[:, column - 1], run, 0) + 1 if column else run + 1
        better = (run > most) & (values[:, column] >= 0)
        best, most = np.where(better, values[:, column], best), np.where(better, run, most)
    return best, most
