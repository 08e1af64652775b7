"""Work made even, vertex by vertex: the busiest core gives to light ones, by moves and swaps. Pure mathematics."""

import numpy as np

from .core_refine import SLIGHT, WORK, Cores
from .neuron_nets import Nets

PAIRS = 1 << 18
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
    open_cores = np.ones(len(cores), bool)
    for _ in range(steps):
        over = np.where(open_cores, load[:, WORK] - goal, -np.inf)
        busiest = int(over.argmax())
        if over[busiest] <= 0:
            break
        change = exchange(nets, part, cores, load, busiest, goal, gain)
        if not change:
            open_cores[busiest] = False
            continue
        for vertex, to in change:
            load[part[vertex]] -= nets.sizes[vertex]
            load[to] += nets.sizes[vertex]
            part[vertex] = to
        if cores.shared.any():
            load = cores.loads(nets, part)
    return part


def exchange(
    nets: Nets, part: np.ndarray, cores: Cores, load: np.ndarray, busiest: int, goal: np.ndarray,
    gain: np.ndarray | None,
) -> list[tuple[int, int]]:  # fmt: skip
    """A move from the busiest core to a light one, or a swap with a vertex there, as (vertex, core); none helps: []."""
    alike = np.flatnonzero((cores.group == cores.group[busiest]) & (np.arange(len(cores)) != busiest))
    light = alike[np.argsort(load[alike, WORK], kind="stable")][:LIGHT]
    own, others = np.flatnonzero(part == busiest), np.flatnonzero(np.isin(part, light))
    if not len(light) or not len(own):
        return []
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
