"""Counts against a walk over every spike and synapse."""

import numpy as np
import pytest
from gossamer.runtime.core_array import recording
from gossamer.runtime.core_array.mapping import Mapping
from gossamer.runtime.core_array.recording import Recording
from gossamer.runtime.core_array.traffic import count
from gossamer.runtime.spiking.arrays import NO_CORE, Raster, Synapses
from gossamer.tests.runtime.core_array.networks import machine, mapped, network, reference


def walked(synapses: Synapses, raster: Raster, mapping: Mapping) -> dict[str, np.ndarray]:
    steps, cores = raster.steps, mapping.cores
    names = "active", "events", "packets_in", "packets_out"
    found = {name: np.zeros((steps, cores), int) for name in names}
    found["sent"] = np.zeros((steps, len(mapping.edges)), int)
    number = {ends: edge for edge, ends in enumerate(zip(mapping.edges.source, mapping.edges.target, strict=True))}
    for step in range(steps):
        for neuron in raster.at(step):
            own, shortest = mapping.core[neuron], {}
            if own != NO_CORE:
                found["active"][step, own] += 1
            for one in range(synapses.offsets[neuron], synapses.offsets[neuron + 1]):
                core, delay = mapping.core[synapses.target[one]], int(synapses.delay[one])
                shortest[core] = min(delay, shortest.get(core, delay))
                if step + delay < steps:
                    found["events"][step + delay, core] += 1
            for core, delay in shortest.items():
                if step + delay < steps:
                    found["packets_in"][step + delay, core] += 1
                if own not in (core, NO_CORE):
                    found["packets_out"][step, own] += 1
                    found["sent"][step, number[own, core]] += 1
    return found


@pytest.mark.parametrize("seed", range(40))
def test_counts_are_those_of_every_spike_walked(seed):
    net = network(seed, steps=int(np.random.default_rng(seed).integers(1, 12)), zero_delay=bool(seed % 2))
    mapping, raster = mapped(net, seed, host=bool(seed % 3)), reference(net)
    traffic = count(Recording.of(net.synapses, raster, net.inputs), mapping)
    for name, expected in walked(net.synapses, raster, mapping).items():
        np.testing.assert_array_equal(getattr(traffic, name), expected, err_msg=name)
    updated = np.bincount(mapping.core[~net.inputs], minlength=mapping.cores)
    np.testing.assert_array_equal(traffic.updates, updated)


@pytest.mark.parametrize(("cells", "cells_a_synapse"), [(1 << 24, 0), (30, 1 << 30)])
def test_synapses_are_sorted_or_written_into_tables_of_some_neurons(monkeypatch, cells, cells_a_synapse):
    monkeypatch.setattr(recording, "CELLS", cells)
    monkeypatch.setattr(recording, "SPARSE", cells_a_synapse)
    monkeypatch.setattr(recording, "EVENTS", 10)
    for seed in range(20):
        test_counts_are_those_of_every_spike_walked(seed)


def test_work_is_what_the_machine_charges_for_each_count():
    net = network(3)
    mapping = mapped(net, 3)
    traffic, costs = count(Recording.of(net.synapses, reference(net), net.inputs), mapping), machine().time
    expected = costs.step + traffic.updates * costs.update + traffic.events * costs.synapse
    expected = expected + traffic.packets_in * costs.packet_in + traffic.packets_out * costs.packet_out
    expected = expected + traffic.active * (costs.spike + costs.update_active)
    np.testing.assert_allclose(traffic.work(costs), expected, rtol=1e-12)


def test_packets_of_the_host_are_counted_apart():
    synapses = Synapses.of(3, np.array([0, 0, 0]), np.array([1, 2, 2]), np.ones(3, np.int32), np.array([0, 0, 1]))
    traffic = count(
        Recording.of(synapses, Raster.of(np.eye(1, 3, dtype=bool))), Mapping.of(synapses, np.array([-1, 0, 1]))
    )
    assert traffic.injected == 2
    assert traffic.packets_out.sum() == 0


@pytest.mark.parametrize("neurons", [0, 1, 5])
def test_nothing_fires_and_nothing_is_joined(neurons):
    none = np.zeros(0, np.int32)
    synapses = Synapses.of(neurons, none, none, none, none.astype(np.uint16))
    mapping = Mapping.of(synapses, np.zeros(neurons, np.int32))
    for steps in (0, 4):
        traffic = count(Recording.of(synapses, Raster.of(np.zeros((steps, neurons), bool))), mapping)
        assert traffic.sent.shape == (steps, 0)
        assert not traffic.events.any()
