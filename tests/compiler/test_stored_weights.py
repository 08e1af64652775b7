"""Networks with the weights that a machine stores."""

from dataclasses import replace

import numpy as np
import pytest
from gossamer.benchmarks.spiking_modules import inputs_of, module_of
from gossamer.benchmarks.spiking_workloads import run, workload
from gossamer.compiler.simulation import simulate
from gossamer.compiler.stored_weights import Stored, store
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime.core_array.machine import Machine
from gossamer.runtime.core_array.machine_files import load_machine
from gossamer.runtime.core_array.number_format import Sign, WeightFormat
from gossamer.runtime.spiking.network import Network
from gossamer.runtime.spiking.reference import run as run_by_step
from gossamer.tests.runtime.spiking.networks import Example, integers, network_of, population, spikes, uniform

LOIHI = load_machine("loihi1")


def kept(maps: str, weights: dict[str, np.ndarray], *, source: str = "6", target: str = "4", machine: Machine = LOIHI,
         element: str = "f32") -> tuple[Stored, Network, Network]:  # fmt: skip
    """A network of one projection as it is stored, before and after."""
    kind = "if euler" if element == "f32" else "if shift"
    line = population("a", target, kind, element=element, threshold=1)
    example = Example(f"snn.input @x <{source}>\n{line}\nsnn.projection @x to @a {{ {maps} }}", weights)
    module = example.module()
    before = network_of(module, weights)
    found = store(module, weights, before, machine)
    return found, before, network_of(found.module, found.weights)


MAPS = {
    "dense": ("snn.dense @w", {"w": uniform(4, 6)}, "6", "4"),
    "dense, scaled": ("snn.dense @w snn.scale @s", {"w": uniform(4, 6), "s": np.full(4, 0.3, np.float32)}, "6", "4"),
    "pooled before": (
        "snn.pool average <2, 2> stride <2, 2> padding <0, 0> snn.reshape <4> snn.dense @w", {"w": uniform(4, 4)},
        "1, 4, 4", "4"),
    "conv": ("snn.conv @w stride <1> padding <1> dilation <1> groups 1 snn.bias @b",
             {"w": uniform(2, 1, 3), "b": uniform(2)}, "1, 6", "2, 6"),
    "element by element": ("snn.scale @s", {"s": uniform(4)}, "4", "4"),
}  # fmt: skip


@pytest.mark.parametrize("name", MAPS)
def test_every_synapse_is_a_mantissa_of_8_bits_times_one_scale(name: str):
    maps, weights, source, target = MAPS[name]
    found, before, after = kept(maps, weights, source=source, target=target)
    assert not found.refused
    assert found.changed["a"] > 0
    old, new = (each.synapses().weight.astype(float) for each in (before, after))
    scale = np.abs(old).max() / 128
    assert len(old) == len(new)
    mantissa = new / min(max(old.max() / 127, -old.min() / 128), np.inf)
    np.testing.assert_allclose(mantissa, np.rint(mantissa), atol=1e-4)
    assert 0 < np.abs(new - old).max() <= scale * 0.51
    if "b" in weights:
        assert np.array_equal(found.weights["b"], weights["b"])


def test_weights_of_few_bits_stay_as_they_are():
    found, before, _ = kept("snn.dense @w", {"w": integers(4, 6, low=-100, high=100)}, element="i32")
    assert (found.changed, found.refused) == ({}, [])
    assert found.weights.keys() == {"w"}
    assert found.total == 24
    again, _, after = kept("snn.dense @w", {"w": integers(4, 6, low=-1000, high=1000)}, element="i32")
    assert again.changed["a"] > 10
    assert set(np.unique(after.synapses().weight % 8)) == {0}
    assert before.synapses().weight.dtype == after.synapses().weight.dtype == np.int32


