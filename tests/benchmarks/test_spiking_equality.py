"""The five workloads, small: torch, the step by step loops, kernels and all policies of messages fire the same."""

import pytest
from gossamer.benchmarks.spiking_equality import POLICIES, mapped, ways
from gossamer.benchmarks.spiking_workloads import WORKLOADS, workload
from gossamer.runtime.core_array.groups import dense_blocks
from gossamer.runtime.core_array.mapping import NO_GROUP

CORES = {"srnn": 20}
"""Enough that the hidden layers hear themselves through a collector."""


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_way_of_running_a_workload_fires_the_same(name: str):
    pytest.importorskip("llvmlite")
    load = workload(f"{name}-small", seed=5)
    runs = ways(load, CORES.get(name, 8))
    expected = runs.pop("torch")()
    own = ~load.is_input
    assert own[expected.neuron].any()
    assert set(POLICIES) < set(runs)
    for way, found in runs.items():
        raster = found()
        assert raster == expected, (way, expected.first_difference(raster))


def test_a_recurrent_network_has_blocks_that_go_through_a_collector():
    mapping = mapped(workload("srnn-small", seed=5), CORES["srnn"])
    assert (dense_blocks(mapping) != NO_GROUP).any()
