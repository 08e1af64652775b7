"""Megatron's choices: lawful schedules that keep and run again what Megatron does."""

import pytest
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_graph import Phase
from gossamer.passes.solvers.recompute_megatron import block, full, selective, uniform
from gossamer.passes.solvers.recompute_memory import keep_all
from gossamer.passes.solvers.recompute_stage import stage_cost
from gossamer.passes.solvers.transformer import MODELS, Execution, Sizes
from gossamer.passes.solvers.transformer_graph import Part, stage_graph
from gossamer.passes.solvers.transformer_ops import Rates

from .closed_forms import activation_bytes, layer_operations

MODEL, RATES = MODELS["gpt-2.7b"], Rates(1e14, 1e14, 1e12, 2e11, 2e-5)
EXECUTIONS = [Execution(batch=2, ranks=4), Execution(batch=2, ranks=4, sequence_parallel=True),
              Execution(batch=2, ranks=2, fused=True), Execution(batch=2, dropout=False),
              Execution(batch=2, ranks=4, overlap_weights=True)]  # fmt: skip
CHOICES = {"full": full, "uniform 2": lambda g: uniform(g, 2), "uniform 3": lambda g: uniform(g, 3),
           "block 0": lambda g: block(g, 0), "block 2": lambda g: block(g, 2), "selective": selective}  # fmt: skip


def graph_of(execution, layers=4, rates=RATES, **more):
    return stage_graph(MODEL, execution, rates, Part(layers), **more)


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("in_flight", [1, 3])
def test_every_choice_is_lawful_and_costs_what_the_checker_says(name, execution, in_flight):
    graph = graph_of(execution, in_flight=in_flight, static=1000)
    schedule = CHOICES[name](graph)
    account, cost = check(graph, schedule), stage_cost(graph, schedule)
    assert cost.recompute == pytest.approx(account.exposed, abs=1e-12)
    most = max(cost.forward_peak, cost.early[0].peak)
    assert account.peak == 1000 + (in_flight - 1) * cost.kept + most
    plain = stage_cost(graph, keep_all(graph))
    assert cost.kept <= plain.kept
    assert cost.forward == plain.forward


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_full_keeps_inputs_and_runs_the_whole_forward_pass_again(execution):
    graph = graph_of(execution)
    cost = stage_cost(graph, full(graph))
    assert cost.kept == 4 * Sizes(MODEL, execution).shard
    assert cost.recompute == pytest.approx(cost.forward)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_what_runs_early_is_not_run_late_wherever_it_is_cut(execution):
    graph = graph_of(execution)
    cost = stage_cost(graph, full(graph), points=len(graph.ops))
    assert len(cost.early) > 30
    assert [e.seconds + e.backward for e in cost.early] == pytest.approx([cost.backward] * len(cost.early))


def test_selective_keeps_all_but_what_attention_makes():
    execution = EXECUTIONS[0]
    graph = graph_of(execution)
    cost = stage_cost(graph, selective(graph))
    core = 5 * MODEL.heads * 2048 * 2048 * 2 // 4
    split = Sizes(MODEL, execution).split
    assert cost.kept == 4 * (activation_bytes(MODEL, execution) - core - split)
    again = sum(op.time for op in graph.ops if op.phase is Phase.FORWARD and op.layer is not None
                and op.name.split(".")[1] in ("scores", "softmax", "mask", "dropped", "attention"))  # fmt: skip
    assert cost.recompute == pytest.approx(again)


def test_uniform_keeps_an_input_a_group_and_takes_as_long_as_full():
    graph = graph_of(EXECUTIONS[0])
    one, two = stage_cost(graph, full(graph)), stage_cost(graph, uniform(graph, 2))
    assert two.kept == one.kept // 2
    assert two.recompute == pytest.approx(one.recompute)
    assert two.early[0].peak - two.kept > one.early[0].peak - one.kept


def test_block_runs_so_many_layers_again():
    graph = graph_of(EXECUTIONS[0])
    costs = [stage_cost(graph, block(graph, count)) for count in range(5)]
    assert costs[0].recompute == 0.0
    step = costs[1].recompute
    assert [cost.recompute for cost in costs] == pytest.approx([0.0, step, 2 * step, 3 * step, 4 * step])
    assert costs[4] == stage_cost(graph, full(graph))
    drop = activation_bytes(MODEL, EXECUTIONS[0]) - Sizes(MODEL, EXECUTIONS[0]).shard
    assert [costs[0].kept - cost.kept for cost in costs] == [drop * count for count in range(5)]


def test_full_costs_a_third_more_where_only_operations_count():
    execution = Execution(batch=1)
    rates = Rates(1.0, 1.0, 1e30, 1e30)
    cost = stage_cost(graph_of(execution, rates=rates), full(graph_of(execution, rates=rates)))
    assert cost.recompute == pytest.approx(4 * layer_operations(MODEL, execution), rel=1e-6)
    assert cost.recompute / (cost.forward + cost.backward - cost.recompute) == pytest.approx(1 / 3, rel=1e-6)
