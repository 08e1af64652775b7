"""Barriers against the same told in loops."""

import numpy as np
import pytest
from gossamer.runtime.core_array.barriers import baselines, levels, pipelined, skews, sync_time
from gossamer.runtime.core_array.mapping import Mapping, latency
from gossamer.runtime.spiking.arrays import Synapses
from gossamer.tests.runtime.core_array.networks import machine, mapped, network


def test_a_barrier_takes_what_its_table_says_and_lines_between():
    table = ((1, 100.0), (3, 300.0), (5, 400.0))
    assert [sync_time(table, tiles) for tiles in (1, 2, 3, 4, 5, 99)] == [100.0, 200.0, 300.0, 350.0, 400.0, 400.0]
    assert sync_time((), 4) == 0.0


def schedule(mapping: Mapping, steps: int) -> np.ndarray:
    """The superstep of each step of each core, the first after all that it hears of, on the least even beat."""
    edges = mapping.edges
    for period in range(1, 99):
        when = np.zeros((steps, mapping.cores), int) + period * np.arange(steps)[:, None]
        skew = np.zeros(mapping.cores, int)
        for _ in range(mapping.cores * mapping.cores + 1):
            for s, t, d in zip(edges.source, edges.target, edges.dmin, strict=True):
                skew[t] = max(skew[t], skew[s] + 1 - period * d)
        if all(skew[edges.target] >= skew[edges.source] + 1 - period * edges.dmin):
            return when + skew
    raise AssertionError("no schedule")


def test_a_pipeline_slows_down_for_spikes_that_come_back_soon():
    chain = Synapses.of(3, np.array([0, 1, 2]), np.array([1, 2, 0]), np.ones(3, np.int32), np.array([0, 0, 1]))
    period, skew = skews(Mapping.of(chain, np.arange(3)))
    assert (period, skew.tolist()) == (3, [0, 1, 2])
    slow = Synapses.of(3, chain.source, chain.target, chain.weight, np.array([0, 0, 3]))
    assert skews(Mapping.of(slow, np.arange(3)))[0] == 1


@pytest.mark.parametrize("seed", range(30))
def test_baselines_are_those_of_loops(seed):
    net = network(seed, zero_delay=bool(seed % 3))
    mapping, array = mapped(net, seed, host=bool(seed % 2)), machine()
    edges, steps, cores = mapping.edges, 9, mapping.cores
    work = np.random.default_rng(seed).uniform(0, 100, (steps, cores))
    delay = latency(array, mapping.place[edges.source], mapping.place[edges.target])
    level = np.zeros(cores, int)
    for _ in range(cores):
        for s, t, d in zip(edges.source, edges.target, edges.dmin, strict=True):
            level[t] = max(level[t], level[s] + 1) if d == 0 else level[t]
    np.testing.assert_array_equal(levels(mapping), level)
    tiles = mapping.tiles(array)
    sequential = 0.0
    for step in range(steps):
        done = np.zeros(cores)
        for core in np.argsort(level, kind="stable"):
            into = [e for e in range(len(edges)) if edges.target[e] == core and edges.dmin[e] == 0]
            done[core] = work[step, core] + max((done[edges.source[e]] + delay[e] for e in into), default=0.0)
        sequential += done.max() + sync_time(array.barrier, tiles)
    when = schedule(mapping, steps)
    rounds = int(when.max()) + 1
    supersteps = rounds * delay.max(initial=0.0)
    for superstep in range(rounds):
        supersteps += max(work[when == superstep], default=0.0)
    found = {name: each.makespan for name, each in baselines(mapping, array, work).items()}
    assert found["sequential"] == pytest.approx(sequential)
    assert found["pipelined"] == pytest.approx(supersteps + rounds * sync_time(array.barrier, tiles))
    assert found["cheap"] == pytest.approx(supersteps + rounds * sync_time(array.cheap_barrier, tiles))


def test_cores_in_lockstep_are_done_in_the_order_of_steps_and_before_the_end():
    net = network(1)
    mapping, array = mapped(net, 1), machine()
    work = np.random.default_rng(1).uniform(1, 100, (9, mapping.cores))
    for run in baselines(mapping, array, work).values():
        assert (np.diff(run.finish, axis=0) > 0).all()
        assert run.finish.max() <= run.makespan
    assert pipelined(mapping, array, work[:0], array.barrier).makespan == 0.0
