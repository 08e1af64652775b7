"""Slots: as few as keep the pace, never so few that cores wait for each other."""

import numpy as np
import pytest
from gossamer.passes.solvers.core_slots import size_slots
from gossamer.passes.solvers.marked_graph import CoreEdges, DeadlockError, certify, max_cycle_ratio


def drawn(generator: np.random.Generator, cores: int) -> CoreEdges:
    """Edges whose zero-delay ones lead forward."""
    source, target = np.nonzero((generator.random((cores, cores)) < 0.4) & ~np.eye(cores, dtype=bool))
    dmin = generator.integers(0, 3, len(source))
    dmin = np.where(source < target, dmin, np.maximum(dmin, 1))
    return CoreEdges(source, target, dmin, dmin + generator.integers(0, 4, len(source)))


def test_slots_keep_the_pace_of_unlimited_buffers():
    generator = np.random.default_rng(0)
    for _ in range(100):
        cores = int(generator.integers(2, 12))
        edges, work = drawn(generator, cores), generator.gamma(2, 50, cores)
        slots = size_slots(work, edges, 20.0)
        certify(cores, edges, slots)
        assert np.all((slots >= edges.dmax + 2) & (slots <= edges.dmax + 4))
        most = max_cycle_ratio(work, edges, edges.dmax + 4, 20.0)
        assert max_cycle_ratio(work, edges, slots, 20.0) <= max(most, 1.02 * max_cycle_ratio(work, edges, None, 20.0))


def test_messages_that_take_long_get_more_slots():
    edges = CoreEdges(*np.array([[0, 1, 0, 0], [1, 2, 0, 0]]).T)
    work = np.full(3, 100.0)
    assert size_slots(work, edges).tolist() == [2, 2]
    assert size_slots(work, edges, np.array([80.0, 0.0])).tolist() == [4, 2]


def test_memory_bounds_the_rings():
    edges = CoreEdges(*np.array([[0, 1, 0, 3], [1, 0, 2, 2]]).T)
    work, bytes_each = np.full(2, 100.0), np.array([10.0, 10.0])
    assert size_slots(work, edges, 0.0, bytes_each, 40.0).tolist() == [4, 4]
    assert size_slots(work, edges, 0.0, bytes_each, np.array([100.0, 49.0])).tolist() == [4, 4]
    with pytest.raises(DeadlockError):
        size_slots(work, edges, 0.0, bytes_each, 19.0)
    assert size_slots(work, edges, 0.0, np.zeros(2), 1.0).tolist() == [5, 4]


def test_no_edges_need_no_slots():
    none = CoreEdges(*np.zeros((4, 0), np.int64))
    assert len(size_slots(np.ones(3), none)) == 0
    assert len(size_slots(np.zeros(0), none)) == 0