def test_a_weight_that_two_projections_share_is_rounded_for_each():
    lines = f"""
    snn.input @x <4>
    {population("a", "4", "if euler")}
    {population("b", "4", "if euler")}
    snn.projection @x to @a {{ snn.dense @w }}
    snn.projection @a to @b {{ snn.dense @w }}
    snn.projection @b to @b delay 1 {{ snn.dense @u }}"""
    weights = {"w": uniform(4, 4), "u": 40 * uniform(4, 4, seed=2)}
    example = Example(lines, weights)
    machine = replace(LOIHI, weights=WeightFormat(3, Sign.BIT, 1))
    found = store(example.module(), weights, example.network(), machine)
    first, second = (found.weights[name] for name in found.weights if name.startswith("w.stored"))
    assert not np.array_equal(first, second)
    assert not second.any(), "beside weights 40 times as large nothing of these is left in 3 bits"
    finer = store(example.module(), weights, example.network(), replace(machine, weights=WeightFormat(3, Sign.BIT, 16)))
    assert any(value.any() for name, value in finer.weights.items() if name == "w.stored1")


REFUSED = {
    "two products": ("snn.dense @w snn.dense @u", {"w": uniform(5, 6), "u": uniform(4, 5)}, LOIHI, "multiply"),
    "pool after": ("snn.reshape <1, 6> snn.conv @w stride <1> padding <1> dilation <1> groups 1 "
                   "snn.pool average <2> stride <2> padding <0> snn.reshape <3> snn.dense @u",
                   {"w": uniform(1, 1, 3), "u": uniform(4, 3)}, LOIHI, "multiply"),
    "no number": ("snn.dense @w", {"w": np.full((4, 6), np.nan, np.float32)}, LOIHI, "a weight is no number"),
    "signs": ("snn.dense @w", {"w": uniform(4, 6)}, load_machine("odin"), "excite and inhibit"),
    "types": ("snn.dense @w", {"w": uniform(4, 6)}, load_machine("truenorth"), "type of axon"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_machine_cannot_store_is_told(name: str):
    maps, weights, machine, why = REFUSED[name]
    found, _, _ = kept(maps, weights, machine=machine)
    assert why in found.refused[0][0]
    with pytest.raises(UserError, match="cannot store these weights"):
        found.check(machine)


def test_neurons_of_one_sign_fit_odin():
    found, _, after = kept("snn.dense @w", {"w": -np.abs(uniform(4, 6))}, machine=load_machine("odin"))
    assert not found.refused
    assert len(np.unique(after.synapses().weight)) <= 7


def test_a_projection_without_weights_gets_one_where_it_needs_it():
    lines = f"""
    snn.input @x <4>
    {population("a", "4", "if euler")}
    snn.projection @x to @a {{}}
    snn.projection @x to @a {{ snn.dense @w }}"""
    weights = {"w": np.float32(0.7) * uniform(4, 4)}
    example = Example(lines, weights)
    found = store(example.module(), weights, example.network(), replace(LOIHI, weights=WeightFormat(3, Sign.BIT, 1)))
    after = network_of(found.module, found.weights)
    x = spikes(5, 1, 4)
    v = run_by_step(after, [x], ["a.v"])[0]
    assert np.isfinite(v).all()
    scale = 1 / 3
    mantissa = after.synapses().weight / scale
    np.testing.assert_allclose(mantissa, np.rint(mantissa), atol=1e-5)


def test_a_run_with_the_weights_of_a_machine_says_what_differs():
    load = workload("srnn-small")
    few = replace(LOIHI, weights=WeightFormat(3, Sign.BIT, 1))
    given = *module_of(load), inputs_of(load)
    exact, rounded = (simulate(*given, machine=few, cores=6, precision=word) for word in ("exact", "machine"))
    assert exact.raster == rounded.exact == run(load)
    assert "do not fit 3 bits of loihi1" in str(exact)
    assert rounded.raster != rounded.exact
    size = load.neurons
    apart = int((rounded.raster.dense(size) != run(load).dense(size)).sum())
    assert rounded.as_dict()["weights"]["differing_spikes"] == apart > 0
    assert f"{apart:,} spikes differ" in str(rounded)
    assert set(np.unique(rounded.synapses.weight)) <= {s * m for s in (2**k for k in range(12)) for m in range(-4, 4)}


def test_weights_that_fit_give_the_same_spikes():
    load = workload("sheet-small")
    found = simulate(*module_of(load), inputs_of(load), cores=4, precision="machine")
    assert found.raster == found.exact
    assert found.stored.changed == {}
    assert "0 of 1,952 changed" in str(found)
    with pytest.raises(UserError, match="there is no precision 'machin'"):
        simulate(*module_of(load), inputs_of(load), precision="machin")
