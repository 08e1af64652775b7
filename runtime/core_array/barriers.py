"""What a global barrier makes of the same work: the three baselines of dependency-driven execution.

    sequential    a step runs its layers one after the other, then all cores meet:  sum_t max_c (path to c) + sync
    pipelined     layer l runs step s - l in superstep s, and all cores meet:  sum_s max_c W(c, s - level c) + L + sync
    cheap         the same, with the ideal sync of `Machine.cheap_barrier`

L is the longest latency of an edge: packets have to be there before the next superstep. Where spikes of a late layer
reach an early one sooner than the layers between take, only every second (third, ...) superstep begins a step. Slots
are taken to suffice: a pipeline needs as many over the longest delay as its layers are apart.
"""

from dataclasses import dataclass

import numpy as np

from .machine import Machine
from .mapping import Mapping, latency
from .waits import Waits


@dataclass(frozen=True)
class Barrier:
    """When each core is done with each step, float [steps, cores], when all are done, and what of it is meeting."""

    finish: np.ndarray
    makespan: float
    rounds: int
    sync: float
    network: float


def sync_time(table: tuple[tuple[int, float], ...], tiles: int) -> float:
    """The time of a barrier over `tiles`: straight lines between the entries of its table, flat beyond."""
    if not table:
        return 0.0
    return float(np.interp(tiles, [size for size, _ in table], [time for _, time in table]))


def levels(mapping: Mapping) -> np.ndarray:
    """The layer of each core: its longest path of edges without delay, int64 [cores]."""
    now = mapping.edges.dmin == 0
    source, target = mapping.edges.source[now].astype(np.int64), mapping.edges.target[now].astype(np.int64)
    none = np.zeros(len(source), np.int64)
    return Waits(mapping.cores, source, target, none, none, none).order


def skews(mapping: Mapping) -> tuple[int, np.ndarray]:
    """The fastest pipeline: core c runs its step t in superstep period * t + skew[c], after all that it hears of."""
    edges = mapping.edges
    slowest = int(levels(mapping).max(initial=0)) + 1  # one layer after the other: always possible
    skew = np.zeros(mapping.cores, np.int64)
    for period in range(1, slowest + 1):
        behind = 1 - period * edges.dmin.astype(np.int64)
        least = np.zeros(mapping.cores, np.int64)
        for _ in range(mapping.cores + 1):
            skew = least.copy()
            np.maximum.at(least, edges.target, skew[edges.source] + behind)
            if np.array_equal(least, skew):
                return period, skew
    return slowest, skew


def longest_latency(mapping: Mapping, machine: Machine, among: np.ndarray) -> float:
    """The latency of the longest edge from these cores."""
    own = among[mapping.edges.source]
    ends = mapping.place[mapping.edges.source[own]], mapping.place[mapping.edges.target[own]]
    return float(latency(machine, *ends).max(initial=0.0))


def sequential(mapping: Mapping, machine: Machine, work: np.ndarray) -> Barrier:
    """Layer after layer, then a measured barrier."""
    level, edges = levels(mapping), mapping.edges
    delay = latency(machine, mapping.place[edges.source], mapping.place[edges.target])
    done = work.copy()
    for layer in range(1, int(level.max(initial=0)) + 1):
        inside = np.flatnonzero((edges.dmin == 0) & (level[edges.target] == layer))
        inside = inside[np.argsort(edges.target[inside], kind="stable")]
        cores, starts = np.unique(edges.target[inside], return_index=True)
        arrived = done[:, edges.source[inside]] + delay[inside]
        done[:, cores] = np.maximum.reduceat(arrived, starts, axis=1) + work[:, cores]
    sync = sync_time(machine.barrier, mapping.tiles(machine))
    ends = np.cumsum(done.max(axis=1, initial=0.0) + sync)
    begins = np.concatenate(([0.0], ends))[:-1]
    makespan = float(ends[-1]) if len(ends) else 0.0
    return Barrier(done + begins[:, None], makespan, len(work), len(work) * sync, 0.0)


def pipelined(
    mapping: Mapping,
    machine: Machine,
    work: np.ndarray,
    table: tuple[tuple[int, float], ...],
    among: np.ndarray | None = None,
) -> Barrier:
    """All layers at once, each a step behind the one before it; supersteps end in a barrier `among` these cores."""
    steps, cores = work.shape
    among = np.ones(cores, bool) if among is None else among
    period, skew = skews(mapping)
    skew *= among
    rounds = period * (steps - 1) + int(skew.max(initial=0)) + 1 if steps else 0
    skewed = np.zeros((rounds, cores))
    when = period * np.arange(steps)[:, None] + skew
    skewed[when, np.arange(cores)] = work * among
    network = longest_latency(mapping, machine, among)
    sync = sync_time(table, len(np.unique(mapping.place[among] // machine.cores_per_tile)))
    ends = np.cumsum(skewed.max(axis=1, initial=0.0) + network + sync)
    begins = np.concatenate(([0.0], ends))
    makespan = float(begins[-1])
    return Barrier(begins[when] + work, makespan, rounds, rounds * sync, rounds * network)


def baselines(mapping: Mapping, machine: Machine, work: np.ndarray) -> dict[str, Barrier]:
    """All three."""
    return {
        "sequential": sequential(mapping, machine, work),
        "pipelined": pipelined(mapping, machine, work, machine.barrier),
        "cheap": pipelined(mapping, machine, work, machine.cheap_barrier),
    }
