"""Layers that are identical."""

from dataclasses import replace

from gossamer.passes.solvers.recompute_layers import kinds_of
from gossamer.passes.solvers.recompute_units import units_of

from .training_steps import chain, pipeline_stage


def test_identical_layers_are_of_one_kind():
    units = units_of(pipeline_stage(5))
    (kind,) = kinds_of(units)
    assert [layer.number for layer in kind.layers] == [0, 1, 2, 3, 4]
    assert kind.model.number == 2
    outputs = [op for op in units.graph.ops if op.name == "down2"]
    assert kind.boundary == {outputs[0].results[0]}
    moved = kind.storages(kind.layers[4])
    assert {units.graph.ops[units.graph.values[s].producer].name for s in moved.values()} >= {"norm4", "down4"}


def test_other_sizes_or_times_are_another_kind_and_noise_is_not():
    graph = chain(4)
    sized = replace(graph, values=(*graph.values[:3], replace(graph.values[3], size=99), *graph.values[4:]))
    assert sorted(len(kind.layers) for kind in kinds_of(units_of(sized))) == [1, 3]
    slow = replace(graph, ops=(*graph.ops[:2], replace(graph.ops[2], time=50.0), *graph.ops[3:]))
    assert sorted(len(kind.layers) for kind in kinds_of(units_of(slow))) == [1, 3]
    noisy = replace(graph, ops=tuple(replace(op, time=op.time * (1 + 0.01 * i)) for i, op in enumerate(graph.ops)))
    assert [len(kind.layers) for kind in kinds_of(units_of(noisy))] == [4]
