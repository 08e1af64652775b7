"""A transformer's graph: bytes as the closed forms say, operations as they count, windows where ranks meet."""

import pytest
from gossamer.passes.solvers.recompute_graph import Phase
from gossamer.passes.solvers.recompute_stage import batch_bytes, parts, sequenced
from gossamer.passes.solvers.transformer import (
    MODELS,
    Execution,
    Sizes,
    Transformer,
    layer_parameters,
    stage_parameters,
)  # fmt: skip
from gossamer.passes.solvers.transformer_graph import Part, stage_graph
from gossamer.passes.solvers.transformer_ops import Rates

from .closed_forms import activation_bytes, layer_operations

UNIT = Rates(product=1.0, attention=1.0, memory=1e30, bus=1.0)
"""Seconds are operations, and bytes that travel."""


def kept(model, execution, part):
    """Bytes that the plain schedule holds when the forward pass ends."""
    graph = stage_graph(model, execution, UNIT, part)
    schedule = sequenced(graph, range(len(graph.ops)))
    return batch_bytes(graph, schedule)[1][len(parts(graph, schedule).forward) - 1]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("dropout", [False, True])
def test_a_layer_keeps_what_the_closed_form_says(name, ranks, parallel, fused, dropout):
    model = MODELS[name]
    execution = Execution(2048, 4, ranks, fused, parallel, dropout)
    one, three = (kept(model, execution, Part(layers)) for layers in (1, 3))
    assert (three - one) / 2 == activation_bytes(model, execution)


def test_the_papers_forms_are_met():
    model, n = MODELS["gpt-6.7b"], 8192
    core = 5 * 32 * 2048 / 4096
    assert activation_bytes(model, Execution(2048, 4, 1)) == n * 4096 * (34 + core)
    assert activation_bytes(model, Execution(2048, 4, 4)) == n * 4096 * (10 + 24 / 4 + core / 4)
    assert activation_bytes(model, Execution(2048, 4, 4, sequence_parallel=True)) == n * 4096 / 4 * (34 + core)
    assert activation_bytes(model, Execution(2048, 4, 4)) == pytest.approx(1208e6, rel=1e-4)


def seconds(graph, phase, layer=0):
    return sum(op.time for op in graph.ops if op.phase is phase and op.layer == layer)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("ranks", [1, 4])
def test_a_layer_does_the_operations_of_the_closed_form_and_its_gradient_twice_as_many(fused, ranks):
    model, execution = MODELS["gpt-2.7b"], Execution(2048, 2, ranks, fused)
    graph = stage_graph(model, execution, UNIT, Part(1))
    forward = layer_operations(model, execution)
    assert seconds(graph, Phase.FORWARD) == pytest.approx(forward, rel=1e-6)
    again = 2 * 2048 * 2 * 2048 * model.hidden / ranks if fused else 0
    assert seconds(graph, Phase.BACKWARD) == pytest.approx(2 * forward + again, rel=1e-6)


@pytest.mark.parametrize("parallel", [False, True])
def test_ranks_meet_four_times_a_layer_or_scatter_and_gather_as_often(parallel):
    model, execution = MODELS["gpt-1.3b"], Execution(2048, 1, 4, sequence_parallel=parallel)
    graph = stage_graph(model, execution, UNIT, Part(3))
    whole = UNIT.all_reduce(Sizes(model, execution).hidden, 4)
    found = sum(window.seconds for window in graph.windows) / whole
    assert found == pytest.approx(3 * (5 if parallel else 4))
    assert len(graph.windows) == 3 * (10 if parallel else 4)
    assert not stage_graph(model, Execution(ranks=1, sequence_parallel=parallel), UNIT, Part(3)).windows


def test_gradients_of_weights_can_run_while_the_gradient_of_the_input_is_reduced():
    model = MODELS["gpt-1.3b"]
    orders = []
    for overlap in (False, True):
        graph = stage_graph(model, Execution(ranks=2, overlap_weights=overlap), UNIT, Part(1))
        names = [op.name for op in graph.ops]
        orders.append(names.index("0.fc1.weight") - names.index("0.reduce3.start"))
        assert names.index("0.fc1.weight") < names.index("0.reduce3.wait")
    assert orders == [-1, 1]


def test_the_first_stage_embeds_and_the_last_has_logits_and_loss():
    model = MODELS["gpt-1.3b"]
    names = {op.name for op in stage_graph(model, Execution(ranks=2), UNIT, Part(1, first=True, last=True)).ops}
    assert {"embedding", "embedding.weight", "logits", "loss", "logits.weight"} <= names
    assert not {"receive", "send", "receive gradient", "send gradient"} & names
    middle = {op.name for op in stage_graph(model, Execution(ranks=2), UNIT, Part(1)).ops}
    assert {"receive", "send", "receive gradient", "send gradient"} <= middle


def test_parameters_are_those_that_the_models_are_named_after():
    for name, billions in (("gpt-1.3b", 1.3), ("gpt-2.7b", 2.7), ("gpt-6.7b", 6.7), ("gpt-13b", 13), ("gpt-20b", 20)):
        model = MODELS[name]
        own = stage_parameters(model, Execution(), model.layers, first=True, last=False)
        assert own / 1e9 == pytest.approx(billions, rel=0.04)
    h = 64
    assert layer_parameters(Transformer(1, h, 4), 1) == 12 * h * h + 13 * h


@pytest.mark.parametrize("execution", [Execution(ranks=4), Execution(ranks=4, fused=True, sequence_parallel=True)])
def test_every_value_is_read_and_none_before_it_is_made(execution):
    graph = stage_graph(MODELS["gpt-1.3b"], execution, UNIT, Part(2, first=True, last=True))
    for index, op in enumerate(graph.ops):
        assert all(graph.values[value].producer < index for value in op.reads)
    assert all(graph.readers[value] for value in range(len(graph.values)))
