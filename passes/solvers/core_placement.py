"""Where on the mesh does each core go?

    cost = sum over pairs of cores of traffic * (|x - x'| + |y - y'|)

The part of the mesh that is used is as square as it can be. It is halved again and again, and the cores with it, each
time where their traffic parts best (by the Fiedler vector); then pairs of cores change places while that helps.
Deterministic. Pure mathematics.
"""

import numpy as np

STARTS = 8
"""Random starts besides, for arrays small enough that they take no time."""
SMALL = 64
TURNS = 16
"""Directions in which a split is tried."""
SWEEPS = 20


def place(traffic: np.ndarray, mesh: tuple[int, int], cores_per_tile: int = 1) -> np.ndarray:
    """The slot of each core, int32 [cores], where slot s is on tile s // cores_per_tile of a mesh (width, height).

    `traffic` [cores, cores] are packets from one core to another; its diagonal does not matter.
    """
    cores, slots = len(traffic), mesh[0] * mesh[1] * cores_per_tile
    if np.shape(traffic) != (cores, cores):
        raise ValueError(f"traffic is from each core to each core, got {np.shape(traffic)}")
    if cores > slots:
        raise ValueError(f"{cores} cores do not fit on a mesh of {mesh[0]} x {mesh[1]} tiles of {cores_per_tile} cores")
    if not cores:
        return np.zeros(0, np.int32)
    tiles = square_part(mesh, -(-cores // cores_per_tile))
    where = np.repeat(tiles, cores_per_tile)
    between = np.zeros((len(where), len(where)))
    between[:cores, :cores] = np.asarray(traffic) + np.asarray(traffic).T
    np.fill_diagonal(between, 0.0)
    apart = distances(where, mesh[0])
    starts = [bisected(between, where, mesh[0])]
    if len(where) <= SMALL:
        generator = np.random.default_rng(0)
        starts += [generator.permutation(len(where)) for _ in range(STARTS)]
    tried = [swapped(between, apart, start) for start in starts]
    best = min(tried, key=lambda at: float((between * apart[np.ix_(at, at)]).sum()))
    slot = (where * cores_per_tile + np.tile(np.arange(cores_per_tile), len(tiles)))[best]
    return slot[:cores].astype(np.int32)


def distances(tile: np.ndarray, width: int) -> np.ndarray:
    """Links between each pair of tiles."""
    x, y = tile % width, tile // width
    return np.abs(x[:, None] - x) + np.abs(y[:, None] - y)


def square_part(mesh: tuple[int, int], tiles: int) -> np.ndarray:
    """At least `tiles` tiles, in rows and columns that differ as little as the mesh allows."""
    width = min(mesh[0], max(int(np.ceil(np.sqrt(tiles))), -(-tiles // mesh[1])))
    height = -(-tiles // width)
    return (np.arange(height)[:, None] * mesh[0] + np.arange(width)).ravel()


def bisected(between: np.ndarray, where: np.ndarray, width: int) -> np.ndarray:
    """The index in `where` of each core, by halving both along the longer side of what is left.

    Halves change sides where the traffic with cores outside, taken to be at the middle of their parts, pulls so.
    """
    spot = np.stack([where % width, where // width]).astype(np.float64)
    at, middle = np.empty(len(where), np.int64), np.zeros_like(spot)
    parts = [(np.arange(len(where)), np.arange(len(where)))]
    while parts:
        cores, places = parts.pop(0)
        middle[:, cores] = spot[:, places].mean(1, keepdims=True)
        if len(cores) == 1:
            at[cores] = places
            continue
        axis = int(np.ptp(spot[1, places]) > np.ptp(spot[0, places]))
        pull = between[cores] @ (middle[axis] - middle[axis, cores[0]])
        vector = parting(between[np.ix_(cores, cores)])
        if vector @ pull < 0:
            vector = -vector
        places = places[np.lexsort((spot[1 - axis, places], spot[axis, places]))]
        cores = cores[np.argsort(vector, kind="stable")]
        half = len(cores) // 2
        parts += [(cores[:half], places[:half]), (cores[half:], places[half:])]
    return at


def parting(between: np.ndarray) -> np.ndarray:
    """A number for each core, near for those with much traffic, whose halves have the least between them.

    Of the second and third eigenvectors of the Laplacian and what lies between: a square has two that are equal.
    """
    _, vectors = np.linalg.eigh(np.diag(between.sum(1)) - between)
    plane = vectors[:, 1:3] * np.where(vectors[np.abs(vectors).argmax(0), range(len(vectors))] < 0, -1.0, 1.0)[1:3]
    angles = np.pi * np.arange(TURNS if plane.shape[1] == 2 else 1) / TURNS
    turned = plane @ np.stack([np.cos(angles), np.sin(angles)])[: plane.shape[1]]
    first = np.argsort(np.argsort(turned, axis=0, kind="stable"), axis=0) < len(between) // 2
    cut = np.einsum("ia,ia->a", first, between @ ~first)
    return turned[:, int(cut.argmin())]


def swapped(between: np.ndarray, apart: np.ndarray, start: np.ndarray) -> np.ndarray:
    """`start` after each core in turn has changed places with the one that helps most, until no swap helps."""
    at = start.copy()
    cost = between @ apart[at]
    least = 1e-9 * (1.0 + float(np.abs(cost).max(initial=0.0)))
    everyone = np.arange(len(at))
    for _ in range(SWEEPS):
        improved = False
        for core in everyone:
            own = cost[everyone, at]
            change = cost[core, at] - own[core] + cost[:, at[core]] - own + 2 * between[core] * apart[at[core], at]
            other = int(np.argmin(change))
            if change[other] < -least:
                improved = True
                step = apart[at[other]] - apart[at[core]]
                cost += np.outer(between[:, core] - between[:, other], step)
                at[[core, other]] = at[[other, core]]
        if not improved:
            break
    return at
