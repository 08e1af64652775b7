"""A first partition: the vertices of each group are halved, and halved again, until each part is a core's.

A half grows from one vertex by that which belongs to it most, and is refined by moving one vertex at a time and going
back to the best state seen (Fiduccia and Mattheyses 1982); of several tries the best is taken. What counts here is the
rating that is cut: nets of many pins touch both halves whatever one does, and tell nothing.
Pure mathematics.
"""

import numpy as np
from scipy.sparse import csr_matrix

from .core_refine import SLIGHT, WORK, Cores
from .neuron_nets import Nets

TRIES = 4
PASSES = 4
PATIENCE = 64
"""Moves without a better state after which a pass ends."""
SLACK = 0.03
"""By what part a half may work longer than its share."""


def bisected(nets: Nets, rating: csr_matrix, cores: Cores, generator: np.random.Generator) -> np.ndarray:
    """The core of each vertex, int64 [vertices]; where no halves are found that fit, the least too full."""
    part = np.zeros(nets.vertices, np.int64)
    parts = [
        (np.flatnonzero(nets.group == group), np.flatnonzero(cores.group == group)) for group in np.unique(nets.group)
    ]
    while parts:
        vertices, own = parts.pop()
        if len(own) == 1 or not len(vertices):
            part[vertices] = own[0]
            continue
        half = len(own) // 2
        limit = halves(nets, cores, vertices, own)
        first = halved(nets.sizes[vertices], rating[vertices][:, vertices], limit, half / len(own), generator)
        parts += [(vertices[first], own[:half]), (vertices[~first], own[half:])]
    return part


def packed(nets: Nets, cores: Cores) -> np.ndarray:
    """The core of each vertex, the largest first: where it takes least bytes that are not there, then of least work.

    Finds room where halving does not; knows nothing of nets.
    """
    part, load = np.zeros(nets.vertices, np.int64), np.zeros_like(cores.limit)
    held = np.zeros((len(cores), len(cores.shared)), bool)
    for vertex in np.lexsort((-nets.sizes[:, WORK], -nets.sizes[:, 2], nets.population)):
        own, population = np.flatnonzero(cores.group == nets.group[vertex]), nets.population[vertex]
        after = load[own] + nets.sizes[vertex]
        new = cores.shared[population] * ~held[own, population]
        after[:, 2] += new
        full = np.any(after[:, 1:] > cores.limit[own, 1:] + SLIGHT, axis=1)
        best = int(np.lexsort((after[:, WORK], new, full))[0])
        part[vertex], load[own[best]] = own[best], after[best]
        held[own[best], population] = True
    return part


def halves(nets: Nets, cores: Cores, vertices: np.ndarray, own: np.ndarray) -> np.ndarray:
    """What the two halves of some cores may hold together, [2, 3]; every core may have to hold what is shared."""
    half = len(own) // 2
    limit = np.stack([cores.limit[own[:half]].sum(0), cores.limit[own[half:]].sum(0)])
    counts = np.array([half, len(own) - half])
    limit[:, WORK] = (1 + SLACK) * nets.sizes[vertices, WORK].sum() * counts / len(own)
    return limit


def halved(
    sizes: np.ndarray, rating: csr_matrix, limit: np.ndarray, share: float, generator: np.random.Generator
) -> np.ndarray:
    """Which vertices make up the first half, with `share` of the work: the best of several tries."""
    best, least = np.zeros(len(sizes), bool), (np.inf, np.inf)
    for _ in range(TRIES):
        side, score = grown(sizes, rating, limit[0], share, int(generator.integers(len(sizes)))), (np.inf, np.inf)
        for _ in range(PASSES):
            side, reached = moved(sizes, rating, limit, side)
            if reached >= score:
                break
            score = reached
        if score < least:
            best, least = side, score
    return best


def moved(
    sizes: np.ndarray, rating: csr_matrix, limit: np.ndarray, first: np.ndarray
) -> tuple[np.ndarray, tuple[float, float]]:
    """The best state of a pass that moves each vertex once at most, with its excess over limits and its cut."""
    side = np.where(first, 0, 1)
    same = np.where(side[:, None] == np.arange(2), 1.0, -1.0).astype(np.float32)
    gain = -(rating @ same)[np.arange(len(side)), side]
    cut = float((rating.sum() + gain.sum()) / 4)
    load = np.stack([sizes[side == 0].sum(0), sizes[side == 1].sum(0)])
    best, least, order, kept = side.copy(), (over(load, limit), cut), [], 0
    free = np.zeros(len(side))
    for _ in range(len(side)):
        crowded = np.any(load > limit + SLIGHT, axis=1)
        allowed = np.all(load[::-1][side] + sizes <= limit[::-1][side] + SLIGHT, axis=1)
        if crowded.any():
            allowed = crowded[side]
        value = np.where(allowed, gain + free, -np.inf)
        vertex = int(value.argmax())
        if value[vertex] == -np.inf or len(order) - kept > PATIENCE:
            break
        cut -= float(gain[vertex])
        turn(rating, gain, side, vertex)
        load[1 - side[vertex]] -= sizes[vertex]
        load[side[vertex]] += sizes[vertex]
        free[vertex] = -np.inf
        order.append(vertex)
        if (score := (over(load, limit), cut)) < least:
            least, kept = score, len(order)
    best[order[:kept]] ^= 1
    return best == 0, least


def turn(rating: csr_matrix, gain: np.ndarray, side: np.ndarray, vertex: int) -> None:
    """Move a vertex to the other side, with the gains of those it belongs to."""
    reached = slice(rating.indptr[vertex], rating.indptr[vertex + 1])
    others = rating.indices[reached]
    gain[others] += np.where(side[others] == side[vertex], 2, -2) * rating.data[reached]
    gain[vertex] = -gain[vertex]
    side[vertex] ^= 1


def over(load: np.ndarray, limit: np.ndarray) -> float:
    """By what part the fuller half is too full, 0 where it is not."""
    return max(float((load / np.maximum(limit, SLIGHT)).max()) - 1.0, 0.0)


def grown(sizes: np.ndarray, rating: csr_matrix, limit: np.ndarray, share: float, start: int) -> np.ndarray:
    """The vertices that belong most to `start` and to each other, up to their share of the work."""
    near, taken = np.zeros(len(sizes)), np.zeros(len(sizes), bool)
    quota, load = share * sizes[:, WORK].sum(), np.zeros(sizes.shape[1])
    vertex = start
    while load[WORK] + sizes[vertex, WORK] / 2 <= quota:
        if np.all(load[1:] + sizes[vertex, 1:] <= limit[1:] + SLIGHT):
            load += sizes[vertex]
            reached = slice(rating.indptr[vertex], rating.indptr[vertex + 1])
            near[rating.indices[reached]] += rating.data[reached]
            taken[vertex] = True
        near[vertex] = -np.inf
        vertex = int(near.argmax())
        if near[vertex] == -np.inf:
            break
    return taken
