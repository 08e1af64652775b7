"""Kernels give, bit by bit, what the step-by-step run gives."""

import numpy as np
import pytest
import torch
from gossamer.compiler.context import make_context
from gossamer.dialects.neurons import DYNAMICS, Discretisation, Model
from gossamer.dialects.snn import NetworkOp
from gossamer.passes.lower_kernels import LowerKernels
from gossamer.passes.lower_networks import LowerNetworks
from gossamer.runtime.spiking import arguments, passage, reference
from gossamer.runtime.spiking.engine import Engine
from gossamer.runtime.spiking.network import read_network
from gossamer.runtime.spiking.passage import Passage
from gossamer.tests.runtime.spiking.networks import (
    EVERY,
    SILENT,
    Example,
    engine_of,
    integers,
    population,
    spikes,
    uniform,
)

pytest.importorskip("llvmlite")


def check(example: Example, inputs: list[np.ndarray], records: list[str]) -> list[np.ndarray]:
    """What is recorded, which must be what the reference records, every bit."""
    return compare(engine_of(example, records), inputs, records)


def compare(engine: Engine, inputs: list[np.ndarray], records: list[str]) -> list[np.ndarray]:
    """The same of an engine."""
    with np.errstate(all="ignore"):
        expected = reference.run(engine.network, inputs, records)
        found = engine.run(inputs, records)
    for name, value, other in zip(records, found, expected, strict=True):
        assert value.dtype == other.dtype
        assert value.shape == other.shape
        np.testing.assert_array_equal(value, other, err_msg=name)
        signs = (np.signbit(found) & ~np.isnan(found) for found in (value, other))
        np.testing.assert_array_equal(*signs, err_msg=name)
    return found


