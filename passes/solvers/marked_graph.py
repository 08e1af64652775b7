"""Does a mapped network run without deadlock, and how fast at best?

Cores that advance step by step as their inputs and their buffers allow are a marked graph. For an edge p -> c with
synaptic delays dmin to dmax and K slots:

    data   p -> c   dmin tokens        c may be so many steps ahead of what p has sent
    space  c -> p   K - dmax tokens    p may be so many steps ahead of what c has read
    order  c -> c   1 token            one step after the other

It runs for ever, whatever the times, if and only if every cycle holds a token at least (Commoner and others 1971).
Potentials prove it: with n cores, phi(v) <= phi(u) + (n + 1) tokens - 1 on every arc, which anybody can check arc by
arc. The steady time of a step is the largest ratio of time to tokens over all cycles. Pure mathematics.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-9
"""By what part of the largest weight a path has to be shorter, where weights are not whole."""


class DeadlockError(ValueError):
    """The cores of `cycle` wait for each other: together they hold `tokens`, fewer than one."""

    def __init__(self, cycle: Sequence[int], tokens: int):
        super().__init__(
            f"cores {' -> '.join(map(str, [*cycle, cycle[0]]))} wait for each other: "
            f"the cycle holds {tokens} tokens, at least 1 is needed"
        )
        self.cycle, self.tokens = list(cycle), tokens


@dataclass(frozen=True)
class CoreEdges:
    """Which core hears which, with the least and the greatest delay of their synapses, in steps: int [edges] each."""

    source: np.ndarray
    target: np.ndarray
    dmin: np.ndarray
    dmax: np.ndarray

    def __len__(self) -> int:
        return len(self.source)

    def arcs(self, slots: np.ndarray) -> "Arcs":
        """The arcs of data, then those of space."""
        return Arcs(
            np.concatenate([self.source, self.target]).astype(np.int64),
            np.concatenate([self.target, self.source]).astype(np.int64),
            np.concatenate([self.dmin, np.asarray(slots) - self.dmax]).astype(np.int64),
        )


@dataclass(frozen=True)
class Arcs:
    """The arcs of a marked graph, and the tokens that each starts with."""

    tail: np.ndarray
    head: np.ndarray
    tokens: np.ndarray


def certify(cores: int, edges: CoreEdges, slots: np.ndarray) -> np.ndarray:
    """Potentials, int64 [cores], that prove the graph live; raises `DeadlockError` where it is not."""
    arcs = edges.arcs(slots)
    phi, cycle = shortest_paths(cores, arcs, (cores + 1) * arcs.tokens - 1, 0)
    if cycle is not None:
        raise DeadlockError(arcs.tail[cycle].tolist(), int(arcs.tokens[cycle].sum()))
    return phi


def check_certificate(cores: int, edges: CoreEdges, slots: np.ndarray, phi: np.ndarray) -> bool:
    """Whether the potentials prove that the graph is live: one look at each arc."""
    arcs = edges.arcs(slots)
    if len(phi) != cores or not np.issubdtype(np.asarray(phi).dtype, np.integer):
        return False
    return bool(np.all(phi[arcs.head] <= phi[arcs.tail] + (cores + 1) * arcs.tokens - 1))


def max_cycle_ratio(
    work: np.ndarray, edges: CoreEdges, slots: np.ndarray | None = None, latency: np.ndarray | float = 0.0
) -> float:
    """The steady time of a step, where a step of core c takes work[c] and a message of edge e latency[e].

    Without `slots` buffers are unlimited. Raises `DeadlockError` where the graph is not live.
    """
    return critical_cycle(work, edges, slots, latency)[0]


def critical_cycle(
    work: np.ndarray, edges: CoreEdges, slots: np.ndarray | None = None, latency: np.ndarray | float = 0.0
) -> tuple[float, np.ndarray]:
    """The steady time of a step, and the arcs of the cycle that sets it: none where a single core does.

    From the ratio of the slowest core upwards: a cycle that takes longer than the ratio allows sets the next one.
    """
    cores, work = len(work), np.asarray(work, np.float64)
    limited = edges.dmax + cores + 1 if slots is None else np.asarray(slots)
    certify(cores, edges, limited)
    arcs = edges.arcs(limited)
    delays = np.tile(np.broadcast_to(np.asarray(latency, np.float64), len(edges)), 2)
    if slots is None:
        kept = slice(len(edges))
        arcs, delays = Arcs(arcs.tail[kept], arcs.head[kept], arcs.tokens[kept]), delays[kept]
    times = work[arcs.head] + delays
    ratio, critical = float(work.max(initial=0.0)), np.zeros(0, np.int64)
    tolerance = TOLERANCE * float(times.max(initial=0.0))
    while True:
        _, cycle = shortest_paths(cores, arcs, ratio * arcs.tokens - times, tolerance)
        slower = ratio if cycle is None else float(times[cycle].sum() / arcs.tokens[cycle].sum())
        if cycle is None or slower <= ratio:
            return ratio, critical
        ratio, critical = slower, cycle


def shortest_paths(
    nodes: int, arcs: Arcs, weights: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray | None]:
    """The least weight of a path that ends in each node, 0 if none is negative; or the arcs of a negative cycle.

    Bellman-Ford, all arcs at once. The last arc that made a node's path shorter leads back to where it came from:
    these arcs close a cycle if and only if it is negative.
    """
    order = np.argsort(arcs.head, kind="stable")
    head, tail, weight = arcs.head[order], arcs.tail[order], weights[order]
    distance = np.zeros(nodes, weights.dtype)
    via = np.full(nodes, -1)
    if not len(order):
        return distance, None
    starts = np.flatnonzero(np.diff(head, prepend=-1))
    ends, sizes = head[starts], np.diff(starts, append=len(head))
    while True:
        lengths = distance[tail] + weight
        shortest = np.minimum.reduceat(lengths, starts)
        better = shortest < distance[ends] - tolerance
        if not better.any():
            return distance, None
        leads = np.flatnonzero(np.repeat(better, sizes) & (lengths == np.repeat(shortest, sizes)))
        via[head[leads]] = leads
        distance[ends[better]] = shortest[better]
        if (on := on_cycle(np.where(via < 0, nodes, tail[via]))) is not None:
            return distance, order[walk(on, via, tail)]


def on_cycle(parent: np.ndarray) -> int | None:
    """A node from which parents lead round a cycle; None if all lead to the root, which is number len(parent)."""
    nodes = len(parent)
    reached = np.append(parent, nodes)
    for _ in range(nodes.bit_length()):
        reached = reached[reached]
    caught = np.flatnonzero(reached[:nodes] < nodes)
    return int(reached[caught[0]]) if len(caught) else None


def walk(start: int, via: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """The arcs of the cycle through `start`, in the order of their direction."""
    cycle, node = [], start
    while not cycle or node != start:
        cycle.append(via[node])
        node = tail[via[node]]
    return np.array(cycle[::-1])
