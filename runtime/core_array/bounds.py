"""Why a run is not faster: bounds that no schedule beats, and what each thing in the way costs over them.

    work / cores      all cores busy all the time
    + spatial         the busiest core has more to do than the mean        -> balance the mapping
    + temporal        cores are busy at different times, and wait          -> spread neurons that fire together
    + network         packets take time                                    -> place cores that talk nearer
    + buffers         producers wait for slots                             -> more slots
    + synchronisation messages cost time, and come late when batched       -> groups, batches
    = makespan

Each is the difference of two re-timings of the same counts, so they add up exactly.
"""

from dataclasses import dataclass

import numpy as np

from .barriers import Barrier
from .control import progress
from .machine import Machine
from .mapping import Mapping
from .traffic import Traffic
from .waits import finish


@dataclass(frozen=True)
class Bounds:
    """Nanoseconds: `work` shared evenly; `core`, the busiest; `path`, the longest chain of data under this mapping."""

    work: float
    core: float
    path: float


@dataclass(frozen=True)
class Losses:
    """Nanoseconds over the work bound, by cause."""

    spatial: float
    temporal: float
    network: float
    buffers: float
    synchronisation: float

    @property
    def total(self) -> float:
        return self.spatial + self.temporal + self.network + self.buffers + self.synchronisation


def explain(
    mapping: Mapping, machine: Machine, traffic: Traffic, work: np.ndarray, makespan: float, known: np.ndarray | None
) -> tuple[Bounds, Losses]:
    """Bounds and losses of a run by dependencies."""
    endless = progress(mapping, machine, traffic, batch=1, unlimited=True, known=known).waits
    limited = progress(mapping, machine, traffic, batch=1, known=known).waits
    work_bound, core_bound = simple_bounds(work)
    padded = np.concatenate((work, np.zeros((len(work), endless.nodes - work.shape[1]))), axis=1)
    free = last(finish(endless.at_once(), padded))
    routed = last(finish(endless, padded))
    padded = np.concatenate((work, np.zeros((len(work), limited.nodes - work.shape[1]))), axis=1)
    roomy = last(finish(limited, padded))
    losses = Losses(core_bound - work_bound, free - core_bound, routed - free, roomy - routed, makespan - roomy)
    return Bounds(work_bound, core_bound, routed), losses


def explain_barrier(work: np.ndarray, run: Barrier, path: float) -> tuple[Bounds, Losses]:
    """Bounds and losses of a run in lockstep."""
    work_bound, core_bound = simple_bounds(work)
    temporal = run.makespan - run.network - run.sync - core_bound
    return Bounds(work_bound, core_bound, path), Losses(core_bound - work_bound, temporal, run.network, 0.0, run.sync)


def simple_bounds(work: np.ndarray) -> tuple[float, float]:
    """All work shared evenly, and the work of the busiest core."""
    each = work.sum(axis=0)
    return (float(each.mean()), float(each.max())) if len(each) else (0.0, 0.0)


def last(done: np.ndarray) -> float:
    return float(done.max(initial=0.0))
