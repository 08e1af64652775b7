"""No mapping is faster than the bound, whatever neurons share a core."""

from itertools import product

import numpy as np
import pytest
from gossamer.compiler.mapping_bound import demand_of, least_makespan
from gossamer.runtime.core_array.machine_files import load_machine
from gossamer.runtime.core_array.mapping import Mapping
from gossamer.runtime.core_array.recording import Recording
from gossamer.runtime.core_array.simulator import case_of
from gossamer.runtime.spiking.arrays import Raster, Synapses
from gossamer.tests.passes.solvers.spiking_graphs import graph_of

MACHINE = load_machine("loihi1")


def run_of(generator: np.random.Generator, dense: bool = False):
    """Two inputs and two layers of three, joined within a step, the last also to themselves: graph, recording."""
    source, target = np.nonzero(generator.random((8, 8)) < (1.0 if dense else 0.6))
    layer = np.array([0, 0, 1, 1, 1, 2, 2, 2])
    kept = (layer[target] == layer[source] + 1) | ((layer[source] == 2) & (layer[target] == 2))
    source, target = source[kept], target[kept]
    source, target = (np.concatenate((each, each[::3])) for each in (source, target))
    delay = np.where(layer[source] == layer[target], generator.integers(1, 5, len(source)), 0)
    raster = Raster.of(generator.random((6, 8)) < 0.5)
    synapses = Synapses.of(8, source, target, np.ones(len(source), np.int32), delay)
    graph = graph_of(8, source, target, delay, fixed=layer == 0, level=layer.astype(np.int32))
    return graph, Recording.of(synapses, raster, layer == 0)


def mappings(recording: Recording, cores: int):
    """All ways to put each layer on cores of its own."""
    for split in range(1, cores):
        for first in product(range(split), repeat=3):
            for second in product(range(split, cores), repeat=3):
                core = np.array([-1, -1, *first, *second], np.int32)
                core[2:] = np.unique(core[2:], return_inverse=True)[1]
                yield Mapping.of(recording.synapses, core)


def fastest(recording: Recording, cores: int) -> float:
    """The work of the busiest core on the best of all mappings."""
    works = (case_of(recording, each, MACHINE).work for each in mappings(recording, cores))
    return min(float(work.sum(axis=0).max()) for work in works)


@pytest.mark.parametrize("seed", range(6))
def test_no_mapping_is_faster(seed: int):
    graph, recording = run_of(np.random.default_rng(seed))
    for cores in (2, 3, 4):
        assert 0 < least_makespan(graph, recording, MACHINE, cores) <= fastest(recording, cores) * (1 + 1e-9)


def test_the_bound_is_near_where_all_hear_all():
    graph, recording = run_of(np.random.default_rng(1), dense=True)
    best = fastest(recording, 4)
    assert 0.95 * best < least_makespan(graph, recording, MACHINE, 4) <= best


def test_spikes_that_come_after_the_run_are_not_heard():
    """Of spikes in steps 0 and 2 of three, over delays of 1 and 2 steps: one and one; the shortest of two counts."""
    raster = Raster.of(np.array([[1, 0, 0], [0, 0, 0], [1, 0, 0]], bool))
    source, target, delay = np.array([0, 0, 0]), np.array([1, 2, 2]), np.array([2, 3, 1])
    synapses = Synapses.of(3, source, target, np.ones(3, np.int32), delay)
    graph = graph_of(3, source, target, delay, fixed=np.array([True, False, False]))
    found = demand_of(graph, Recording.of(synapses, raster, graph.fixed), MACHINE)
    assert found.hearing.tolist() == [MACHINE.time.packet_in] * 2
    assert found.targets.tolist() == [[0], [0]]
