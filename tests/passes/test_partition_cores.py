"""A network is cut into tiles that fit, and the program says what it holds."""

from dataclasses import replace

import numpy as np
import pytest
from gossamer.benchmarks.spiking_modules import inputs_of, module_of
from gossamer.benchmarks.spiking_workloads import run, workload
from gossamer.compiler.context import print_module
from gossamer.compiler.mapping import array_op, map_network, neuron_graph, program_of
from gossamer.compiler.pipeline import run_pipeline
from gossamer.compiler.simulation import network_of
from gossamer.dialects.core import numbers
from gossamer.dialects.diagnostics import UserError
from gossamer.passes.partition_cores import PartitionCores
from gossamer.runtime.core_array.machine import Limits
from gossamer.runtime.core_array.machine_files import load_machine
from gossamer.runtime.spiking.arrays import NO_CORE
from gossamer.runtime.spiking.network import read_network

SMALL = ("mlp-small", "srnn-small", "conv-small", "sheet-small", "pd-small")


class Case:
    """A small workload, ready to be mapped."""

    def __init__(self, name: str, limits: Limits | None = None):
        self.load = workload(name)
        self.module, self.weights = module_of(self.load)
        self.network = read_network(network_of(self.module), self.weights)
        self.raster = run(self.load)
        self.synapses = self.network.synapses()
        machine = load_machine("generic")
        self.machine = replace(machine, limits=limits) if limits else machine

    def map(self, **options):
        op = network_of(self.module)
        graph = neuron_graph(op, self.network, self.weights, self.synapses, self.raster, self.machine)
        return map_network(self.module, self.weights, self.network, graph, self.machine, **options)


@pytest.mark.parametrize("name", SMALL)
def test_every_neuron_but_inputs_is_on_a_tile_and_tiles_tell_what_they_hold(name):
    case = Case(name)
    mapped = case.map(cores=8)
    program = program_of(mapped.module)
    tiles = list(program.tiles())
    assert (mapped.mapping.core == NO_CORE).tolist() == case.load.is_input.tolist()
    for number, tile in enumerate(tiles):
        for population in case.load.populations:
            own = mapped.mapping.core[population.lo : population.hi] == number
            assert int(own.sum()) == numbers(tile.holds).get(population.name, 0)
        assert len(set(case.load.levels[mapped.mapping.core == number])) == 1


@pytest.mark.parametrize("name", SMALL)
def test_edges_tell_of_every_synapse_between_tiles(name):
    case = Case(name)
    mapped = case.map(cores=8)
    core, synapses = mapped.mapping.core, case.synapses
    source, target = core[synapses.source], core[synapses.target]
    expected = {}
    for a, b, delay in zip(source.tolist(), target.tolist(), synapses.delay.tolist(), strict=True):
        if a != b and a != NO_CORE:
            low, high = expected.get((a, b), (delay, delay))
            expected[a, b] = min(low, delay), max(high, delay)
    found = {
        (edge.source.value.data, edge.target.value.data): (edge.least.value.data, edge.longest.value.data)
        for edge in program_of(mapped.module).edges()
    }
    assert found == expected


def test_the_same_network_gives_the_same_text():
    texts = [print_module(Case("pd-small").map(cores=6).module) for _ in range(2)]
    assert texts[0] == texts[1]


def test_what_does_not_fit_is_refused_with_limit_population_and_a_split():
    pattern = r"@mlp-small does not fit @generic: population @\w+ needs .* too many"
    with pytest.raises(UserError, match=pattern) as caught:
        Case("mlp-small", Limits(synapse_bytes=10, weight_bits=8)).map()
    assert "hint:" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "limit", "told"),
    [
        ("mlp-small", {"fan_in": 10}, r"needs \d+ synapses of one neuron \(fan in\), there are 10 \(\d+ too many\)"),
        ("pd-small", {"delay": 15}, r"needs \d+ steps of delay, there are 15 \(\d+ too many\)"),
    ],
)
def test_limits_of_a_neuron_are_refused_with_limit_and_population(name, limit, told):
    with pytest.raises(UserError, match=rf"@{name} does not fit @generic: population @\w+ {told}") as caught:
        Case(name, Limits(**limit)).map()
    assert "hint: " in str(caught.value)
    assert "no split fits" in str(caught.value)


def test_a_text_alone_is_no_network():
    case = Case("mlp-small")
    module = case.module.clone()
    module.body.block.add_op(array_op(case.machine))
    with pytest.raises(UserError, match="needs the neurons of the network"):
        run_pipeline(module, "partition-cores")


def test_convolutions_share_their_kernels():
    case = Case("conv-small")
    op = network_of(case.module)
    graph = neuron_graph(op, case.network, case.weights, case.synapses, case.raster, case.machine)
    kernels = {kernel.target: kernel.weight.size for kernel in case.load.kernels}
    for number, population in enumerate(case.load.populations):
        own = graph.memory[population.lo : population.hi]
        if population.name in kernels:
            assert graph.shared[number] == kernels[population.name] * case.machine.limits.weight_bits / 8
            assert not own.any()
        elif population.kind != "input":
            assert own.all()


def test_work_of_a_neuron_is_its_update_its_spikes_and_what_it_hears():
    case = Case("srnn-small")
    op = network_of(case.module)
    graph = neuron_graph(op, case.network, case.weights, case.synapses, case.raster, case.machine)
    fired = case.raster.dense(case.network.neurons).sum(axis=0)
    cost, steps = case.machine.time, case.raster.steps
    neuron = int(np.flatnonzero(~case.load.is_input)[3])
    heard = sum(fired[s] for s, t in zip(case.synapses.source, case.synapses.target, strict=True) if t == neuron)
    expected = cost.update + (fired[neuron] * (cost.spike + cost.update_active) + heard * cost.synapse) / steps
    assert graph.work[neuron] == pytest.approx(expected)


def test_the_pass_leaves_tiles_in_the_weights():
    case = Case("mlp-small")
    mapped = case.map(cores=4)
    names = {name for name in mapped.weights if name.endswith(".tiles")}
    assert names == {f"{p.name}.tiles" for p in case.load.populations if p.kind != "input"}
    assert PartitionCores.name == "partition-cores"
    assert set(inputs_of(case.load)) == {p.name for p in case.load.populations if p.kind == "input"}
