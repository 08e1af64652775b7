"""By which method, on how many cores, with how many slots: the mapping that is fastest on the profile.

Where neighbours talk, parts of the network that talk much are best kept together; where all hear all, neurons are best
spread so that cores are equally busy at every time: both are tried.
More cores share the work, but each costs its own step, more packets and more edges. Twice as many are tried as long as
that helps; then slots, from as few as the mean work asks for to as many as still help. Near the best, fewer are taken.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..dialects.diagnostics import UserError
from .mapping import Mapped

METHODS = ("multilevel", "spread")
"""The partitioners that are tried."""
GAIN = 0.02
"""Twice the cores have to save this part of the time, more slots half of it."""
SLACKS = (2, 3, 4, 6, 8, 16, 32)
"""Slots over the longest delay that are tried beside those that the mean work asks for."""


@dataclass(frozen=True)
class Tried:
    """A mapping and the time of the profile on it, in nanoseconds."""

    mapped: Mapped
    time: float


def fastest(attempts: Sequence[Callable[[], Tried]]) -> Tried:
    """The best of several; one that does not fit is no choice. Raises the UserError of the first where none fits."""
    tried, errors = [], []
    for attempt in attempts:
        try:
            tried.append(attempt())
        except UserError as error:
            errors.append(error)
    if not tried:
        raise errors[0]
    return min(tried, key=lambda each: each.time)


def choose_cores(attempt: Callable[[int | None], Tried], most: int) -> Tried:
    """The mapping on the number of cores that is fastest; `attempt(None)` takes as few as hold the network.

    Raises UserError where none does.
    """
    best = attempt(None)
    cores = best.mapped.mapping.cores
    while 0 < cores < most:
        cores = min(2 * cores, most)
        try:
            other = attempt(cores)
        except UserError:
            break
        if other.mapped.mapping.cores <= best.mapped.mapping.cores or other.time > (1 - GAIN) * best.time:
            break
        best = other
    return best


def choose_slack(sized: float, attempt: Callable[[int], float], most: float) -> int | None:
    """The least slack that is about as fast as the best, `most` at most; None where the sized slots are, which take
    `sized`."""
    times: dict[int | None, float] = {None: sized} | {slack: attempt(slack) for slack in SLACKS if slack <= most}
    least = min(times.values())
    return next(slack for slack, time in times.items() if time <= (1 + GAIN / 2) * least)
