"""How many step slots does each core edge need?

K = dmax + 1 slots are live, but a producer then waits for its zero-delay consumer after every step; one slot more is
a double buffer. Work that fluctuates asks for more than its mean shows, so edges start with dmax + 2; those on the
cycle that sets the pace get more, up to dmax + 4, while that makes a step faster. Pure mathematics.
"""

import numpy as np

from .marked_graph import CoreEdges, DeadlockError, certify, critical_cycle, max_cycle_ratio

START, MOST = 2, 4
"""Slots beyond dmax at first, and at most."""
WITHIN = 0.02
"""A step may take so much longer than with unlimited buffers."""


def size_slots(
    work: np.ndarray,
    edges: CoreEdges,
    latency: np.ndarray | float = 0.0,
    slot_bytes: np.ndarray | None = None,
    budget: np.ndarray | float | None = None,
) -> np.ndarray:
    """The slots of each edge, int64 [edges]: as few as keep a step within 2 % of unlimited, or as memory allows.

    A core has one ring for all its in-edges, as long as the longest of them asks; a slot of it takes slot_bytes[core]
    of budget[core]. Raises `DeadlockError` where memory leaves too few slots to run.
    """
    cores, dmax = len(work), np.asarray(edges.dmax, np.int64)
    most = dmax + MOST
    if slot_bytes is not None and budget is not None:
        ring = np.floor(np.broadcast_to(budget, cores) / np.maximum(slot_bytes, 1e-300)).clip(0, 2**40)
        most = np.minimum(most, ring.astype(np.int64)[edges.target])
    slots = live(cores, edges, np.minimum(dmax + START, most), most)
    goal = (1 + WITHIN) * max_cycle_ratio(work, edges, None, latency)
    while True:
        ratio, cycle = critical_cycle(work, edges, slots, latency)
        wider = widened(cycle, slots, most)
        if ratio <= goal or wider is None:
            certify(cores, edges, slots)
            return slots
        slots = wider


def live(cores: int, edges: CoreEdges, slots: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Slots with which the graph runs: one more along each cycle that does not, while `most` allows."""
    while True:
        try:
            certify(cores, edges, slots)
            return slots
        except DeadlockError as error:
            on = np.isin(edges.source, error.cycle) & np.isin(edges.target, error.cycle) & (slots < most)
            if not on.any():
                raise
            slots = slots + on


def widened(cycle: np.ndarray, slots: np.ndarray, most: np.ndarray) -> np.ndarray | None:
    """One slot more on each edge whose space arc is on the cycle; None where none may have more."""
    edges = cycle[cycle >= len(slots)] - len(slots)
    edges = edges[slots[edges] < most[edges]]
    if not len(edges):
        return None
    wider = slots.copy()
    wider[edges] += 1
    return wider
