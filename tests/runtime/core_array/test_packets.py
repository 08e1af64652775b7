import dataclasses

import numpy as np
import pytest
from gossamer.runtime.core_array.mapping import Mapping
from gossamer.runtime.core_array.packets import Links, deliver
from gossamer.runtime.core_array.policy import Case, execute
from gossamer.runtime.core_array.recording import Recording
from gossamer.runtime.core_array.simulator import case_of
from gossamer.runtime.spiking.arrays import Raster, Synapses
from gossamer.tests.runtime.core_array.networks import machine, mapped, network, reference


def random_case(seed: int) -> Case:
    net = network(seed, zero_delay=bool(seed % 2))
    mapping = mapped(net, seed, host=bool(seed % 3), slack=1 + seed % 4)
    return case_of(Recording.of(net.synapses, reference(net), net.inputs), mapping, machine())


@pytest.mark.parametrize("policy", ["dependency", "group", "auto", "barrier"])
def test_links_that_take_no_time_give_the_recurrence(policy):
    for seed in range(40):
        case = random_case(seed)
        run = execute(case, policy)
        np.testing.assert_allclose(deliver(case, run, np.inf).finish, run.finish, rtol=1e-9, atol=1e-6)


def test_links_that_are_shared_only_delay():
    slower = 0
    for seed in range(40):
        case = random_case(seed)
        run = execute(case, "dependency")
        crowded = deliver(case, run, 0.25)
        assert crowded.makespan >= run.makespan - 1e-6
        slower += crowded.makespan > run.makespan + 1.0
    assert slower > 20


def test_a_route_goes_along_x_and_then_along_y():
    links = Links(machine(32), 1.0)
    assert links.route(0, 1) == []
    assert links.route(0, 7) == [0, 4, 8]
    assert links.route(7, 0) == [13, 9, 5]
    assert links.route(0, 11) == [0, 4 + 2]
    assert links.route(11, 0) == [4 * 5 + 1, 4 * 4 + 3]


@pytest.mark.parametrize("seed", range(40))
def test_a_link_serves_in_its_idle_time(seed):
    rng = np.random.default_rng(seed)
    links, taken = Links(machine(), 1.0), np.zeros(400, bool)
    for _ in range(25):
        first, needed = int(rng.integers(0, 100)), int(rng.integers(1, 6))
        free = np.flatnonzero(~taken[first:])[:needed] + first
        taken[free] = True
        start, until = links.serve(0, float(first), float(needed))
        assert (start, until) == (free[0], free[-1] + 1)
    covered = np.zeros(400, bool)
    for begin, end in zip(links.begins[0], links.ends[0], strict=True):
        covered[int(begin) : int(end)] = True
    np.testing.assert_array_equal(covered, taken)


def burst(buffer: int = 8, bandwidth: float | None = None) -> tuple[Case, Mapping]:
    """Cores 0 and 2, on tiles 0 and 1, each send ten packets at once over the link from tile 1 to tile 2."""
    source, target = np.repeat(np.arange(20), 1), np.full(20, 20)
    synapses = Synapses.of(21, source, target, np.ones(20, np.int32), np.ones(20, int))
    core = np.concatenate((np.zeros(10, int), np.ones(10, int), [2]))
    mapping = Mapping.of(synapses, core, np.array([0, 2, 4]))
    fired = np.zeros((2, 21), bool)
    fired[0, :20] = True
    # Packets leave in no time of their core, and nothing else costs any.
    array = dataclasses.replace(machine(), link_buffer=buffer, tile_bandwidth=bandwidth)
    array = dataclasses.replace(array, time=dataclasses.replace(array.time, packet_out=0.0, control=0.0))
    return case_of(Recording.of(synapses, Raster.of(fired)), mapping, array), mapping


def test_two_bursts_over_one_link_take_the_time_of_both():
    case, _ = burst(buffer=100)
    run = execute(case, "dependency")
    crowded = deliver(case, run)
    hop, work = case.machine.time.hop_x, float(case.work[0, 0])
    # Twenty packets follow each other over the last link, the first of them at once.
    assert crowded.finish[1, 2] == pytest.approx(work + 20 * hop + case.machine.time.tile + case.work[1, 2])
    assert run.finish[1, 2] == pytest.approx(work + 2 * hop + case.machine.time.tile + case.work[1, 2])


def test_links_share_the_bandwidth_of_their_tile():
    case, _ = burst(buffer=100, bandwidth=4.0)
    crowded = deliver(case, execute(case, "dependency"))
    # Eight links of a tile at four packets a nanosecond: one in two nanoseconds, and the last one still takes a hop.
    taken = 19 * 2.0 + case.machine.time.hop_x
    expected = float(case.work[0, 0]) + taken + case.machine.time.tile + case.work[1, 2]
    assert crowded.finish[1, 2] == pytest.approx(expected)


def test_full_buffers_hold_the_sender():
    (roomy, _), (tight, _) = burst(buffer=100), burst(buffer=1)
    free = deliver(roomy, execute(roomy, "dependency")).finish
    held = deliver(tight, execute(tight, "dependency")).finish
    assert held[1, 1] > free[1, 1]
    assert (held >= free - 1e-9).all()
