"""Work made even, vertex by vertex: the busiest core gives to light ones, by moves and swaps. Pure mathematics."""

import numpy as np

from .core_refine import SLIGHT, WORK, Cores, running
from .neuron_nets import Nets

PAIRS = 1 << 15
"""Swaps that are looked at together."""
LIGHT = 4
"""Cores that the busiest may swap with: so many of the lightest."""


def polished(
    nets: Nets, part: np.ndarray, cores: Cores, goal: np.ndarray, gain: np.ndarray | None, steps: int
) -> np.ndarray:
    """`part` after so many exchanges at most, while any core works longer than its goal [cores].

    Of exchanges that reach the goal the one with the best `gain` [vertices, cores] is taken, else the most even one.
    """
    part, load = part.copy(), cores.loads(nets, part)
    members = np.split(np.argsort(part, kind="stable"), np.cumsum(np.bincount(part, minlength=len(cores)))[:-1])
    open_cores = np.ones(len(cores), bool)
    for _ in range(steps):
        over = np.where(open_cores, load[:, WORK] - goal, -np.inf)
        busiest = int(over.argmax())
        if over[busiest] <= 0:
            break
        change = exchange(nets, part, cores, load, members, busiest, goal, gain)
        if not change:
            open_cores[busiest] = False
            continue
        for vertex, to in change:
            load[part[vertex]] -= nets.sizes[vertex]
            load[to] += nets.sizes[vertex]
            members[part[vertex]] = members[part[vertex]][members[part[vertex]] != vertex]
            members[to] = np.append(members[to], vertex)
            part[vertex] = to
        if cores.shared.any():
            load = cores.loads(nets, part)
    return part


def dealt(nets: Nets, part: np.ndarray, cores: Cores, goal: np.ndarray) -> np.ndarray:
    """`part` after each core has given up what goes beyond its goal, and others of its group have taken it, at once.

    What is given is dealt out in a row, each core up to its goal; nothing changes if memory has no room for it.
    """
    load, order = cores.loads(nets, part)[:, WORK], np.argsort(part, kind="stable")
    size = nets.sizes[order, WORK]
    left = running(size[::-1], part[order][::-1])[::-1]
    given = order[left <= (load - goal)[part[order]] + SLIGHT]
    load -= np.bincount(part[given], nets.sizes[given, WORK], len(cores))
    after = part.copy()
    for group in np.unique(nets.group[given]):
        own, pool = np.flatnonzero(cores.group == group), given[nets.group[given] == group]
        room = np.cumsum(np.maximum(goal - load, 0.0)[own])
        middle = np.cumsum(nets.sizes[pool, WORK]) - nets.sizes[pool, WORK] / 2
        after[pool] = own[np.minimum(np.searchsorted(room, middle), len(own) - 1)]
    full = cores.loads(nets, after)[:, 1:] > cores.limit[:, 1:] + SLIGHT
    return part if full.any() else after


def exchange(
    nets: Nets, part: np.ndarray, cores: Cores, load: np.ndarray, members: list[np.ndarray], busiest: int,
    goal: np.ndarray, gain: np.ndarray | None,
) -> list[tuple[int, int]]:  # fmt: skip
    """A move from the busiest core to a light one, or a swap with a vertex there, as (vertex, core); none helps: []."""
    alike = np.flatnonzero((cores.group == cores.group[busiest]) & (np.arange(len(cores)) != busiest))
    light = alike[np.argsort(load[alike, WORK], kind="stable")][:LIGHT]
    own = members[busiest]
    if not len(light) or not len(own):
        return []
    others = np.concatenate([members[core] for core in light])
    vertex, back, to = offers(own, others[:: max(len(others) * len(own) // PAIRS, 1)], light, part)
    given = nets.sizes[vertex] - (back >= 0)[:, None] * nets.sizes[back]
    after = np.maximum(load[busiest, WORK] - given[:, WORK], load[to, WORK] + given[:, WORK])
    fits = (given[:, WORK] > 0) & (after < load[busiest, WORK] * (1 - SLIGHT))
    fits[fits] = holds(nets, part, cores, load, vertex[fits], back[fits], to[fits], given[fits])
    if not fits.any():
        return []
    enough = fits & (after <= max(goal[busiest], after[fits].min()))
    vertex, back, to, after = vertex[enough], back[enough], to[enough], after[enough]
    value = -after if gain is None else gain[vertex, to] + np.where(back >= 0, gain[back, busiest], 0.0)
    best = int(value.argmax())
    moved = [(int(vertex[best]), int(to[best]))]
    return moved if back[best] < 0 else [*moved, (int(back[best]), busiest)]


def offers(
    own: np.ndarray, others: np.ndarray, light: np.ndarray, part: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each own vertex to each light core for nothing (-1) or one of the others: vertex, what comes back, core."""
    vertex = np.concatenate([np.repeat(own, len(light)), np.repeat(own, len(others))])
    back = np.concatenate([np.full(len(own) * len(light), -1), np.tile(others, len(own))])
    return vertex, back, np.concatenate([np.tile(light, len(own)), np.tile(part[others], len(own))])


def holds(
    nets: Nets, part: np.ndarray, cores: Cores, load: np.ndarray,
    vertex: np.ndarray, back: np.ndarray, to: np.ndarray, given: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Whether both cores hold what they get: populations that share bytes only go where they are already."""
    busiest = part[vertex]
    fits = np.all(load[to, 1:] + given[:, 1:] <= cores.limit[to, 1:] + SLIGHT, axis=1)
    fits &= np.all(load[busiest, 1:] - given[:, 1:] <= cores.limit[busiest, 1:] + SLIGHT, axis=1)
    if cores.shared.any():
        held = cores.held(nets, part) | (cores.shared == 0)
        fits &= held[to, nets.population[vertex]]
        fits &= (back < 0) | held[busiest, nets.population[back]]
    return fits
