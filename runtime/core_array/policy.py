"""How each region of a core array keeps its steps apart: by dependencies, through collectors, or in lockstep.

Regions are parts of the mapping that no edge joins. All are timed from the same counts, and the cheapest is taken: the
fastest, and among those within `NEAR` of it the one that sends fewest messages. No region is slower than in lockstep
with the ideal barrier, because that is among the choices.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from .barriers import Barrier, pipelined
from .control import FOREVER, Progress, progress
from .groups import dense_blocks
from .machine import Machine
from .mapping import NO_GROUP, Mapping
from .traffic import Traffic
from .waits import finish

NEAR = 0.03
POLICIES = ("auto", "dependency", "group", "barrier")


@dataclass(frozen=True)
class Execution:
    """A run under a policy: `finish` and `work` [steps, nodes], control messages included; `rounds` of barriers."""

    mapping: Mapping
    progress: Progress
    work: np.ndarray
    finish: np.ndarray
    batch: int = FOREVER
    lockstep: tuple[Barrier, ...] = ()

    @property
    def makespan(self) -> float:
        return max([float(self.finish.max(initial=0.0)), *(run.makespan for run in self.lockstep)])

    @property
    def rounds(self) -> int:
        return max((run.rounds for run in self.lockstep), default=0)


@dataclass(frozen=True)
class Case:
    """What is to be timed: a recording's counts under a mapping, and the work they make."""

    mapping: Mapping
    machine: Machine
    traffic: Traffic
    work: np.ndarray
    known: np.ndarray | None = None

    def by_dependency(self, group: np.ndarray, batch: int = FOREVER, barrier: np.ndarray | None = None) -> Execution:
        """Every core as soon as its inputs are complete; edges of a group through its collector."""
        lockstep = np.zeros(self.mapping.cores, bool) if barrier is None else barrier
        mapping = replace(self.mapping, group=group, barrier=lockstep)
        streams = progress(mapping, self.machine, self.traffic, batch=batch, known=self.known)
        work = streams.sends * self.machine.time.control
        work[:, : mapping.cores] += self.work
        return Execution(mapping, streams, work, finish(streams.waits, work), batch)

    def in_lockstep(self, run: Execution, regions: list[np.ndarray]) -> Execution:
        """The same with some regions in lockstep."""
        barrier = np.zeros(self.mapping.cores, bool)
        for region in regions:
            barrier |= region
        mixed = self.by_dependency(run.mapping.group, run.batch, barrier)
        done, found = mixed.finish.copy(), []
        for region in regions:
            found.append(self.lockstep(region))
            done[:, : self.mapping.cores][:, region] = found[-1].finish[:, region]
        return replace(mixed, finish=done, lockstep=tuple(found))

    def lockstep(self, region: np.ndarray) -> Barrier:
        return pipelined(self.mapping, self.machine, self.work, self.machine.cheap_barrier, region)


def execute(case: Case, policy: str) -> Execution:
    """The run of a case under one of `POLICIES`; `dependency` takes groups and barriers as the mapping has them."""
    mapping, alone = case.mapping, np.full(len(case.mapping.edges), NO_GROUP, np.int32)
    if policy == "barrier":
        return case.in_lockstep(case.by_dependency(alone), list(regions_of(mapping)))
    if policy == "group":
        return case.by_dependency(dense_blocks(mapping))
    if policy == "dependency":
        run = case.by_dependency(mapping.group)
        forced = [region for region in regions_of(mapping) if mapping.barrier[region].any()]
        return case.in_lockstep(run, forced) if forced else run
    best = cheapest(case, alone)
    slow = [region for region in regions_of(mapping) if lagging(case, best, region)]
    return case.in_lockstep(best, slow) if slow else best


def cheapest(case: Case, alone: np.ndarray) -> Execution:
    """The best of batched and eager progress with and without collectors, then with each dense block the other way."""
    blocks = dense_blocks(case.mapping)
    best = case.by_dependency(alone)
    batches = (FOREVER,) if best.progress.waits.late is None else (FOREVER, 1)
    for batch in batches:
        for group in [alone, blocks] if (blocks != NO_GROUP).any() else [alone]:
            best = better(best, case.by_dependency(group, batch))
    for block in np.unique(blocks[blocks != NO_GROUP]):
        group = best.mapping.group.copy()
        inside = blocks == block
        group[inside] = block if (group[inside] == NO_GROUP).all() else NO_GROUP
        best = better(best, case.by_dependency(group, best.batch))
    return best


def better(one: Execution, other: Execution) -> Execution:
    """The faster, or the one that sends less where they are near."""
    if min(one.makespan, other.makespan) < (1 - NEAR) * max(one.makespan, other.makespan):
        return one if one.makespan < other.makespan else other
    return one if one.progress.messages <= other.progress.messages else other


def lagging(case: Case, run: Execution, region: np.ndarray) -> bool:
    """Would a region be done earlier in lockstep?"""
    done = run.finish[:, : case.mapping.cores][:, region]
    return case.lockstep(region).makespan < float(done.max(initial=0.0))


def regions_of(mapping: Mapping) -> Iterator[np.ndarray]:
    """Cores that edges join, as bool [cores] each."""
    ends = mapping.edges.source, mapping.edges.target
    graph = sparse.coo_array((np.ones(len(mapping.edges)), ends), shape=(mapping.cores, mapping.cores))
    count, label = csgraph.connected_components(graph, directed=False)
    for number in range(count):
        yield label == number
