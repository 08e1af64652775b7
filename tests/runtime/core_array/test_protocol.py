from dataclasses import replace

import numpy as np
import pytest
from gossamer.runtime.core_array.control import progress
from gossamer.runtime.core_array.inbox import ProtocolError
from gossamer.runtime.core_array.mapping import Mapping
from gossamer.runtime.core_array.protocol import Faults, Statistics, execute
from gossamer.runtime.core_array.recording import Recording
from gossamer.runtime.core_array.traffic import count
from gossamer.runtime.core_array.waits import DeadlockError
from gossamer.runtime.spiking.arrays import Raster, Synapses
from gossamer.tests.runtime.core_array.networks import (
    CAMPAIGN,
    Network,
    Neurons,
    grouped,
    in_torch,
    machine,
    mapped,
    network,
    reference,
)


def run(net: Network, mapping: Mapping, *, policy: str = "dependency", **faults) -> tuple[Raster, Statistics]:
    state = Neurons(net)
    held = [np.flatnonzero(mapping.core == core) for core in range(mapping.cores)]
    given = np.zeros((net.steps, len(net.level)), bool)
    given[:, net.inputs] = net.given
    return execute(
        net.synapses,
        Raster.of(given),
        mapping,
        lambda core, step, current: state.advance(held[core], step, current),
        policy=policy,
        faults=Faults(**faults),
    )


@pytest.mark.parametrize("first", range(0, CAMPAIGN, 50))
def test_cores_at_their_own_pace_fire_what_they_fire_in_step(first):
    for seed in range(first, first + 50):
        rng = np.random.default_rng(seed)
        net = network(seed, steps=int(rng.integers(1, 20)), zero_delay=bool(seed % 3), floats=seed % 5 == 0)
        mapping = mapped(net, seed, host=bool(seed % 2), slack=int(rng.integers(1, 5)))
        if seed % 4 == 1:
            mapping = grouped(mapping, seed)
        policy = "barrier" if seed % 4 == 3 else "dependency"
        faults = {"seed": seed, "latency": int(rng.integers(1, 400)), "twice": float(rng.choice([0.0, 0.3]))}
        fired, _ = run(net, mapping, policy=policy, **faults)
        expected = reference(net)
        assert fired == expected, (seed, fired.first_difference(expected))
        if np.issubdtype(net.synapses.weight.dtype, np.integer):
            assert in_torch(net) == expected, (seed, in_torch(net).first_difference(expected))


def test_the_networks_of_these_tests_are_busy():
    active = []
    for seed in range(100):
        net = network(seed)
        active.append(np.isin(reference(net).neuron, np.flatnonzero(~net.inputs)).sum())
    assert np.median(active) > 20


@pytest.mark.parametrize("seed", range(30))
def test_as_many_messages_are_sent_as_the_timing_charges(seed):
    net = network(seed, zero_delay=bool(seed % 2))
    mapping = mapped(net, seed, host=True, slack=1 + seed % 4)
    if seed % 3 == 0:
        mapping = grouped(mapping, seed)
    fired, statistics = run(net, mapping, seed=seed)
    traffic = count(Recording.of(net.synapses, fired), mapping)
    assert statistics.spikes == traffic.sent.sum()
    assert statistics.control == progress(mapping, machine(), traffic).messages


def pair(delay: int = 0, weight: int = 100) -> tuple[Network, Mapping]:
    """An input that always fires, and one neuron on core 0, another on core 1 after it."""
    weights = np.array([weight, weight], np.int32)
    synapses = Synapses.of(3, np.array([0, 1]), np.array([1, 2]), weights, np.array([0, delay]))
    net = Network(synapses, np.array([0, 1, 2]), np.array([True, False, False]), np.ones((9, 1), bool), 9)
    return net, Mapping.of(synapses, np.array([-1, 0, 1]))


def edges_with(mapping: Mapping, **fields: int) -> Mapping:
    given = {name: np.full(len(mapping.edges), value, np.int32) for name, value in fields.items()}
    return replace(mapping, edges=replace(mapping.edges, **given))


def test_a_spike_of_less_delay_than_its_edge_promises_is_late():
    net, mapping = pair(delay=1)
    with pytest.raises(ProtocolError, match=r"core 1, step \d+: a spike of core 0 for step \d+ came late") as error:
        run(net, edges_with(mapping, dmin=4, slots=9), latency=400)
    assert error.value.core == 1


def test_a_spike_of_more_delay_than_its_edge_promises_overflows():
    net, mapping = pair(delay=6)
    with pytest.raises(ProtocolError, match="overflows 3 slots"):
        run(net, edges_with(mapping, dmin=0, dmax=0, slots=3))


def test_too_few_slots_are_a_deadlock_that_names_who_waits_for_whom():
    net, mapping = pair(delay=2)
    with pytest.raises(DeadlockError, match=r"core 0 waits in step 0 for slots that step 1 frees from core 1") as error:
        run(net, edges_with(mapping, dmin=1, slots=1))
    assert sorted(error.value.cores) == [0, 1]


def test_slots_that_the_delays_leave_free_may_be_few():
    """K = dmax - dmin + 1 is less than dmax + 1, and enough where no cycle is tight."""
    net, mapping = pair(delay=6)
    fired, _ = run(net, edges_with(mapping, slots=2))
    assert fired == reference(net)


def test_no_steps_no_cores_and_silence():
    net, mapping = pair()
    empty = replace(net, given=np.ones((0, 1), bool), steps=0)
    assert run(empty, mapping)[0].steps == 0
    silent = replace(net, given=np.zeros((9, 1), bool))
    fired, statistics = run(silent, mapping)
    assert not len(fired.neuron)
    assert statistics.spikes == 0
    nowhere = Mapping.of(net.synapses, np.array([-1, -1, -1]))
    assert len(run(net, nowhere)[0].neuron) == 9
