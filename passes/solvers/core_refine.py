"""Better partitions by moving vertices: fewer packets between cores, none of them too full, work even.

All moves of a round are found at once: each vertex has the core that it would gain most by, those that gain go with
chance 1/2, and cores that have become too full give up what costs least. The best partition seen is kept.

    gain(v, a -> b) = weight of the nets that leave a with v - weight of those that come to b with it
                      - what it adds to the sum of squares of work by core and stretch of time
Pure mathematics.
"""

from dataclasses import dataclass

import numpy as np

from .neuron_nets import Nets

WORK = 0
"""The column of sizes that is time a step."""
LOOSE, FEW = 0.02, 1.5
"""Cores may work too long by such a part while moves are tried, or by so many mean vertices if that is more."""
SLIGHT = 1e-9


@dataclass(frozen=True)
class Cores:
    """What cores may hold: `group` [cores] of the vertices they may, `limit` [cores, 3] of sizes, `taken` [cores] work
    that is theirs before any vertex, `shared` [populations] bytes held once. A core may work longer than the mean by
    the part `even`; a relative variance of 1 of work over cores and time costs `steady` times what each net's crossing
    once does."""

    group: np.ndarray
    limit: np.ndarray
    taken: np.ndarray
    shared: np.ndarray
    even: float = 0.01
    steady: float = 1.0

    def __len__(self) -> int:
        return len(self.group)

    def held(self, nets: Nets, part: np.ndarray) -> np.ndarray:
        """The populations on each core: bool [cores, populations]."""
        held = np.zeros((len(self), len(self.shared)), bool)
        held[part, nets.population] = True
        return held

    def loads(self, nets: Nets, part: np.ndarray) -> np.ndarray:
        """The sizes that each core holds, [cores, 3]."""
        load = np.stack([np.bincount(part, column, len(self)) for column in nets.sizes.T], 1)
        load[:, WORK] += self.taken
        if self.shared.any():
            load[:, 2] += self.held(nets, part) @ self.shared
        return load

    def excess(self, load: np.ndarray) -> np.ndarray:
        """By what part of a limit each core is too full, at worst: [cores]."""
        return (load / np.maximum(self.limit, SLIGHT)).max(1) - 1.0


def gains(nets: Nets, part: np.ndarray, cores: Cores) -> tuple[np.ndarray, float]:
    """The gain of each vertex from each core, -inf where it may not be, and the cost of the partition."""
    count, of = len(cores), part[nets.pins.indices]
    touched = np.bincount(nets.net * count + of, minlength=len(nets.weight) * count).reshape(-1, count)
    gain = nets.weighted @ (touched > 0).astype(np.float32)
    alone = touched[nets.net, of] == 1
    weight = nets.weight[nets.net]
    gain += np.bincount(nets.pins.indices, weight * (alone - 1.0), nets.vertices).astype(np.float32)[:, None]
    cost = float(nets.weight @ ((touched > 0).sum(1) - 1))
    if nets.activity.shape[1]:
        busy = np.stack([np.bincount(part, column, count) for column in nets.activity.T], 1)
        mean = busy.mean(0)
        price = cores.steady * float(nets.weight.sum()) / max(count * float(mean @ mean), SLIGHT)
        cost += price * float(((busy - mean) ** 2).sum())
        with_own = nets.activity @ busy.T
        apart = with_own[np.arange(nets.vertices), part] - (nets.activity**2).sum(1)
        gain -= (2 * price * (with_own - apart[:, None])).astype(np.float32)
    gain[nets.group[:, None] != cores.group] = -np.inf
    gain[np.arange(nets.vertices), part] = -np.inf
    return gain, cost


