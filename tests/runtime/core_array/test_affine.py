"""Straight lines with the numbers of the machine files meet what was measured on the chips."""

from dataclasses import replace

import pytest
from gossamer.runtime.core_array.machine import Machine
from gossamer.runtime.core_array.machine_files import load_machine

MILLIWATT, MICROWATT, MILLIJOULE = 1e-3, 1e-6, 1e9


def event_energy(machine: Machine, **events: float) -> float:
    """Picojoules of so many events, named as `Costs` names them: event_energy(machine, synapse=1e6, update=2e4)."""
    return sum(number * getattr(machine.energy, event) for event, number in events.items())


def affine_power(machine: Machine, cores: int, **per_second: float) -> float:
    """Watts of `cores` cores in which each event happens so often a second.

    One number per event is right only at the rate where it was measured: static power and event energy keep apart.
    """
    return machine.static_power * cores + event_energy(machine, **per_second) * 1e-12


def truenorth_milliwatts(rate: float, synapses: int = 128) -> float:
    machine = load_machine("truenorth")
    return affine_power(machine, machine.cores, synapse=2**20 * rate * synapses) / MILLIWATT


@pytest.mark.parametrize(("rate", "measured"), [(11.58, 68), (95.93, 94)])
def test_truenorth_meets_the_ends_that_its_line_was_drawn_through(rate: float, measured: float):
    assert truenorth_milliwatts(rate) == pytest.approx(measured, rel=1e-4)


def test_truenorth_meets_the_point_that_was_held_out():
    """Akopyan 2015, Fig. 17: 71 mW at 20.07 Hz."""
    assert truenorth_milliwatts(20.07) == pytest.approx(70.62, abs=0.01)
    assert truenorth_milliwatts(20.07) == pytest.approx(71, rel=0.006)


def test_truenorth_stays_in_its_error_band_at_other_voltages():
    """72 mW at 0.775 V (Merolla 2014), 65 mW at 0.75 V (Akopyan 2015), both at 20 Hz."""
    low, high = load_machine("truenorth").error_band
    for measured in (72, 65):
        assert low - 1e-4 <= truenorth_milliwatts(20) / measured - 1 <= high + 1e-4


@pytest.mark.parametrize(("spikes", "told"), [(2 * 1000 / 3, 1.448), (750, 1.599)])
def test_loihi_comes_near_the_energy_of_a_query(spikes: float, told: float):
    """Frady 2020: 76 800 neurons for 60 steps, 667 to 750 spikes that reach each of them: 1.33 mJ measured."""
    machine = load_machine("loihi1")
    neurons, steps = 76_800, 60
    energy = event_energy(machine, synapse=round(spikes) * neurons, update=neurons * steps) / MILLIJOULE
    low, high = machine.error_band
    assert energy == pytest.approx(told, abs=1e-3)
    assert low - 1e-3 <= energy / 1.33 - 1 <= high + 1e-3


LEAKAGE, PER_MEGAHERTZ = 27.3 * MICROWATT, 1.78 * MICROWATT
"""Frenkel 2019, Fig. 8b."""


@pytest.mark.parametrize(
    ("megahertz", "events", "told", "measured"), [(75, 37.5e6, 476.93, 477), (1.3, 650e3, 35.09, 35)]
)
def test_odin_meets_both_its_measured_points(megahertz: float, events: float, told: float, measured: float):
    """Frenkel 2019, section IV-A. The file's static power is for 75 MHz; at another clock it is another."""
    machine = load_machine("odin")
    assert machine.static_power == pytest.approx(LEAKAGE + 75 * PER_MEGAHERTZ)
    clocked = replace(machine, static_power=LEAKAGE + megahertz * PER_MEGAHERTZ)
    power = affine_power(clocked, clocked.cores, synapse=events) / MICROWATT
    assert power == pytest.approx(told, abs=0.01)
    assert power == pytest.approx(measured, rel=0.003)
