"""A network on a core array: rasters, reports, files."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from gossamer.benchmarks.spiking_modules import inputs_of, module_of
from gossamer.benchmarks.spiking_workloads import run, workload
from gossamer.compiler.mapping import array_op, program_of
from gossamer.compiler.simulation import Simulation, simulate
from gossamer.compiler.simulation_report import relief
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime.core_array.machine_files import known_machines, load_machine
from gossamer.runtime.spiking.reference import run as by_step
from gossamer.tests.runtime.spiking.networks import Example, population, spikes, uniform
from xdsl.dialects.builtin import DictionaryAttr, FloatAttr, IntegerAttr, StringAttr, i64

SMALL = ("mlp-small", "srnn-small", "conv-small", "sheet-small", "pd-small")


def simulated(name: str, **options) -> Simulation:
    load = workload(name)
    return simulate(*module_of(load), inputs_of(load), **options)


@pytest.mark.parametrize("name", SMALL)
def test_a_workload_fires_what_it_fires_without_a_machine(name):
    assert simulated(name, cores=6).raster == run(workload(name))


@pytest.mark.parametrize("policy", ["auto", "dependency", "group", "barrier"])
def test_every_policy_has_bounds_and_losses_that_add_up(policy):
    found = simulated("srnn-small", cores=8, policy=policy)
    timing = found.timing
    assert timing.bounds.work <= timing.bounds.core <= timing.makespan_ns * (1 + 1e-9)
    assert 0 < found.least_ns <= timing.bounds.core
    assert timing.bounds.work + timing.losses.total == pytest.approx(timing.makespan_ns)
    assert set(timing.baselines) == {"sequential", "pipelined", "cheap"}


def test_auto_is_never_slower_than_the_ideal_barrier():
    for name in SMALL:
        timing = simulated(name, cores=8).timing
        assert timing.makespan_ns <= timing.baselines["cheap"] * (1 + 1e-9)


def test_the_busiest_core_is_only_to_be_relieved_where_some_mapping_can():
    found = simulated("mlp-small", cores=4)
    can = replace(found, least_ns=0.5 * found.timing.bounds.core)
    assert re.fullmatch(
        r"core \d \(.*\) is the busiest: profile .*, or use other --cores \(124 more are free\)", relief(can)
    )
    cannot = replace(found, least_ns=0.99 * found.timing.bounds.core)
    assert "any mapping onto 4 cores has one about as busy: use other --cores" in relief(cannot)


def test_the_report_tells_times_bounds_losses_and_energies():
    text = str(simulated("mlp-small", cores=4))
    for part in (
        "barrier, layer after layer",
        "any mapping onto 4 cores",
        "all work shared evenly",
        "spatial imbalance",
        "static",
        "certified",
    ):
        assert part in text


def test_figures_are_json():
    found = json.loads(json.dumps(simulated("pd-small", cores=4).as_dict()))
    assert found["makespan_ns"] > 0
    assert found["cores"] == 4
    assert sum(v for name, v in found["energy_pj"].items() if name != "total") == pytest.approx(
        found["energy_pj"]["total"]
    )


def test_without_cores_a_number_is_chosen():
    found = simulated("mlp-small")
    assert 3 <= found.timing.mapping.cores <= found.machine.cores


def test_pictures_are_written(tmp_path):
    pytest.importorskip("matplotlib")
    files = simulated("sheet-small", cores=4).write_plots(tmp_path / "plots")
    assert [path.name for path in files] == ["mesh.png", "skew.png", "raster.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files)
    assert len(list((tmp_path / "plots").iterdir())) == 3


def test_a_trace_is_json(tmp_path):
    path = tmp_path / "trace.json"
    found = simulated("mlp-small", cores=4)
    found.write_trace(path)
    events = json.loads(path.read_text())
    events = events["traceEvents"] if isinstance(events, dict) else events
    assert len([event for event in events if event.get("ph") == "X"]) >= 4 * found.raster.steps


@pytest.mark.parametrize("name", known_machines())
def test_a_machine_becomes_an_op_with_all_its_constants(name):
    machine = load_machine(name)
    op = array_op(machine)
    op.verify()
    assert op.cores == machine.cores
    assert op.limit("neurons") == machine.limits.neurons
    for section, costs in (("time", machine.time), ("energy", machine.energy)):
        told = op.constants.data[section]
        assert isinstance(told, DictionaryAttr)
        assert {n: v.value.data for n, v in told.data.items() if isinstance(v, FloatAttr)} == vars(costs)
    sources = op.constants.data["sources"]
    assert isinstance(sources, DictionaryAttr)
    assert {n: v.data for n, v in sources.data.items() if isinstance(v, StringAttr)} == machine.sources


def test_a_program_whose_proof_is_broken_is_not_called_certified():
    found = simulated("srnn-small", cores=8)
    assert found.as_dict()["certified"]
    tile = next(program_of(found.mapped.module).tiles())
    tile.properties["potential"] = IntegerAttr(10**6, i64)
    assert not found.as_dict()["certified"]
    assert "not certified" in str(found)


def test_wrong_spikes_are_refused():
    load = workload("mlp-small")
    module, weights = module_of(load)
    given = inputs_of(load)
    name = next(iter(given))
    with pytest.raises(UserError, match=r"expected \[steps, 40\], got \[20, 39\]"):
        simulate(module, weights, {name: given[name][:, :39]})
    with pytest.raises(UserError, match="spikes are 0 or 1, got 2"):
        simulate(module, weights, {name: given[name].astype(int) * 2})
    with pytest.raises(UserError, match="the inputs are"):
        simulate(module, weights, {"other": given[name]})
    with pytest.raises(UserError, match="no machine is called 'loihi3'"):
        simulate(module, weights, given, machine="loihi3")
    with pytest.raises(UserError, match="there is no policy 'dependancy'"):
        simulate(module, weights, given, policy="dependancy")
    with pytest.raises(UserError, match="there is no method 'metis'"):
        simulate(module, weights, given, method="metis", cores=4)


def test_real_numbers_between_populations_are_refused():
    from gossamer.compiler.context import parse_text

    module = parse_text(
        """
        aten.weight constant @w : tensor<2x2xf32> digest "00"
        snn.network @n dt 1.0 {
          snn.input @x <2> analog
          snn.population @a <2> : f32 if euler {r = 1.0 : f32, threshold = 1.0 : f32} fires gt reset zero now
          snn.projection @x to @a { snn.dense @w }
        }""",
        "net.mlir",
    )
    with pytest.raises(UserError, match="population @x gives real numbers to @a"):
        simulate(module, {"w": np.ones((2, 2), np.float32)}, [np.ones((3, 2))])


def graded() -> tuple:
    """Inputs to leaky integrators that never fire, whose v goes to neurons that do."""
    weights = {"w": uniform(20, 12), "u": uniform(6, 20, seed=2)}
    lines = f"""
    snn.input @x <12>
    {population("li", "20", "li exponential")}
    {population("out", "6", "lif exponential", threshold=0.2)}
    snn.projection @x to @li {{ snn.dense @w }}
    snn.projection @li to @out delay 1 {{ snn.dense @u }}"""
    example = Example(lines, weights)
    return example.module(), weights, [spikes(30, 1, 12)[:, 0]]


@pytest.mark.parametrize("machine", ["generic", "ipu-mk2", "spinnaker2"])
def test_real_numbers_go_in_a_packet_of_every_step_where_packets_carry_numbers(machine):
    module, weights, x = graded()
    found = simulate(module, weights, x, machine=machine, cores=4)
    network = found.network
    (z,) = by_step(network, [x[0][:, None]], ["out"])
    assert z.any()
    assert np.array_equal(found.raster.dense(network.neurons)[:, 32:], z[:, 0] != 0)
    assert not found.raster.dense(network.neurons)[:, 12:32].any()
    mapping = found.timing.mapping
    apart = {(neuron, core) for neuron in range(12, 32) for core in np.unique(mapping.core[32:])} - {
        (neuron, mapping.core[neuron]) for neuron in range(12, 32)
    }
    assert found.timing.packets == 30 * len(apart)
    assert "li sends numbers: a packet of each neuron in every step" in str(found)
    assert found.timing.traffic.active[:, np.unique(mapping.core[12:32])].sum() >= 30 * 20


@pytest.mark.parametrize("machine", ["loihi1", "truenorth", "odin"])
def test_real_numbers_are_refused_where_packets_carry_none(machine):
    with pytest.raises(UserError, match=r"@li gives real numbers to @out, on .*: packets carry no numbers there"):
        simulate(*graded(), machine=machine)


def test_no_steps_and_no_spikes():
    load = workload("mlp-small")
    silent = {name: np.zeros_like(spikes) for name, spikes in inputs_of(load).items()}
    assert not len(simulate(*module_of(load), silent, cores=4).raster.neuron)
    none = {name: spikes[:0] for name, spikes in inputs_of(load).items()}
    assert simulate(*module_of(load), none, cores=4).timing.makespan_ns == 0
