import re

import numpy as np
import pytest
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime.core_array.mapping import Mapping, hops, latency
from gossamer.runtime.spiking.arrays import Synapses
from gossamer.tests.runtime.core_array.networks import machine, mapped, network


def joined(*synapses: tuple[int, int, int], neurons: int = 6) -> Synapses:
    source, target, delay = np.array(synapses).T
    return Synapses.of(neurons, source, target, np.ones(len(source), np.int32), delay)


def test_an_edge_has_the_delays_of_its_synapses_and_distinct_axons():
    synapses = joined((0, 2, 1), (0, 3, 1), (0, 2, 4), (1, 3, 2), (2, 0, 3), (0, 1, 9), (5, 2, 0))
    edges = Mapping.of(synapses, np.array([0, 0, 1, 1, 2, -1]), slack=2).edges
    assert list(zip(edges.source, edges.target, edges.dmin, edges.dmax, edges.slots, edges.axons, strict=True)) == [
        (0, 1, 1, 4, 6, 2),
        (1, 0, 3, 3, 5, 1),
    ]


@pytest.mark.parametrize("seed", range(20))
def test_edges_of_random_networks(seed):
    net = network(seed)
    mapping, seen = mapped(net, seed), {}
    core = mapping.core
    for source, target, delay in zip(net.synapses.source, net.synapses.target, net.synapses.delay, strict=True):
        if core[source] >= 0 and core[source] != core[target]:
            seen.setdefault((core[source], core[target]), []).append((source, int(delay)))
    edges = mapping.edges
    assert list(zip(edges.source, edges.target, strict=True)) == sorted(seen)
    for edge, ends in enumerate(sorted(seen)):
        delays = [delay for _, delay in seen[ends]]
        assert (edges.dmin[edge], edges.dmax[edge]) == (min(delays), max(delays))
        assert edges.axons[edge] == len({source for source, _ in seen[ends]})


def test_a_synapse_of_no_delay_stays_between_cores():
    with pytest.raises(UserError, match="core 1 holds a synapse of no delay"):
        Mapping.of(joined((0, 1, 0), (2, 3, 0)), np.array([0, 0, 1, 1, 1, 1])[[0, 2, 2, 2, 2, 2]])


def test_hops_go_along_x_then_y_between_tiles():
    x, y = hops(machine(), np.array([0, 0, 1, 7]), np.array([1, 2, 15, 8]))
    assert x.tolist() == [0, 1, 3, 3]
    assert y.tolist() == [0, 0, 1, 1]
    assert latency(machine(), np.array([1]), np.array([15]))[0] == pytest.approx(2.1 + 3 * 4.1 + 6.5)


@pytest.mark.parametrize(
    ("core", "place", "says"),
    [
        ([0, 1], [0, 0], "two cores of the mapping share one place"),
        ([0, 1], [0, 99], "place 99 is outside the 16 cores of toy"),
        ([0, 2], [0, 1], "the mapping has 2 cores, but a neuron on core 2"),
        ([0, 0], list(range(17)), "the mapping takes 17 cores, toy has 16"),
    ],
)
def test_what_cannot_be_is_refused(core, place, says):
    none = np.zeros(0, np.int32)
    synapses = Synapses.of(2, none, none, none, none.astype(np.uint16))
    with pytest.raises(UserError, match=re.escape(says)):
        Mapping.of(synapses, np.array(core), np.array(place)).check(machine())
