"""How many cores, and how many slots: the mapping that is fastest on the profile.

More cores share the work, but each costs its own step, more packets and more edges. Twice as many are tried as long as
that helps; then slots, from as few as the mean work asks for to as many as still help. Near the best, fewer are taken.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .mapping import Mapped

GAIN = 0.02
"""Twice the cores have to save this part of the time, more slots half of it."""
SLACKS = (2, 3, 4, 6, 8)
"""Slots over the longest delay that are tried beside those that the mean work asks for."""


@dataclass(frozen=True)
class Tried:
    """A mapping and the time of the profile on it, in nanoseconds."""

    mapped: Mapped
    time: float


def choose_cores(attempt: Callable[[int | None], Tried], most: int) -> Tried:
    """The mapping on the number of cores that is fastest; `attempt(None)` takes as few as hold the network."""
    best = attempt(None)
    cores = best.mapped.mapping.cores
    while 0 < cores < most:
        cores = min(2 * cores, most)
        other = attempt(cores)
        if other.mapped.mapping.cores <= best.mapped.mapping.cores or other.time > (1 - GAIN) * best.time:
            break
        best = other
    return best


def choose_slack(sized: float, attempt: Callable[[int], float]) -> int | None:
    """The least slack that is about as fast as the most; None where the sized slots are, which take `sized`."""
    times: dict[int | None, float] = {None: sized} | {slack: attempt(slack) for slack in SLACKS}
    least = min(times.values())
    return next(slack for slack, time in times.items() if time <= (1 + GAIN / 2) * least)
