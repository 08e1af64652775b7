"""Liveness and speed of marked graphs, against their execution."""

import time
from itertools import permutations

import numpy as np
import pytest
from gossamer.passes.solvers.marked_graph import (
    CoreEdges,
    DeadlockError,
    certify,
    check_certificate,
    critical_cycle,
    max_cycle_ratio,
)

STEPS = 60


def edges_of(*rows: tuple[int, int, int, int]) -> CoreEdges:
    """Edges (source, target, dmin, dmax)."""
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    return CoreEdges(*columns)


def drawn(generator: np.random.Generator, cores: int, density: float = 0.4) -> tuple[CoreEdges, np.ndarray]:
    """Random edges and slots."""
    source, target = np.nonzero((generator.random((cores, cores)) < density) & ~np.eye(cores, dtype=bool))
    dmin = generator.integers(0, 4, len(source))
    edges = CoreEdges(source, target, dmin, dmin + generator.integers(0, 4, len(source)))
    return edges, generator.integers(1, 9, len(source))


def runs(cores: int, edges: CoreEdges, slots: np.ndarray) -> bool:
    """Whether all steps are done, by the firing rules, in any order."""
    step, moved = [0] * cores, True
    arcs = list(zip(edges.source, edges.target, edges.dmin, edges.dmax, slots, strict=True))
    hears = [[(p, dmin) for p, c, dmin, _, _ in arcs if c == core] for core in range(cores)]
    feeds = [[(c, width - dmax) for p, c, _, dmax, width in arcs if p == core] for core in range(cores)]
    while moved:
        moved = False
        for core in range(cores):
            t = step[core]
            if (
                t < STEPS
                and all(step[p] > t - dmin for p, dmin in hears[core] if t >= dmin)
                and all(step[c] > min(t - ahead, STEPS - 1) for c, ahead in feeds[core] if t >= ahead)
            ):
                step[core], moved = t + 1, True
    return all(done == STEPS for done in step)


def tokens(cycle: list[int], edges: CoreEdges, slots: np.ndarray) -> int:
    """The fewest tokens on arcs along the cycle of cores."""
    least: dict[tuple[int, int], int] = {}
    for p, c, dmin, dmax, width in zip(edges.source, edges.target, edges.dmin, edges.dmax, slots, strict=True):
        least[p, c] = min(least.get((p, c), 99), dmin)
        least[c, p] = min(least.get((c, p), 99), width - dmax)
    return sum(least[a, b] for a, b in zip(cycle, [*cycle[1:], cycle[0]], strict=True))


def test_a_graph_is_live_if_and_only_if_it_runs():
    generator = np.random.default_rng(1)
    dead = local = 0
    for _ in range(3000):
        cores = int(generator.integers(2, 8))
        edges, slots = drawn(generator, cores)
        if runs(cores, edges, slots):
            assert check_certificate(cores, edges, slots, certify(cores, edges, slots))
            continue
        with pytest.raises(DeadlockError) as caught:
            certify(cores, edges, slots)
        cycle = caught.value.cycle
        assert len(set(cycle)) == len(cycle)
        assert tokens(cycle, edges, slots) <= caught.value.tokens <= 0
        dead += 1
        local += bool(np.all(slots >= edges.dmax - edges.dmin + 1))
    assert 1000 < dead < 2900
    assert local > 20, "slots that are enough for each edge alone are not enough for all"


def test_slots_that_each_edge_alone_can_live_with_may_deadlock():
    """0 -> 1 has room while 1 reads at once; but 1 waits for 2, and 2 for the step that 0 has no room for."""
    edges = edges_of((0, 1, 1, 2), (0, 2, 0, 0), (2, 1, 0, 0))
    slots = edges.dmax - edges.dmin + 1
    for edge in range(3):
        alone = CoreEdges(*(column[[edge]] for column in (edges.source, edges.target, edges.dmin, edges.dmax)))
        assert is_live(3, alone, slots[[edge]])
    with pytest.raises(DeadlockError, match="0 tokens") as caught:
        certify(3, edges, slots)
    assert sorted(caught.value.cycle) == [0, 1, 2]
    assert not runs(3, edges, slots)


def is_live(cores: int, edges: CoreEdges, slots: np.ndarray) -> bool:
    try:
        certify(cores, edges, slots)
    except DeadlockError:
        return False
    return True


def test_one_slot_beyond_dmax_is_live_without_zero_delay_cycles():
    generator = np.random.default_rng(2)
    for _ in range(300):
        cores = int(generator.integers(2, 9))
        edges, _ = drawn(generator, cores, 0.5)
        forward = edges.source < edges.target
        dmin = np.where(forward, edges.dmin, np.maximum(edges.dmin, 1))
        edges = CoreEdges(edges.source, edges.target, dmin, np.maximum(edges.dmax, dmin))
        assert is_live(cores, edges, edges.dmax + 1)


