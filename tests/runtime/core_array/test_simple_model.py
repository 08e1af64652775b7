"""The simple model of a barrier, event by event."""

from dataclasses import fields, replace

import numpy as np
import pytest
from gossamer.runtime.core_array.machine import Costs, Machine
from gossamer.runtime.core_array.machine_files import load_machine
from gossamer.runtime.core_array.simple_model import barrier_simple
from gossamer.runtime.spiking.arrays import NO_CORE, Raster, Synapses


def machine_with(**time: float) -> Machine:
    """A machine whose events take no time and no energy but those named, which take as much of either."""
    nothing = Costs(**dict.fromkeys((field.name for field in fields(Costs)), 0.0))
    flat = ((1, 0.0),)
    return replace(load_machine("loihi1"), time=replace(nothing, **time), energy=replace(nothing, **time), barrier=flat)


def event_by_event(machine: Machine, synapses: Synapses, core: np.ndarray, raster: Raster, is_input: np.ndarray):
    """Time of each step and energy, one spike at a time."""
    times, energy, t, e = [], 0.0, machine.time, machine.energy
    for step in range(raster.steps):
        send, receive = np.zeros(machine.cores), np.zeros(machine.cores)
        for neuron in np.flatnonzero(~is_input):
            send[core[neuron]] += t.update
            energy += e.update
        for neuron in raster.at(step):
            targets = synapses.target[synapses.offsets[neuron] : synapses.offsets[neuron + 1]]
            if core[neuron] != NO_CORE:
                send[core[neuron]] += t.spike + t.update_active
                energy += e.spike + e.update_active
            for place in set(core[targets].tolist()):
                number = int((core[targets] == place).sum())
                receive[place] += t.packet_in + number * t.synapse
                energy += e.packet_in + e.tile + number * e.synapse
                if core[neuron] != NO_CORE:
                    send[core[neuron]] += t.packet_out
                    (x0, y0), (x1, y1) = machine.position(int(core[neuron])), machine.position(place)
                    energy += e.packet_out + abs(x0 - x1) * e.hop_x + abs(y0 - y1) * e.hop_y
        energy += e.step * len(set(core.tolist()) - {NO_CORE})
        tiles = len({int(place) // machine.cores_per_tile for place in core if place != NO_CORE})
        barrier = np.interp(tiles, *np.transpose(machine.barrier))
        times.append(max(send.max(), receive.max()) + t.step + barrier)
    return np.array(times), energy


@pytest.mark.parametrize("inputs_placed", [True, False])
@pytest.mark.parametrize("name", ["loihi1", "loihi1-nahuku", "spinnaker2"])
def test_it_counts_what_happens_event_by_event(name: str, inputs_placed: bool):
    machine, rng = load_machine(name), np.random.default_rng(7)
    neurons, told = 40, 10
    synapses = Synapses.of(neurons, rng.integers(0, neurons, 300), rng.integers(told, neurons, 300),
                           np.ones(300, np.int32), rng.integers(0, 5, 300))  # fmt: skip
    core = rng.choice([0, 3, 17, 90], neurons)
    is_input = np.arange(neurons) < told
    core[is_input] = core[is_input] if inputs_placed else NO_CORE
    raster = Raster.of(rng.random((12, neurons)) < 0.3)
    times, energy = event_by_event(machine, synapses, core, raster, is_input)
    found = barrier_simple(machine, synapses, core, raster, is_input)
    np.testing.assert_allclose(found.step_time, times, rtol=1e-12)
    assert sum(found.energy.values()) == pytest.approx(energy, rel=1e-12)


def test_a_step_takes_as_long_as_the_slower_of_sending_and_receiving():
    """Core 0 sends two packets, core 1 and its own take one each: 2 x 5 against 1 x 7."""
    synapses = Synapses.of(2, np.array([0, 0]), np.array([0, 1]), np.ones(2, np.int32), 1)
    raster = Raster.of(np.array([[True, False], [False, False]]))
    machine = machine_with(packet_out=5, packet_in=7)
    found = barrier_simple(machine, synapses, np.array([0, 1]), raster, np.zeros(2, bool))
    assert found.step_time.tolist() == [10, 0]
    assert found.energy["packet_in"] == 14


def test_a_network_that_is_silent_still_pays_its_updates_and_barriers():
    machine = load_machine("loihi1")
    synapses = Synapses.of(8, np.zeros(0, int), np.zeros(0, int), np.zeros(0, np.int32), 0)
    found = barrier_simple(machine, synapses, np.arange(8), Raster.of(np.zeros((3, 8), bool)), np.zeros(8, bool))
    np.testing.assert_allclose(found.step_time, 5.3 + 20 + 1000)
    assert found.energy["update"] == pytest.approx(3 * 8 * 52)


def test_a_neuron_on_no_core_of_the_machine_is_refused():
    synapses = Synapses.of(2, np.array([0]), np.array([1]), np.ones(1, np.int32), 1)
    raster, told = Raster.of(np.ones((1, 2), bool)), np.array([True, False])
    for core in ([0, NO_CORE], [0, 128], [-2, 0]):
        with pytest.raises(ValueError, match="one of the 128 cores of loihi1"):
            barrier_simple(load_machine("loihi1"), synapses, np.array(core), raster, told)