@pytest.fixture(params=[1, 2])
def threads(request, monkeypatch):
    """One thread or two, however little there is to do."""
    monkeypatch.setattr(passage, "APART", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def states(kind: str) -> list[str]:
    """All states of a model."""
    model, way = kind.split()
    return list(DYNAMICS[Model(model), Discretisation(way)].states)


MODELS = [(kind, fires) for kind in EVERY for fires in ("gt reset subtract next", "ge reset value now")]
OTHERS = [
    ("lif exponential", fires)
    for fires in ("gt reset zero now", "ge reset zero next", "gt reset none now", "gt reset zero before")
]


def test_every_model_has_parameters_here():
    assert {tuple(kind.split()) for kind in EVERY} == set(DYNAMICS)


@pytest.mark.parametrize(("kind", "fires"), MODELS + OTHERS)
def test_every_model_is_the_reference(kind, fires):
    element = "i32" if kind.endswith("shift") else "f32"
    threshold, scale = (3, 1) if element == "i32" else (30.0, 40.0) if "izh" in kind else (0.5, 1.0)
    weights = {"w": integers(70, 40) if element == "i32" else scale * uniform(70, 40, low=-0.3, high=0.5)}
    more = "refractory 2" if "value" in fires and kind not in SILENT else ""
    lines = f"""
    snn.input @x <40>
    {population("a", "70", kind, element=element, fires=fires, threshold=threshold, more=more)}
    snn.projection @x to @a {{ snn.dense @w }}"""
    check(Example(lines, weights), [spikes(30, 3, 40)], ["a", *(f"a.{state}" for state in states(kind))])


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("hidden", [10, 130, 300])
def test_layers_recurrence_and_a_readout(threads, batch, hidden):
    weights = {
        "w": uniform(hidden, 90, low=-0.5, high=0.45), "r": uniform(hidden, hidden, low=-0.2, high=0.2, seed=2),
        "o": uniform(7, hidden, seed=3), "b": uniform(hidden, seed=4), "t": uniform(hidden, low=0.2, seed=5),
    }  # fmt: skip
    lines = f"""
    snn.input @x <90>
    {population("h", hidden, "lif exponential", threshold="@t", fires="gt reset subtract next")}
    {population("o", "7", "li exponential")}
    snn.projection @h to @h delay 2 {{ snn.dense @r }}
    snn.projection @x to @h {{ snn.dense @w snn.bias @b }}
    snn.projection @h to @o {{ snn.dense @o }}"""
    z, _ = check(Example(lines, weights), [spikes(25, batch, 90)], ["h", "o"])
    assert 0 < z.mean() < 1


def test_three_projections_are_added_in_the_order_of_the_text(threads):
    weights = {"w": uniform(20, 30), "r": uniform(20, 20, seed=2), "u": uniform(20, 30, seed=3)}
    lines = f"""
    snn.input @x <30>
    snn.input @y <30>
    {population("h", "20", "lif exponential")}
    snn.projection @x to @h {{ snn.dense @w }}
    snn.projection @h to @h delay 1 {{ snn.dense @r }}
    snn.projection @y to @h delay 3 {{ snn.dense @u }}"""
    check(Example(lines, weights), [spikes(20, 2, 30), spikes(20, 2, 30, seed=7)], ["h", "h.v"])


def test_populations_on_a_cycle_take_turns(threads):
    weights = {"w": uniform(20, 30), "r": uniform(40, 20, seed=2), "u": uniform(20, 40, seed=3)}
    lines = f"""
    snn.input @x <30>
    {population("o", "5", "li exponential")}
    {population("a", "20", "lif exponential")}
    {population("b", "40", "lif euler", fires="ge reset value now")}
    snn.projection @x to @a {{ snn.dense @w }}
    snn.projection @a to @b {{ snn.dense @r }}
    snn.projection @b to @a delay 1 {{ snn.dense @u snn.reshape <5, 4> snn.bias @c snn.dense @q }}
    snn.projection @b to @o {{ snn.dense @v }}"""
    weights |= {"q": uniform(20, 20, seed=4), "c": uniform(5, seed=5), "v": uniform(5, 40, seed=6)}
    check(Example(lines, weights), [spikes(20, 2, 30)], ["a", "a.v", "b", "b.v", "o"])


@pytest.mark.parametrize("kind", ["lif exponential", "li exponential"])
def test_several_maps_from_a_population_to_itself_wait_for_each_step(threads, kind):
    weights = {"w": uniform(4, 3), "q": uniform(6, 4, seed=2), "r": uniform(4, 6, seed=3)}
    lines = f"""
    snn.input @x <3>
    {population("h", "4", kind)}
    snn.projection @x to @h {{ snn.dense @w }}
    snn.projection @h to @h delay 2 {{ snn.dense @q snn.dense @r }}"""
    check(Example(lines, weights), [spikes(20, 2, 3)], ["h", "h.v"])


@pytest.mark.parametrize("element", ["f32", "i32"])
@pytest.mark.parametrize("batch", [1, 3])
def test_images(threads, element, batch):
    number = uniform if element == "f32" else integers
    kind = "lif exponential" if element == "f32" else "lif shift"
    weights = {"k": number(8, 2, 3, 3), "w": number(10, 72), "b": number(8), "s": number(1)}
    average = "average" if element == "f32" else "sum"
    lines = f"""
    snn.input @x <2, 12, 12>
    {population("c", "8, 6, 6", kind, element=element, threshold=1)}
    {population("p", "8, 3, 3", "threshold euler", element=element, threshold=0)}
    {population("o", "10", kind.replace("lif", "li"), element=element)}
    snn.projection @x to @c {{ snn.conv @k stride <2, 2> padding <1, 1> dilation <1, 1> groups 1 snn.bias @b }}
    snn.projection @c to @p {{ snn.pool {average} <2, 2> stride <2, 2> padding <0, 0> snn.scale @s }}
    snn.projection @p to @o {{ snn.scale @b snn.reshape <72> snn.dense @w }}"""
    check(Example(lines, weights), [spikes(15, batch, 2, 12, 12)], ["c", "p", "p.v", "o"])


@pytest.mark.parametrize("element", ["f32", "i32"])
def test_delays_of_each_synapse(threads, element):
    number, kind = (uniform, "lif exponential") if element == "f32" else (integers, "lif shift")
    weights = {"w": number(33, 20), "d": integers(33, 20, low=0, high=5, seed=2), "r": number(33, 33, seed=3),
               "e": integers(33, 33, low=1, high=4, seed=4), "b": number(33)}  # fmt: skip
    weights["w"][weights["w"] < -0.5] = 0
    lines = f"""
    snn.input @x <20>
    {population("a", "33", kind, element=element, threshold=1)}
    snn.projection @x to @a delays @d from 0 to 4 {{ snn.dense @w snn.bias @b }}
    snn.projection @a to @a delays @e from 1 to 3 {{ snn.dense @r }}"""
    for batch in (1, 2):
        check(Example(lines, weights), [spikes(20, batch, 20)], ["a", "a.v"])


@pytest.mark.parametrize("element", ["f32", "i32"])
def test_currents_are_multiplied_with_weights(threads, element):
    number, kind = (uniform, "lif exponential") if element == "f32" else (integers, "lif shift")
    weights = {"w": number(33, 20), "u": number(9, 33), "s": number(20)}
    lines = f"""
    snn.input @x <20> analog
    {population("a", "33", kind.replace("lif", "li"), element=element)}
    {population("b", "9", kind, element=element, threshold=1)}
    {population("c", "20", kind, element=element, threshold=1)}
    snn.projection @x to @a {{ snn.dense @w }}
    snn.projection @a to @b {{ snn.dense @u }}
    snn.projection @x to @c {{ snn.scale @s snn.scale @s }}"""
    x = uniform(20, 2, 20, low=-3, high=3)
    x[x < 0.5] = 0
    x[0, 0, :3] = -0.0
    check(Example(lines, weights), [x], ["a", "b", "b.v", "c", "c.v"])


def test_states_begin_as_given_and_parameters_may_differ(threads):
    weights = {"v": uniform(20), "d": uniform(20, low=0.5), "w": uniform(20, 20), "r": integers(20, low=-3, high=40)}
    lines = f"""
    snn.input @x <20>
    {population("a", "20", "lif exponential", decay="@d", threshold="@t", more="initial {v = @v}")}
    {population("b", "20", "lif shift", element="i32", shift="@r", threshold=1)}
    snn.projection @x to @a {{ snn.dense @w }}
    snn.projection @x to @b {{ }}"""
    weights["t"] = uniform(20, low=-0.1)
    weights["t"][:3] = np.nan, np.inf, -0.0
    check(Example(lines, weights), [spikes(10, 2, 20)], ["a", "a.v", "b.v"])


@pytest.mark.parametrize(("steps", "size", "batch"), [(0, 5, 2), (4, 0, 2), (1, 1, 1), (3, 17, 0)])
def test_nothing_and_one(threads, steps, size, batch):
    lines = f"""
    snn.input @x <{size}>
    {population("a", size, "lif exponential")}
    snn.projection @x to @a {{ }}"""
    check(Example(lines), [spikes(steps, batch, size)], ["a", "a.v"])


def test_all_fire_in_every_step(threads):
    lines = f"""
    snn.input @x <20>
    {population("a", "20", "lif exponential", threshold=-1e9)}
    {population("b", "20", "lif exponential")}
    snn.projection @a to @b delay 1 {{ snn.dense @w }}"""
    z, *_ = check(Example(lines, {"w": uniform(20, 20)}), [spikes(5, 3, 20)], ["a", "b", "b.v"])
    assert z.all()


def test_what_is_no_spike_is_refused():
    lines = f"snn.input @x <20>\n{population('a', '20', 'lif exponential')}\nsnn.projection @x to @a {{ }}"
    with pytest.raises(ValueError, match="takes spikes, 0 or 1"):
        engine_of(Example(lines), ["a"]).run([uniform(3, 1, 20)], ["a"])


def test_a_weight_that_is_no_number_leaves_it_to_the_reference():
    lines = f"snn.input @x <2>\n{population('a', '2', 'lif exponential')}\nsnn.projection @x to @a {{ snn.dense @w }}"
    module = Example(lines, {"w": np.array([[np.inf, 1], [0, 1]], np.float32)}).module(["a"])
    for step in (LowerNetworks(), LowerKernels()):
        step.apply(make_context(), module)
    network = next(entry for entry in module.ops if isinstance(entry, NetworkOp))
    weights = {"w": np.array([[np.inf, 1], [0, 1]], np.float32)}
    assert Engine.build(network, read_network(network, weights)) is None


LAYERS = {
    "f32": ("lif exponential", "", 0.5),
    "i32": ("lif shift", "", 3),
    "analog f32": ("lif exponential", "analog", 0.5),
    "analog i32": ("lif shift", "analog", 3),
}
"""Neurons, the input, and the threshold, by what is summed."""
MODES = {"measured": None, "lists": 2.0, "tiles": 0.0}
"""The break-even; None leaves it as it is."""


def layers(sums: str, size: int) -> Example:
    """A layer, one with a loop that hears of it later, and a readout."""
    kind, analog, threshold = LAYERS[sums]
    element = sums.split()[-1]
    number = uniform if element == "f32" else integers
    weights = {"w": number(size, 50), "r": number(size, size, seed=2), "u": number(40, size, seed=3)}
    for name, weight in weights.items():
        weight.flat[:: 7 + len(name)] = -0.0
        weight[:, 1] = 0
    lines = f"""
    snn.input @x <50> {analog}
    {population("a", str(size), kind, element=element, threshold=threshold)}
    {population("b", str(size), kind, element=element, threshold=threshold)}
    {population("o", "40", kind.replace("lif", "li"), element=element)}
    snn.projection @x to @a {{ snn.dense @w }}
    snn.projection @b to @b delay 1 {{ snn.dense @r }}
    snn.projection @a to @b delay 2 {{ snn.dense @r }}
    snn.projection @b to @o {{ snn.dense @u }}"""
    return Example(lines, weights)


def choose(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Set the break-even."""
    if (value := MODES[mode]) is not None:
        monkeypatch.setattr(arguments, "BREAK_EVEN", dict.fromkeys(arguments.BREAK_EVEN, value))
        monkeypatch.setattr(arguments, "BREAK_EVEN_APART", value)
    monkeypatch.setattr(arguments, "wide", lambda: True)


@pytest.mark.parametrize("threads", [2], indirect=True)
@pytest.mark.parametrize(("sums", "size"), [*((sums, 60) for sums in LAYERS), ("f32", 30), ("f32", 120)])
def test_tiles_and_lists_have_the_same_bits_at_every_rate(threads, monkeypatch, sums, size):
    records = ["a", "b", "b.v", "o"]
    engine = engine_of(layers(sums, size), records)
    for mode in MODES:
        choose(monkeypatch, mode)
        for rate, batch in ((0.0, 1), (0.05, 3), (0.5, 1), (0.5, 3), (1.0, 1), (1.0, 3)):
            x = spikes(15, batch, 50, rate=rate)
            if sums.startswith("analog"):
                x *= np.rint(uniform(15, batch, 50, low=-4, high=4))
                x[0, 0, :2] = -0.0
            compare(engine, [x], records)


def dense_tiles(example: Example, target: str, x: np.ndarray) -> list[int]:
    """Which tiles were dense in the first projection to a population, in the last sample."""
    engine = engine_of(example, [target])
    run = Passage.start(engine, *x.shape[:2])
    run.give([x])
    run.go(0, len(x))
    return list(run.tiles[engine.network.find(target), 0].dense[: len(x) : engine.kernels[target].tile])


def test_a_tile_is_dense_where_enough_sources_fire(monkeypatch):
    monkeypatch.setattr(arguments, "wide", lambda: True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    example = Example(
        f"snn.input @x <100>\n{population('a', '128', 'lif exponential')}\nsnn.projection @x to @a {{ snn.dense @w }}",
        {"w": uniform(128, 100)},
    )
    quiet, loud = spikes(6, 1, 100, rate=0.2), spikes(6, 1, 100, rate=0.7)
    assert dense_tiles(example, "a", np.concatenate([quiet, loud, quiet, loud])) == [0, 1, 0, 1]
    monkeypatch.setattr(arguments, "wide", lambda: False)
    assert dense_tiles(example, "a", np.concatenate([loud, loud])) == [0, 0]


@pytest.mark.parametrize("mode", ["lists", "tiles"])
def test_values_that_are_no_numbers_count_once_they_are_sent(monkeypatch, mode):
    choose(monkeypatch, mode)
    x = uniform(7, 2, 20)
    x[1, 0, 3], x[2, 1, 4], x[3, 0, 5], x[3, 0, 6] = np.nan, np.inf, np.inf, -np.inf
    line = population("a", "40", "li exponential")
    example = Example(f"snn.input @x <20> analog\n{line}\nsnn.projection @x to @a {{ snn.dense @w }}",
                      {"w": uniform(40, 20)})  # fmt: skip
    check(example, [x], ["a"])


@pytest.mark.parametrize("mode", ["lists", "tiles"])
def test_sums_that_overflow_stay_so(monkeypatch, mode):
    choose(monkeypatch, mode)
    line = population("a", "40", "li exponential")
    weights = {"w": np.where(uniform(40, 20) > 0, np.float32(3e38), np.float32(-3e38)).astype(np.float32)}
    example = Example(f"snn.input @x <20>\n{line}\nsnn.projection @x to @a {{ snn.dense @w }}", weights)
    check(example, [spikes(9, 2, 20, rate=0.8)], ["a"])
