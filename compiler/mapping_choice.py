"""By which method, on how many cores, with how many slots: the mapping that is fastest on the profile.

Where neighbours talk, parts of the network that talk much are best kept together; where all hear all, neurons are best
spread so that cores are equally busy at every time; between lie partitions that give up some evenness for fewer
packets, or packets for steadier work: all are tried.
More cores share the work, but each costs its own step, more packets and more edges. Twice as many are tried as long as
that helps, by the method that takes least time; the next where that found the best, and with more cores as long as it
gains by them; the finer ones on the best number. Then slots, from as few as the mean work asks for to as many as still
help. Near the best, fewer are taken. All on arrays: the program is written once, for what was chosen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..passes.partition_cores import capacity_of
from ..passes.solvers.core_capacity import CapacityError
from ..passes.solvers.core_partition import partition
from ..passes.solvers.core_placement import place
from ..passes.solvers.core_slots import size_slots
from ..passes.solvers.core_usage import traffic, usage
from ..passes.solvers.neuron_graph import NeuronGraph
from ..runtime.core_array.machine import Machine
from ..runtime.core_array.mapping import Mapping, latency
from ..runtime.core_array.recording import Recording
from ..runtime.core_array.simulator import makespan
from .mapping import array_op, joined

METHODS = ("spread", "multilevel", "loose", "steady")
"""The partitioners that are tried, the one that takes least time first."""
FINER = 2
"""So many of them choose the number of cores; the others take the best."""
GAIN = 0.02
"""Twice the cores have to save this part of the time, more slots half of it; near the best, the first method does."""
SLACKS = (2, 3, 4, 6, 8, 16, 32)
"""Slots over the longest delay that are tried beside those that the mean work asks for."""


@dataclass(frozen=True)
class Tried:
    """A mapping, the method it was made by, and the time of the profile on it, in nanoseconds."""

    mapping: Mapping
    method: str
    time: float


@dataclass(frozen=True)
class Candidates:
    """Mappings of a network onto a machine, by a profile of it."""

    graph: NeuronGraph
    profile: Recording
    machine: Machine
    policy: str
    seed: int
    slack: int | None = None
    """Slots over the longest delay of each edge; None: as many as are fastest."""

    def tried(self, method: str, cores: int | None) -> Tried:
        """One mapping, with as many slots as there can be. Raises `CapacityError` where the network does not fit."""
        core = partition(self.graph, capacity_of(array_op(self.machine)), cores, self.seed, method)
        core[core >= 0] = np.unique(core[core >= 0], return_inverse=True)[1]
        where = place(traffic(self.graph, core), self.machine.mesh, self.machine.cores_per_tile)
        mapping = Mapping.of(self.profile.synapses, core, where)
        slack = max(self.slacks(mapping), default=None) if self.slack is None else self.slack
        mapping = self.with_slack(mapping, slack)
        return Tried(mapping, method, self.time(mapping))

    def time(self, mapping: Mapping) -> float:
        """Nanoseconds of the profile on a mapping."""
        return makespan(self.profile, mapping, self.machine, policy=self.policy)

    def slacks(self, mapping: Mapping) -> list[int]:
        """The slacks to try: those with which no spike is kept longer than the machine's longest delay."""
        delay, longest = self.machine.limits.delay, int(mapping.edges.dmax.max(initial=0))
        return [slack for slack in SLACKS if delay is None or longest + slack <= delay]

    def with_slack(self, mapping: Mapping, slack: int | None) -> Mapping:
        """With so many slots over the longest delay; None: those that the mean work of the cores asks for."""
        if slack is not None:
            return mapping.with_slots(mapping.edges.dmax + slack)
        edges, work = mapping.edges, usage(self.graph, mapping.core, mapping.cores).work
        ends = mapping.place[edges.source], mapping.place[edges.target]
        return mapping.with_slots(size_slots(work, joined(edges), latency(self.machine, *ends)))

    def best_slack(self, mapping: Mapping) -> int | None:
        """The least slack that is about as fast as any; None where sized slots are."""
        if self.slack is not None:
            return self.slack
        return choose_slack(self.slacks(mapping), lambda slack: self.time(self.with_slack(mapping, slack)))


def choose(attempts: Sequence[Callable[[int | None], Tried]], cores: int | None, most: int) -> Tried:
    """The fastest mapping, of several methods, on `cores` of `most`; without `cores` on as many as are fastest.

    A method that cannot do it is no choice. Raises the `CapacityError` of the first where none can.
    """
    errors: list[CapacityError] = []

    def fitting(attempt: Callable[..., Tried], *options: object) -> list[Tried]:
        try:
            return [attempt(*options)]
        except CapacityError as error:
            errors.append(error)
            return []

    if cores is not None:
        found = [tried for attempt in attempts for tried in fitting(attempt, cores)]
    else:
        found = fitting(choose_cores, attempts[0], None, most)
        start = found[0].mapping.cores if found else None
        found += [tried for attempt in attempts[1:FINER] for tried in fitting(choose_cores, attempt, start, most)]
        if found:
            best = fastest(found)
            finer = [fitting(attempt, best.mapping.cores) for attempt in attempts[FINER:]]
            found = [best, *(tried for each in finer for tried in each)]
    if not found:
        raise errors[0]
    return fastest(found)


def fastest(tried: Sequence[Tried]) -> Tried:
    """The first of several that is about as fast as the best."""
    least = min(each.time for each in tried)
    return next(each for each in tried if each.time <= (1 + GAIN) * least)


def choose_cores(attempt: Callable[[int | None], Tried], cores: int | None, most: int) -> Tried:
    """The mapping that is fastest on `cores` or more of them; None stands for as few as hold the network.

    Raises `CapacityError` where the first does not fit.
    """
    best = attempt(cores)
    count = best.mapping.cores
    while 0 < count < most:
        count = min(2 * count, most)
        try:
            other = attempt(count)
        except CapacityError:
            break
        if other.mapping.cores <= best.mapping.cores or other.time > (1 - GAIN) * best.time:
            break
        best = other
    return best


def choose_slack(slacks: Sequence[int], attempt: Callable[[int | None], float]) -> int | None:
    """The least slack that is about as fast as the best; None, where that will do, for the sized slots."""
    times = {slack: attempt(slack) for slack in (None, *slacks)}
    least = min(times.values())
    return next(slack for slack, time in times.items() if time <= (1 + GAIN / 2) * least)
