"""Finish times against a walk from event to event, and liveness against running out of steps that may start."""

import numpy as np
import pytest
from gossamer.runtime.core_array.paths import ITSELF, arrivals, causes, critical_path
from gossamer.runtime.core_array.waits import DeadlockError, Waits, finish


def random_waits(rng: np.random.Generator, nodes: int, steps: int, batched: bool) -> Waits:
    count = int(rng.integers(0, 3 * nodes))
    before, after = rng.integers(0, nodes, (2, count))
    apart = before != after
    before, after = before[apart], after[apart]
    lag = rng.integers(-1, 5, len(before))
    late = None
    if batched:
        spare = np.maximum(lag - 1, 0)
        late = rng.integers(0, spare + 1, (steps, len(lag)))
        late = np.minimum(late, np.arange(steps)[::-1][:, None])
    slack = lag if late is None else lag - np.maximum(lag - 1, 0)
    return Waits(nodes, before, after, lag, rng.uniform(0, 9, len(lag)), slack, late)


def walked(waits: Waits, work: np.ndarray) -> np.ndarray | None:
    """Start whatever may start until nothing may; None where steps are left."""
    steps, nodes = work.shape
    done = np.full((steps, nodes), np.nan)
    moved = True
    while moved:
        moved = False
        for node in range(nodes):
            open_steps = np.flatnonzero(np.isnan(done[:, node]))
            if not len(open_steps):
                continue
            step = int(open_steps[0])
            ready = [0.0] if step == 0 else [done[step - 1, node]]
            for wait in np.flatnonzero(waits.after == node):
                row = min(step - waits.lag[wait], steps - 1)
                if row >= 0:
                    told = row + (0 if waits.late is None else waits.late[row, wait])
                    ready.append(done[told, waits.before[wait]] + waits.latency[wait])
            if not np.isnan(ready).any():
                done[step, node] = max(ready) + work[step, node]
                moved = True
    return None if np.isnan(done).any() else done


@pytest.mark.parametrize("batched", [False, True])
def test_finish_times_are_those_of_every_event_walked(batched):
    live = dead = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        # Long enough for every cycle without a token to close before the run is over.
        nodes, steps = int(rng.integers(1, 7)), 30
        waits, work = random_waits(rng, nodes, steps, batched), rng.uniform(0, 20, (steps, nodes))
        expected = walked(waits, work)
        if expected is None:
            dead += 1
            with pytest.raises(DeadlockError):
                finish(waits, work)
        elif batched:
            # What is told late may never be late enough to close a cycle, and is refused all the same.
            try:
                np.testing.assert_allclose(finish(waits, work), expected)
                live += 1
            except DeadlockError:
                continue
        else:
            np.testing.assert_allclose(finish(waits, work), expected)
            live += 1
    assert live > 50
    assert dead > 20


def test_a_deadlock_names_the_cores_on_its_cycle():
    ends = np.array([0, 1, 2, 2]), np.array([1, 2, 0, 3])
    waits = Waits(5, *ends, np.array([0, 2, -2, 0]), np.zeros(4), np.array([0, 2, -2, 0]))
    with pytest.raises(DeadlockError, match="each core waits for the next") as error:
        finish(waits, np.ones((9, 5)))
    assert sorted(error.value.cores) == [0, 1, 2]
    asked = dict(zip(ends[1].tolist()[:3], ends[0].tolist()[:3], strict=True))
    cycle = error.value.cores
    assert all(asked[core] == following for core, following in zip(cycle, cycle[1:] + cycle[:1], strict=True))


def test_nodes_that_wait_for_nobody_run_through():
    none = np.zeros(0, int)
    work = np.random.default_rng(0).uniform(1, 2, (7, 3))
    np.testing.assert_allclose(finish(Waits(3, none, none, none, none, none), work), work.cumsum(axis=0))
    assert finish(Waits(3, none, none, none, none, none), work[:0]).shape == (0, 3)


def test_the_critical_path_adds_up_to_the_makespan():
    live = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        waits, work = random_waits(rng, 5, 20, batched=False), rng.uniform(1, 20, (20, 5))
        if walked(waits, work) is None:
            continue
        live += 1
        done = finish(waits, work)
        cause = causes(waits, done)
        path, total = critical_path(waits, done), 0.0
        for node, step in path:
            wait = int(cause[step, node])
            total += work[step, node]
            if wait != ITSELF:
                total += waits.latency[wait]
                assert arrivals(waits, done)[step, wait] == pytest.approx(done[step, node] - work[step, node])
        assert path[-1][1] == 0
        assert total == pytest.approx(done.max())
    assert live > 10
