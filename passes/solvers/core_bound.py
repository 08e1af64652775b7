"""Time that no mapping of a run onto so many cores beats, whichever neurons share a core.

Of groups that share no core, some core is as slow as `core_shares.paces` tells. A neuron costs its own work, wherever
it is; its core hears each packet for it, alone or with others; and each of its spikes leaves for the other cores it
reaches. Of a group of N neurons on n cores, a neuron with t targets there reaches at least n - (N - t) cores: those it
misses hold N - t neurons at most, and each core one or more.

    more cores  ->  more packets leave  ->  more work  ->  more cores        up to the cores that there are

A time is out of reach where that takes more cores than there are. What neurons share of their packets beyond this is
not known of all mappings, so the bound is weak where most work is packets. Pure mathematics.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .core_shares import fewest, paces

HALVINGS = 40


@dataclass(frozen=True)
class Demand:
    """What the neurons of a run ask of their cores, in time over the run: [neurons] each.

    `group` of each neuron, from 0; `own` work; `hearing`, the packets that come for it; `leaving`, its spikes to one
    other core; `targets` int [neurons, groups], the distinct neurons it reaches. `apart` is of a core with no neuron.
    """

    group: np.ndarray
    own: np.ndarray
    hearing: np.ndarray
    leaving: np.ndarray
    targets: np.ndarray
    apart: float = 0.0

    @property
    def sizes(self) -> np.ndarray:
        """Neurons of each group."""
        return np.bincount(self.group, minlength=self.targets.shape[1])

    def reached(self, share: np.ndarray) -> np.ndarray:
        """The other cores that each neuron reaches at least where groups have so many."""
        cores = np.maximum(share - (self.sizes - self.targets), self.targets > 0)
        cores[np.arange(len(self.group)), self.group] -= 1
        return np.maximum(cores, 0).sum(axis=1)

    def paces(self, share: np.ndarray, most: int) -> list[np.ndarray]:
        """The paces of each group where each of them has at least so many cores."""
        work = self.own + self.leaving * self.reached(share)
        found = []
        for group in range(len(share)):
            inside = self.group == group
            heard = np.sort(self.hearing[inside])
            pace = paces(work[inside], most, self.apart + float(heard[0]))
            found.append(np.maximum(pace, crowded(work[inside], heard, len(pace) - 1) + self.apart))
        return found


def crowded(work: np.ndarray, heard: np.ndarray, most: int) -> np.ndarray:
    """The time of the core with most neurons on 0, 1, .. `most` cores: the lightest, and what one of so many hears."""
    count = -(-len(work) // np.arange(1, most + 1))
    running = np.concatenate(([0.0], np.cumsum(np.sort(work))))
    return np.concatenate(([np.inf], running[count] + heard[count - 1]))


def least_time(demand: Demand, cores: int) -> float:
    """A time that the busiest of `cores` cores takes at least; inf where they are fewer than groups."""
    if demand.targets.shape[1] > cores:
        return float("inf")
    if not len(demand.group):
        return demand.apart if cores else 0.0
    first = float((demand.own + demand.hearing).max()) + demand.apart
    if reachable(demand, cores, first):
        return first
    last = 2 * first
    while not reachable(demand, cores, last):
        first, last = last, 2 * last
    for _ in range(HALVINGS):
        middle = (first + last) / 2
        first, last = (first, middle) if reachable(demand, cores, middle) else (middle, last)
    return first


def reachable(demand: Demand, cores: int, goal: float) -> bool:
    """Whether `cores` are enough for `goal`, as far as is known."""
    share = np.ones(demand.targets.shape[1], np.int64)
    while share.sum() <= cores:
        needed = needs(demand.paces(share, cores), share, goal)
        if np.array_equal(needed, share):
            return True
        share = needed
    return False


def needs(group_paces: Sequence[np.ndarray], share: np.ndarray, goal: float) -> np.ndarray:
    """The cores that each group needs for `goal`, no fewer than its share."""
    return np.maximum(share, [fewest(pace, goal) for pace in group_paces])
