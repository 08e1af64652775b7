"""What a partition makes of the cores, against counting."""

from dataclasses import replace

import numpy as np
import pytest
from gossamer.passes.solvers import core_usage
from gossamer.passes.solvers.core_usage import carried, core_edges, cut, usage
from gossamer.passes.solvers.neuron_graph import NeuronGraph, levels
from gossamer.tests.passes.solvers.spiking_graphs import drawn, graph_of


def synapses(graph: NeuronGraph) -> list[tuple[int, int, int]]:
    """(source, target, delay) of each."""
    source = np.repeat(np.arange(graph.neurons), np.diff(graph.offsets))
    return list(zip(source.tolist(), graph.target.tolist(), graph.delay.tolist(), strict=True))


@pytest.mark.parametrize(("chunk", "sparse"), [(1 << 22, 16), (5, 0), (7, 1000)])
def test_usage_and_cut_are_what_counting_finds(monkeypatch: pytest.MonkeyPatch, chunk: int, sparse: int):
    monkeypatch.setattr(core_usage, "CHUNK", chunk)
    monkeypatch.setattr(core_usage, "SPARSE", sparse)
    generator = np.random.default_rng(0)
    for _ in range(100):
        graph, cores = drawn(generator), int(generator.integers(1, 6))
        core = np.where(graph.fixed, -1, generator.integers(0, cores, graph.neurons)).astype(np.int32)
        counted(graph, core, cores)


def counted(graph: NeuronGraph, core: np.ndarray, cores: int) -> None:
    """Compare what the library finds with sets."""
    every = synapses(graph)
    arriving = {(u, core[v]) for u, v, _ in every if core[v] >= 0}
    reaching = {(u, core[v]) for u, v, _ in every if core[v] not in (-1, core[u])}
    used = usage(graph, core, cores)
    assert used.axons_in.tolist() == [sum(c == core for _, c in arriving) for core in range(cores)]
    assert used.axons_out.tolist() == [sum(core[u] == c for u, _ in reaching) for c in range(cores)]
    packets = np.zeros(cores)
    for u, c in arriving:
        if c != core[u]:
            packets[c] += graph.packet_in * graph.rate[u]
            if core[u] >= 0:
                packets[core[u]] += graph.packet_out * graph.rate[u]
    assert np.allclose(used.packets, packets)
    for c in range(cores):
        own = np.flatnonzero(core == c)
        assert used.neurons[c] == len(own)
        assert used.work[c] == pytest.approx(graph.work[own].sum() + packets[c])
        held = graph.memory[own].sum() + graph.shared[np.unique(graph.population[own])].sum()
        assert used.synapse_bytes[c] == pytest.approx(held)
    found = cut(graph, core)
    assert found.km1 == len(reaching)
    assert found.multicast == pytest.approx(sum(graph.rate[u] for u, _ in reaching))
    delays: dict[tuple[int, int], list[int]] = {}
    for u, v, d in every:
        if core[u] >= 0 and core[v] not in (-1, core[u]):
            delays.setdefault((core[u], core[v]), []).append(d)
    edges = core_edges(graph, core)
    assert found.edges == len(edges) == len(delays)
    for p, c, dmin, dmax in zip(edges.source, edges.target, edges.dmin, edges.dmax, strict=True):
        assert (dmin, dmax) == (min(delays[p, c]), max(delays[p, c]))


def test_what_a_neuron_carries_leaves_with_it():
    """0 reaches 1 and 2 on another core: neither alone hears it. 3 reaches 1 alone."""
    graph = graph_of(4, np.array([0, 0, 3]), np.array([1, 2, 1]), packet_in=10.0, packet_out=1.0)
    core = np.array([0, 1, 1, 0], np.int32)
    assert carried(graph, core, 2).tolist() == [1.0, 10.0, 0.0, 1.0]
    assert usage(graph, core, 2).packets.tolist() == [2.0, 20.0]


def test_levels_are_the_longest_zero_delay_paths():
    graph = graph_of(6, np.array([0, 1, 0, 2, 3, 4]), np.array([1, 2, 2, 3, 0, 4]), np.array([0, 0, 0, 0, 1, 2]))
    assert levels(graph.offsets, graph.target, graph.delay).tolist() == [0, 1, 2, 3, 0, 0]


def test_a_zero_delay_cycle_is_told():
    with pytest.raises(ValueError, match="close a cycle: 3 neurons wait"):
        graph_of(4, np.array([0, 1, 1, 2, 3]), np.array([1, 1, 2, 3, 1]), np.array([0, 2, 0, 0, 0]))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rate": np.ones(3)}, "rate is of 3 neurons, offsets of 2"),
        ({"work": np.array([1.0, np.nan])}, "work is finite"),
        ({"memory": np.array([1.0, -1.0])}, "memory is finite and not negative"),
        ({"activity": np.ones((2, 3))}, r"activity is \[bins, 2\], got \[2, 3\]"),
        ({"shared": np.zeros(0)}, "population 0 has no entry in shared"),
    ],
)
def test_arrays_that_do_not_agree_are_told(given: dict, told: str):
    with pytest.raises(ValueError, match=told):
        graph_of(2, np.array([0]), np.array([1]), **given)


def test_targets_beyond_the_neurons_are_told():
    graph = graph_of(2, np.array([0]), np.array([1]))
    with pytest.raises(ValueError, match="targets are from 0 to 1, got 5 to 5"):
        replace(graph, target=np.array([5]))
    with pytest.raises(ValueError, match="offsets tell of 1 synapses, target has 2"):
        replace(graph, target=np.array([0, 1]))
