import pytest
from gossamer.compiler.context import make_context
from gossamer.dialects.kernel import ARGUMENTS
from gossamer.dialects.snn import NetworkOp
from gossamer.passes.lower_networks import LowerNetworks, block_of
from gossamer.tests.runtime.spiking.networks import Example, integers, population, uniform
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr
from xdsl.traits import SymbolTable


def lowered(example: Example, records: tuple[str, ...] = ("a",)) -> ModuleOp:
    module = example.module(records)
    LowerNetworks().apply(make_context(), module)
    module.verify()
    return module


def arguments(module: ModuleOp, kernel: str) -> list[str]:
    """The arguments of a kernel."""
    found = SymbolTable.lookup_symbol(module, kernel)
    assert isinstance(found, ModuleOp)
    names = found.attributes[ARGUMENTS]
    assert isinstance(names, ArrayAttr)
    return [name.data for name in names if isinstance(name, StringAttr)]


def layer(maps: str, source: str = "6", analog: str = "", **weights) -> Example:
    lines = (
        f"snn.input @x <{source}> {analog}\n{population('a', '4', 'lif euler')}\nsnn.projection @x to @a {{ {maps} }}"
    )
    return Example(lines, weights)


W, S, B = uniform(4, 6), uniform(6), uniform(4)
FORMS = {
    "snn.dense @w": {"rows", "delays"},
    "snn.scale @s snn.dense @w snn.bias @b": {"rows", "delays", "bias0"},
    "snn.dense @w snn.bias @b snn.scale @b": {"rows", "delays", "bias0", "scale1"},
    "snn.bias @s snn.dense @w": {"given"},
    "snn.dense @w snn.dense @q": {"given"},
}


@pytest.mark.parametrize("maps", FORMS)
def test_a_projection_is_summed_as_its_maps_allow(maps):
    module = lowered(layer(maps, w=W, s=S, b=B, q=uniform(4, 4)))
    names = {name.partition(".")[2] for name in arguments(module, "n_a") if name.startswith("projection0")}
    assert names == FORMS[maps]


def test_many_columns_that_are_known_for_all_steps_are_summed_in_tiles_too():
    lines = f"""
    snn.input @x <6>
    {population("a", "64", "lif euler")}
    snn.projection @x to @a {{ snn.dense @w }}
    snn.projection @a to @a delay 1 {{ snn.dense @r }}"""
    names = arguments(lowered(Example(lines, {"w": uniform(64, 6), "r": uniform(64, 64)})), "n_a")
    assert [name for name in names if name.endswith("raster")] == ["projection0.raster"]


def test_delays_of_synapses_make_it_sparse():
    lines = f"""
    snn.input @x <6>
    {population("a", "4", "lif euler")}
    snn.projection @x to @a delays @d from 0 to 3 {{ snn.dense @w }}"""
    module = lowered(Example(lines, {"w": W, "d": integers(4, 6, low=0, high=4)}))
    assert "projection0.offsets" in arguments(module, "n_a")


def test_values_are_scaled_before_they_are_multiplied():
    assert "x.values" in arguments(lowered(layer("snn.dense @w", analog="analog", w=W)), "n_a")
    module = lowered(layer("snn.scale @s snn.dense @w", analog="analog", w=W, s=S))
    assert "projection0.given" in arguments(module, "n_a")


def test_only_what_runs_record_is_kept():
    names = arguments(lowered(layer("snn.dense @w", w=W), ("a.v",)), "n_a")
    assert [name for name in names if name.startswith("record")] == ["record.v"]


def test_names_that_are_taken_stay_and_a_second_time_changes_nothing():
    example = layer("snn.dense @n_a", n_a=W)
    module = lowered(example)
    assert "kernel @n_a_1" in str(module)
    before = str(module)
    LowerNetworks().apply(make_context(), module)
    assert str(module) == before


def test_other_types_have_no_kernel():
    lines = f"snn.input @x <4>\n{population('a', '4', 'lif euler', element='f64')}\nsnn.projection @x to @a {{}}"
    network = next(op for op in lowered(Example(lines)).ops if isinstance(op, NetworkOp))
    assert [op.kernel is not None for op in network.populations()] == [True, False]


@pytest.mark.parametrize(("size", "block"), [(512, 128), (256, 128), (300, 64), (10, 16), (1, 16), (0, 128), (130, 16)])
def test_blocks_waste_little(size, block):
    assert block_of(size) == block
