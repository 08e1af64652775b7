"""Neurons spread over cores so that these are equally busy, at every time: for networks in which all hear all.

The busiest neurons first, each goes where the sum of squares of work over cores and stretches of time grows least
(the longest-processing-time rule of Graham 1969, with time). Knows nothing of packets. Pure mathematics.
"""

import numpy as np

from .neuron_graph import Capacity, NeuronGraph

UNEVEN = 1.25
"""A core takes so many times its share of the neurons at most: what leaves it has limits too."""


def spread(graph: NeuronGraph, capacity: Capacity, share: np.ndarray) -> np.ndarray:
    """The core of each neuron, int32 [neurons], -1 for those on none, where share[g] cores are for group g."""
    core, first = np.full(graph.neurons, -1, np.int32), 0
    whole = graph.work[None] if graph.activity is None else graph.activity.astype(np.float64)
    for group, count in enumerate(share.tolist()):
        own = np.flatnonzero(graph.group == group)
        own = own[np.argsort(-graph.work[own], kind="stable")]
        core[own] = first + dealt(graph, capacity, own, whole[:, own].T, count)
        first += count
    return core


def dealt(graph: NeuronGraph, capacity: Capacity, own: np.ndarray, work: np.ndarray, count: int) -> np.ndarray:
    """Which of `count` cores each of the neurons `own` goes to; where none has room, the one with most."""
    load = np.zeros((count, work.shape[1]))
    held, room = np.zeros(count), np.full(count, np.inf)
    most = np.ceil(UNEVEN * len(own) / max(count, 1))
    most = most if capacity.neurons is None else min(most, capacity.neurons)
    if capacity.synapse_bytes is not None:
        room[:] = capacity.synapse_bytes - graph.shared[np.unique(graph.population[own])].sum()
    to = np.zeros(len(own), np.int32)
    for number, neuron in enumerate(own):
        growth = 2 * (load @ work[number]) + work[number] @ work[number]
        fits = (held < most) & (room >= graph.memory[neuron])
        best = int(np.where(fits, growth, np.inf).argmin()) if fits.any() else int(room.argmax())
        to[number] = best
        load[best] += work[number]
        held[best] += 1
        room[best] -= graph.memory[neuron]
    return to
