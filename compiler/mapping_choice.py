"""By which method, on how many cores, with how many slots: the mapping that is fastest on the profile.

Where neighbours talk, parts of the network that talk much are best kept together; where all hear all, neurons are best
spread so that cores are equally busy at every time; between lie partitions that give up some evenness for fewer
packets, or packets for steadier work: all are tried.
More cores share the work, but each costs its own step, more packets and more edges. Twice as many are tried as long as
that helps; then slots, from as few as the mean work asks for to as many as still help. Near the best, fewer are taken.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ..dialects.diagnostics import UserError
from .mapping import Mapped

METHODS = ("multilevel", "spread", "loose", "steady")
FIRST = 2
"""The partitioners that are tried; to choose the number of cores, so many."""
GAIN = 0.02
"""Twice the cores have to save this part of the time, more slots half of it; near the best, the first method does."""
SLACKS = (2, 3, 4, 6, 8, 16, 32)
"""Slots over the longest delay that are tried beside those that the mean work asks for."""


@dataclass(frozen=True)
class Tried:
    """A mapping and the time of the profile on it, in nanoseconds."""

    mapped: Mapped
    time: float


@dataclass(frozen=True)
class Search:
    """What mappings are made and compared by: `onto(cores, method)` makes one, `time(mapped, slack)` is the time of the
    profile on it, with `slack` slots over the longest delay of each edge or with its own (None). Cores keep spikes for
    `delay` steps (None: for any); slots are chosen where they are not `fixed`.
    """

    onto: Callable[[int | None, str], Mapped]
    time: Callable[[Mapped, int | None], float]
    delay: int | None
    fixed: bool
    methods: Sequence[str] = METHODS

    def mapped(self, cores: int | None) -> Mapped:
        """The fastest on so many cores; None: on as few as hold the network."""
        return self.attempt(self.methods, cores).mapped

    def mapped_up_to(self, most: int) -> Mapped:
        """The fastest on any number of cores up to `most`."""
        first, finer = self.methods[:FIRST], self.methods[FIRST:]
        best = choose_cores(partial(self.attempt, first), most)
        later = partial(self.attempt, finer, best.mapped.mapping.cores)
        return fastest([lambda: best, *([later] if finer else [])]).mapped

    def attempt(self, methods: Sequence[str], cores: int | None) -> Tried:
        """The fastest by some methods, each with as many slots as there can be."""
        return fastest([partial(self.tried, cores, method) for method in methods])

    def tried(self, cores: int | None, method: str) -> Tried:
        mapped = self.onto(cores, method)
        return Tried(mapped, self.time(mapped, max(self.slacks(mapped), default=None)))

    def slacks(self, mapped: Mapped) -> list[int]:
        """The slacks that are to be tried."""
        return [] if self.fixed else slacks_of(self.delay, int(mapped.mapping.edges.dmax.max(initial=0)))

    def slack(self, mapped: Mapped) -> int | None:
        """The slack to give a mapping; None: it keeps its slots."""
        slacks = self.slacks(mapped)
        return choose_slack(slacks, partial(self.time, mapped)) if slacks else None


def fastest(attempts: Sequence[Callable[[], Tried]]) -> Tried:
    """The first of several that is about as fast as the best; one that does not fit is no choice.

    Raises the UserError of the first where none fits.
    """
    tried, errors = [], []
    for attempt in attempts:
        try:
            tried.append(attempt())
        except UserError as error:
            errors.append(error)
    if not tried:
        raise errors[0]
    least = min(each.time for each in tried)
    return next(each for each in tried if each.time <= (1 + GAIN) * least)


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


def slacks_of(delay: int | None, longest: int) -> list[int]:
    """The slacks to try on cores that keep spikes for `delay` steps (None: for any), where synapses take `longest`."""
    return [slack for slack in SLACKS if delay is None or longest + slack <= delay]


def choose_slack(slacks: Sequence[int], attempt: Callable[[int | None], float]) -> int | None:
    """The least slack that is about as fast as the best; None, where that will do, for the sized slots."""
    times = {slack: attempt(slack) for slack in (None, *slacks)}
    least = min(times.values())
    return next(slack for slack, time in times.items() if time <= (1 + GAIN / 2) * least)