def test_a_zero_delay_cycle_is_told_whatever_the_slots():
    with pytest.raises(DeadlockError) as caught:
        certify(4, edges_of((0, 1, 0, 0), (1, 3, 0, 2), (3, 0, 0, 5), (2, 0, 1, 1)), np.full(4, 99))
    assert sorted(caught.value.cycle) == [0, 1, 3]
    assert caught.value.tokens == 0


def test_a_wrong_certificate_is_refused():
    edges, slots = edges_of((0, 1, 0, 0), (1, 0, 1, 1)), np.array([2, 2])
    phi = certify(2, edges, slots)
    assert check_certificate(2, edges, slots, phi)
    assert not check_certificate(2, edges, slots, phi + np.array([0, 99]))
    assert not check_certificate(2, edges, slots, phi[:1])
    assert not check_certificate(2, edges, slots, phi.astype(float))
    assert not check_certificate(2, edges_of((0, 1, 0, 0), (1, 0, 0, 1)), slots, phi)


@pytest.mark.parametrize("cores", [0, 1, 5])
def test_cores_that_hear_nobody_are_live(cores: int):
    none, slots = edges_of(), np.zeros(0, np.int64)
    assert check_certificate(cores, none, slots, certify(cores, none, slots))
    assert max_cycle_ratio(np.arange(cores), none, slots) == max(cores - 1, 0)


def test_equal_edges_are_all_looked_at():
    edges = edges_of((0, 1, 3, 3), (0, 1, 0, 0), (1, 0, 0, 0))
    assert not is_live(2, edges, np.full(3, 9))


def ratio_by_enumeration(work: np.ndarray, edges: CoreEdges, slots: np.ndarray, latency: np.ndarray) -> float:
    """The largest ratio over all simple cycles, of the best arc between each two cores at each ratio tried."""
    arcs = [
        (p, c, work[c] + late, d) for p, c, d, late in zip(edges.source, edges.target, edges.dmin, latency, strict=True)
    ]
    arcs += [
        (c, p, work[p] + late, k - d)
        for p, c, d, k, late in zip(edges.source, edges.target, edges.dmax, slots, latency, strict=True)
    ]
    best, cores = float(work.max()), len(work)
    for size in range(2, cores + 1):
        for cycle in permutations(range(cores), size):
            if cycle[0] != min(cycle):
                continue
            choices = [[(t, k) for p, c, t, k in arcs if (p, c) == pair]
                       for pair in zip(cycle, [*cycle[1:], cycle[0]], strict=True)]  # fmt: skip
            totals = [(0.0, 0)]
            for choice in choices:
                totals = [(time + t, count + k) for time, count in totals for t, k in choice]
            best = max([best, *(time / count for time, count in totals)])
    return best


def test_the_ratio_is_that_of_the_slowest_cycle():
    generator = np.random.default_rng(3)
    seen = 0
    while seen < 60:
        cores = int(generator.integers(2, 5))
        edges, slots = drawn(generator, cores)
        if not is_live(cores, edges, slots):
            continue
        seen += 1
        work, latency = generator.random(cores), generator.random(len(edges))
        expected = ratio_by_enumeration(work, edges, slots, latency)
        assert max_cycle_ratio(work, edges, slots, latency) == pytest.approx(expected, rel=1e-9)


def test_the_critical_cycle_has_the_ratio():
    work, edges = np.array([3.0, 5.0]), edges_of((0, 1, 0, 0), (1, 0, 1, 1))
    ratio, cycle = critical_cycle(work, edges, np.array([9, 9]), 1.0)
    assert ratio == 10.0
    assert sorted(cycle.tolist()) == [0, 1]
    assert max_cycle_ratio(work, edges_of((0, 1, 0, 0)), np.array([1]), 1.0) == 10.0
    assert max_cycle_ratio(work, edges_of((0, 1, 0, 0)), np.array([2]), 1.0) == 5.0
    assert max_cycle_ratio(work, edges_of((0, 1, 0, 0)), None, 1.0) == 5.0


def test_256_cores_are_certified_within_a_second():
    generator = np.random.default_rng(4)
    source, target = np.nonzero((generator.random((256, 256)) < 0.31) & ~np.eye(256, dtype=bool))
    dmin = np.where(source < target, 0, 1)
    edges = CoreEdges(source, target, dmin, dmin + generator.integers(0, 4, len(source)))
    start = time.perf_counter()
    phi = certify(256, edges, edges.dmax + 1)
    with pytest.raises(DeadlockError):
        certify(256, edges, np.maximum(edges.dmax - 1, 1))
    assert time.perf_counter() - start < 1.0
    assert check_certificate(256, edges, edges.dmax + 1, phi)