def refine(nets: Nets, part: np.ndarray, cores: Cores, rounds: int, generator: np.random.Generator) -> np.ndarray:
    """The best partition that so many rounds of moves find, first by how full cores are, then by cost."""
    best, least = part, (np.inf, np.inf)
    for _ in range(rounds):
        load = cores.loads(nets, part)
        excess = cores.excess(load)
        gain, cost = gains(nets, part, cores)
        score = (max(float(excess.max()), SLIGHT), cost)
        if score < least:
            best, least = part, score
        if score[0] > SLIGHT:
            moved = relieve(nets, part, cores, gain, load, excess)
        else:
            moved = improve(nets, part, cores, gain, load, generator)
        if not len(moved[0]):
            break
        part = part.copy()
        part[moved[0]] = moved[1]
    return best


def improve(
    nets: Nets, part: np.ndarray, cores: Cores, gain: np.ndarray, load: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Half of the vertices that gain by a move, and where they go; cores may become a little too full."""
    limit = cores.limit.copy()
    limit[:, WORK] += np.maximum(LOOSE * limit[:, WORK], FEW * nets.sizes[:, WORK].mean())
    gain = np.where(room_for(nets, part, cores, load, limit), gain, -np.inf)
    to = gain.argmax(1)
    value = gain[np.arange(len(to)), to]
    vertex = np.flatnonzero((value > SLIGHT) & (generator.random(len(to)) < 0.5))
    return admitted(nets, part, cores, vertex, to[vertex], value[vertex], limit - load)


def relieve(
    nets: Nets, part: np.ndarray, cores: Cores, gain: np.ndarray, load: np.ndarray, excess: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of cores that are too full, the vertices that lose least by a move, until they are not."""
    over = excess > SLIGHT
    column = (load / np.maximum(cores.limit, SLIGHT)).argmax(1)
    too_much = (load - cores.limit)[np.arange(len(cores)), column]
    vertex = np.flatnonzero(over[part])
    open_to = room_for(nets, part, cores, load, cores.limit)[vertex] & ~over
    offered = np.where(open_to, gain[vertex], -np.inf)
    to = offered.argmax(1)
    value = offered[np.arange(len(to)), to]
    size = nets.sizes[vertex, column[part[vertex]]]
    possible = np.isfinite(value) & (size > 0)
    vertex, to, value, size = vertex[possible], to[possible], value[possible], size[possible]
    order = np.lexsort((-value / size, part[vertex]))
    vertex, to, value, size = vertex[order], to[order], value[order], size[order]
    before = running(size, part[vertex]) - size
    leaving = before < too_much[part[vertex]]
    return admitted(nets, part, cores, vertex[leaving], to[leaving], value[leaving], cores.limit - load)


def room_for(nets: Nets, part: np.ndarray, cores: Cores, load: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Whether each vertex fits on each core as it is: bool [vertices, cores]."""
    fits = np.ones((nets.vertices, len(cores)), bool)
    for column in range(nets.sizes.shape[1]):
        needed = nets.sizes[:, column, None]
        if column == 2 and cores.shared.any():
            new = ~cores.held(nets, part)[:, nets.population].T
            needed = needed + new * cores.shared[nets.population][:, None]
        fits &= needed <= (limit - load)[:, column] + SLIGHT
    return fits


def admitted(
    nets: Nets, part: np.ndarray, cores: Cores, vertex: np.ndarray, to: np.ndarray, value: np.ndarray, room: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Those that find room where they go, the most valuable first."""
    order = np.lexsort((-value, to))
    vertex, to = vertex[order], to[order]
    sizes = nets.sizes[vertex].copy()
    if cores.shared.any():
        population = nets.population[vertex]
        sizes[:, 2] += cores.shared[population] * ~cores.held(nets, part)[to, population]
    fits = np.ones(len(vertex), bool)
    for column, size in enumerate(sizes.T):
        fits &= running(size, to) <= room[to, column] + SLIGHT
    return vertex[fits], to[fits]


def running(size: np.ndarray, run: np.ndarray) -> np.ndarray:
    """The sum of sizes up to each, within each run of equal numbers."""
    total = np.cumsum(size)
    starts = np.flatnonzero(np.diff(run, prepend=-1))
    return total - np.repeat(total[starts] - size[starts], np.diff(starts, append=len(run)))
