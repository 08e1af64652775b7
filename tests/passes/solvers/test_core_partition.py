"""Partitions: within every limit, even, with few packets; and what is said where nothing fits."""

from dataclasses import replace

import numpy as np
import pytest
from gossamer.passes.solvers import core_partition
from gossamer.passes.solvers.core_capacity import CapacityError
from gossamer.passes.solvers.core_partition import contiguous, partition
from gossamer.passes.solvers.core_usage import cut, usage
from gossamer.passes.solvers.neuron_graph import Capacity, NeuronGraph
from gossamer.tests.passes.solvers.spiking_graphs import blocks, drawn, graph_of, layers


def holds(graph: NeuronGraph, core: np.ndarray, capacity: Capacity) -> None:
    """Every neuron that may be on a core is, within all limits, and levels are apart."""
    assert core.dtype == np.int32
    assert np.array_equal(core < 0, graph.fixed)
    assert core.max(initial=-1) < capacity.cores
    used = usage(graph, core, capacity.cores)
    for name in ("neurons", "synapse_bytes", "axons_in", "axons_out"):
        limit = getattr(capacity, name)
        assert limit is None or np.all(getattr(used, name) <= limit)
    if np.any(graph.delay == 0):
        for own in range(capacity.cores):
            assert len(np.unique(graph.level[core == own])) <= 1


def test_any_network_is_held_or_refused():
    generator = np.random.default_rng(0)
    refused = 0
    for seed in range(150):
        graph = drawn(generator)
        capacity = Capacity(
            cores=int(generator.integers(1, 12)),
            neurons=int(generator.integers(3, 30)) if generator.random() < 0.7 else None,
            synapse_bytes=float(generator.integers(20, 80)) if generator.random() < 0.7 else None,
            axons_in=int(generator.integers(10, 100)) if generator.random() < 0.3 else None,
            axons_out=int(generator.integers(10, 100)) if generator.random() < 0.3 else None,
        )
        asked = capacity.cores if generator.random() < 0.5 else None
        try:
            core = partition(graph, capacity, asked, seed)
        except CapacityError as error:
            refused += 1
            found = error.excess
        else:
            holds(graph, core, capacity)
            found = 1.0
        assert found > 0
    assert 10 < refused < 75


@pytest.mark.parametrize("cores", [2, 5, 8])
def test_memory_that_is_just_enough_is_used(cores: int):
    generator = np.random.default_rng(cores)
    for seed in range(10):
        graph = blocks(cores * 12, 12, 4, 1, seed)
        graph = graph_of(graph.neurons, graph.sources(0, graph.neurons), graph.target, graph.delay,
                         work=generator.gamma(1.0, 10.0, graph.neurons))  # fmt: skip
        capacity = Capacity(cores, neurons=12)
        holds(graph, partition(graph, capacity, cores, seed), capacity)


