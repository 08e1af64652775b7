"""Event by event, a network fires as it does step by step."""

import numpy as np
import pytest
import torch
from gossamer.runtime.spiking import events, passage
from gossamer.runtime.spiking.arrays import Raster
from gossamer.runtime.spiking.events import simulate
from gossamer.tests.runtime.spiking.networks import Example, engine_of, integers, population, spikes, uniform


def example(element: str) -> Example:
    """A net with delays, a cycle over two populations, a silent one and a chain of maps."""
    number, kind = (uniform, "lif exponential") if element == "f32" else (integers, "lif shift")
    lines = f"""
    snn.input @x <30>
    {population("a", "40", kind, element=element, threshold=1, fires="ge reset subtract now")}
    snn.input @y <10>
    {population("s", "10", kind.replace("lif", "li"), element=element)}
    {population("b", "30", kind, element=element, threshold=2, more="refractory 1")}
    snn.projection @x to @a {{ snn.dense @w snn.dense @q }}
    snn.projection @y to @s {{ snn.dense @y }}
    snn.projection @s to @b delay 2 {{ snn.dense @o }}
    snn.projection @a to @b delays @d from 1 to 7 {{ snn.dense @r }}
    snn.projection @b to @a delay 3 {{ snn.dense @u }}"""
    weights = {
        "w": number(20, 30), "q": number(40, 20, seed=2), "y": number(10, 10), "o": number(30, 10, seed=3),
        "r": number(30, 40, seed=4), "u": number(40, 30, seed=5), "d": integers(30, 40, low=1, high=8),
    }  # fmt: skip
    weights["r"] = weights["r"] // 2 if element == "i32" else weights["r"] / 2
    return Example(lines, weights)


def given(engine_or_network, steps: int) -> Raster:
    """Random spikes of the two inputs."""
    full = np.zeros((steps, 120), bool)
    full[:, :30], full[:, 70:80] = spikes(steps, 30), spikes(steps, 10, seed=9)
    return Raster.of(full)


@pytest.mark.parametrize("window", [1, 9 * 130, 1 << 26])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("element", ["f32", "i32"])
def test_windows_and_threads_change_nothing(element, threads, window, monkeypatch):
    monkeypatch.setattr(events, "WINDOW", window)
    monkeypatch.setattr(passage, "APART", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    engine = engine_of(example(element), ["b"])
    raster = simulate(engine, given(engine, 50), 50)
    torch.set_num_threads(before)
    expected = simulate(engine.network, given(engine, 50), 50)
    assert raster == expected, raster.first_difference(expected)
    assert len(np.unique(raster.neuron)) > 60


def test_steps_beyond_what_is_given_go_on():
    engine = engine_of(example("f32"), ["b"])
    raster = simulate(engine, given(engine, 10), 30)
    assert raster == simulate(engine.network, given(engine, 10), 30)
    assert raster.steps == 30
    assert simulate(engine, given(engine, 30), 0).steps == 0


@pytest.mark.parametrize("steps", [6, 7, 8])
def test_a_last_window_may_be_short(steps, monkeypatch):
    monkeypatch.setattr(events, "WINDOW", 1)
    monkeypatch.setattr(passage, "APART", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    lines = f"""
    snn.input @x <30>
    {population("a", "300", "lif exponential", threshold=1)}
    snn.projection @x to @a {{ snn.dense @w }}
    snn.projection @a to @a delay 3 {{ snn.dense @r }}"""
    weights = {"w": uniform(300, 30), "r": uniform(300, 300, low=-0.2, high=0.2, seed=2)}
    engine = engine_of(Example(lines, weights), ["a"])
    raster = Raster.of(spikes(steps, 30) > 0)
    assert simulate(engine, raster, steps) == simulate(engine.network, raster, steps)


def test_only_inputs_are_given_spikes():
    network = example("f32").network()
    with pytest.raises(ValueError, match="neuron 30 is no input of @n"):
        simulate(network, Raster.stacked([np.asarray([3, 30])]), 1)
    with pytest.raises(ValueError, match="@n has 120 neurons"):
        simulate(network, Raster.stacked([np.asarray([120])]), 1)
    analog = Example(f"snn.input @x <2> analog\n{population('a', '2', 'lif euler')}\nsnn.projection @x to @a {{}}")
    with pytest.raises(ValueError, match="@x takes currents"):
        simulate(analog.network(), Raster.stacked([np.asarray([0])]), 1)