def test_blocks_are_found():
    """8 blocks that are shuffled, on 8 cores: only the few synapses at random are cut."""
    graph = blocks()
    order = np.random.default_rng(1).permutation(graph.neurons)
    shuffled = graph_of(graph.neurons, order[graph.sources(0, graph.neurons)], order[graph.target], graph.delay)
    core = partition(shuffled, Capacity(8), 8)
    best = cut(graph, (np.arange(graph.neurons) // 128).astype(np.int32))
    assert cut(shuffled, core).km1 <= 1.05 * best.km1
    assert usage(shuffled, core, 8).balance <= 1.03
    assert cut(shuffled, contiguous(shuffled, Capacity(8), 8)).km1 > 3 * best.km1


def test_networks_too_large_for_all_gains_are_split_well_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(core_partition, "CELLS", 1)
    order = np.random.default_rng(1).permutation(1024)
    graph = blocks()
    shuffled = graph_of(1024, order[graph.sources(0, 1024)], order[graph.target], graph.delay,
                        work=np.random.default_rng(2).gamma(4.0, 10.0, 1024))  # fmt: skip
    capacity = Capacity(8, neurons=150)
    core = partition(shuffled, capacity, 8)
    holds(shuffled, core, capacity)
    assert usage(shuffled, core, 8).balance <= 1.02
    assert cut(shuffled, core).km1 < 0.5 * cut(shuffled, contiguous(shuffled, capacity, 8)).km1


def test_work_is_even_where_rates_are_not():
    graph = blocks()
    work = np.random.default_rng(2).gamma(0.5, 10.0, graph.neurons)
    uneven = graph_of(graph.neurons, graph.sources(0, graph.neurons), graph.target, graph.delay, work=work)
    assert usage(uneven, partition(uneven, Capacity(16), 16), 16).balance <= 1.02
    assert usage(uneven, contiguous(uneven, Capacity(16), 16), 16).balance > 1.1


def test_packets_are_work_too():
    """A hundred neurons hear many, the others nobody: to share out the packets is to share out the hundred."""
    generator = np.random.default_rng(3)
    source, target = generator.integers(0, 400, (2, 2000))
    graph = graph_of(400, source, target % 100, packet_in=1.0)
    assert usage(graph, partition(graph, Capacity(8), 8), 8).balance <= 1.05
    free = graph_of(400, source, target % 100)
    assert usage(graph, partition(free, Capacity(8), 8), 8).balance > 1.05


def test_levels_get_cores_by_their_work():
    graph = layers([20, 60, 30, 4])
    core = partition(graph, Capacity(12), 12)
    holds(graph, core, Capacity(12))
    assert len(np.unique(core[core >= 0])) == 12
    assert usage(graph, core, 12).balance <= 1.2


def test_neurons_busy_at_once_are_spread():
    """Half of the neurons work in the one half of the time, half in the other; each core gets as much of both."""
    early = np.arange(64) < 32
    activity = np.stack([early * 2.0, ~early * 2.0]).astype(np.float32)
    source = np.arange(64)
    graph = graph_of(64, source, source // 32 * 32 + (source + 1) % 32, activity=activity)
    core = partition(graph, Capacity(4), 4)
    busy = np.stack([np.bincount(core, column, 4) for column in activity])
    assert busy.max() <= 1.25 * busy.mean()


def test_loose_partitions_send_fewer_packets_for_less_even_work():
    """A torus on which each neuron reaches those near it, with uneven work."""
    generator = np.random.default_rng(0)
    source = np.repeat(np.arange(1024), 24)
    dy, dx = np.round(generator.normal(0, 2, (2, len(source)))).astype(int)
    target = (source // 32 + dy) % 32 * 32 + (source + dx) % 32
    graph = graph_of(1024, source, target, work=generator.gamma(1.0, 10.0, 1024))
    even, loose = (partition(graph, Capacity(16), 16, method=method) for method in ("multilevel", "loose"))
    assert cut(graph, loose).km1 < 0.95 * cut(graph, even).km1
    assert usage(graph, even, 16).balance <= 1.02
    assert usage(graph, loose, 16).balance <= 1.07


def test_steady_partitions_spread_neurons_that_talk_but_work_at_the_same_time():
    """8 blocks, of which one works at a time; kept together, each core is idle most of the time."""
    graph = blocks()
    activity = (np.arange(1024) // 128 == np.arange(8)[:, None]).astype(np.float32)
    graph = graph_of(1024, graph.sources(0, 1024), graph.target, graph.delay, activity=activity)
    busiest = {}
    for method in ("multilevel", "steady"):
        core = partition(graph, Capacity(8), 8, method=method)
        busiest[method] = sum(np.bincount(core, column, 8).max() for column in activity)
    assert busiest["steady"] < 0.5 * busiest["multilevel"]


def test_a_kernel_is_counted_once_on_a_core():
    graph = graph_of(20, np.zeros(0, int), np.zeros(0, int), memory=np.zeros(20), shared=np.array([50.0, 50.0]),
                     population=(np.arange(20) % 2).astype(np.int32))  # fmt: skip
    core = partition(graph, Capacity(2, synapse_bytes=60), 2)
    assert [len(np.unique(graph.population[core == own])) for own in range(2)] == [1, 1]
    assert partition(graph, Capacity(2, synapse_bytes=100), 1).max() == 0


def test_the_same_seed_gives_the_same_cores():
    graph = blocks()
    assert np.array_equal(partition(graph, Capacity(8), 8, 5), partition(graph, Capacity(8), 8, 5))


def test_without_a_number_few_cores_are_taken():
    graph = blocks(200, 20)
    core = partition(graph, Capacity(100, neurons=10))
    assert 20 <= core.max() + 1 <= 22
    assert partition(graph, Capacity(100)).max() <= 1


@pytest.mark.parametrize("neurons", [0, 1, 3])
def test_few_neurons_on_many_cores(neurons: int):
    none = np.zeros(0, int)
    graph = graph_of(neurons, none, none)
    assert len(np.unique(partition(graph, Capacity(8), 8))) == neurons
    assert len(contiguous(graph, Capacity(8), 8)) == neurons


def test_a_network_of_inputs_alone_needs_no_core():
    graph = graph_of(3, np.array([0]), np.array([1]), fixed=np.ones(3, bool))
    assert partition(graph, Capacity(0)).tolist() == [-1, -1, -1]


def test_blocks_in_order_keep_populations_apart():
    graph = layers([20, 60, 30, 10])
    core = contiguous(graph, Capacity(10), 10)
    holds(graph, core, Capacity(10))
    assert np.all(np.diff(core[20:]) >= 0)
    assert [len(np.unique(core[graph.population == own])) for own in (1, 2, 3)] == [6, 3, 1]


def test_too_few_cores_are_told_with_how_many_would_do():
    graph = layers([20, 60, 30, 4])
    with pytest.raises(CapacityError, match="takes at least 10 cores, this population split into 6") as caught:
        partition(graph, Capacity(9, neurons=10))
    error = caught.value
    assert (error.limit, error.population, error.needed, error.available) == ("cores", 1, 10, 9)
    assert (error.excess, error.cores, error.parts) == (1, 10, 6)
    holds(graph, partition(graph, Capacity(10, neurons=10)), Capacity(10, neurons=10))


def test_a_neuron_larger_than_a_core_is_told():
    graph = graph_of(3, np.array([0]), np.array([1]), memory=np.array([1.0, 90.0, 1.0]))
    with pytest.raises(CapacityError, match="neuron 1 alone") as caught:
        partition(graph, Capacity(8, synapse_bytes=64))
    assert caught.value.excess == 26


def test_axons_are_told_with_the_core_that_has_too_many():
    graph = blocks()
    with pytest.raises(CapacityError, match="axons in") as caught:
        partition(graph, Capacity(8, axons_in=100), 8)
    assert caught.value.limit == "axons_in"
    assert caught.value.needed > 100 == caught.value.available
    assert (caught.value.cores or 0) > 8


@pytest.mark.parametrize("method", ["spread", "multilevel"])
@pytest.mark.parametrize("cores", [None, 12, 14])
def test_a_population_whose_axons_are_too_many_is_split_further(method: str, cores: int | None):
    """By work alone the 64 neurons take nearly all cores, and each of the 100 before them reaches them all."""
    graph = layers([8, 100, 64])
    graph = replace(graph, work=np.where(graph.population == 2, 100.0, 1.0) * (graph.population > 0))
    free = partition(graph, Capacity(14), 12, 0, method)
    assert usage(graph, free, 14).axons_out.max() > 300
    capacity = Capacity(14, neurons=64, axons_out=300)
    core = partition(graph, capacity, cores, 0, method)
    holds(graph, core, capacity)


def test_what_no_split_can_hear_is_told_at_once():
    graph = layers([40, 20, 10])
    with pytest.raises(CapacityError, match="a neuron alone hears so many: no split fits") as caught:
        partition(graph, Capacity(64, axons_in=39))
    assert (caught.value.limit, caught.value.population, caught.value.needed) == ("axons_in", 1, 40)
    holds(graph, partition(graph, Capacity(64, axons_in=40)), Capacity(64, axons_in=40))
    double = graph_of(3, np.array([0, 0, 1]), np.array([2, 2, 2]))
    holds(double, partition(double, Capacity(3, axons_in=2)), Capacity(3, axons_in=2))


def test_synapses_and_delays_that_no_split_helps_are_told_at_once():
    """Of neurons on cores alone; a synapse that is there twice counts twice."""
    graph = graph_of(4, np.array([0, 0, 1, 3]), np.array([2, 2, 2, 0]), np.array([5, 1, 7, 9]),
                     population=np.array([0, 0, 1, 1], np.int32))  # fmt: skip
    for limits, population, needed in (({"fan_in": 2}, 1, 3), ({"delay": 8}, 0, 9), ({"delay": 4}, 0, 9)):
        with pytest.raises(CapacityError, match="no split fits") as caught:
            partition(graph, Capacity(4, **limits))
        (name,) = limits
        assert (caught.value.limit, caught.value.population, caught.value.needed) == (name, population, needed)
        assert caught.value.excess == needed - limits[name]
    assert partition(graph, Capacity(4, fan_in=3, delay=9)).min() == 0
    hosted = replace(graph, fixed=np.array([True, False, True, False]))
    assert (partition(hosted, Capacity(4, fan_in=0, delay=0)) < 0).tolist() == [True, False, True, False]
    assert partition(graph_of(0, np.array([], int), np.array([], int)), Capacity(4, fan_in=0, delay=0)).tolist() == []


def test_more_cores_than_the_array_has_are_refused():
    with pytest.raises(ValueError, match="9 cores are asked of an array of 8"):
        partition(blocks(), Capacity(8), 9)


def test_an_unknown_method_is_told():
    with pytest.raises(
        ValueError, match="unknown method 'metis', known are multilevel, loose, steady, spread, pymetis"
    ):
        partition(blocks(), Capacity(8), 8, method="metis")


def test_pymetis_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pymetis", None)
    with pytest.raises(ImportError, match="pip install pymetis"):
        partition(blocks(), Capacity(8), 8, method="pymetis")
