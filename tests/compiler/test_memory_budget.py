"""Models within budgets: eager's bits, and the predicted peak is what the allocator gave out, to the byte."""

import copy
import random
from dataclasses import replace

import gossamer
import pytest
import torch
from gossamer.compiler.context import print_module
from gossamer.compiler.frontends.joint import import_step
from gossamer.compiler.pipeline import run_pipeline
from gossamer.compiler.step_costs import measure_step, metered
from gossamer.dialects.diagnostics import UserError
from gossamer.passes.analysis.training_graph import training_graph
from gossamer.passes.rematerialization import apply_schedule
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_graph import Graph
from gossamer.passes.solvers.recompute_memory import keep_all, live_bytes, peak
from gossamer.passes.solvers.recompute_schedule import Choice, droppable, schedule_of
from gossamer.passes.split_random_ops import join_random_ops
from gossamer.runtime.allocations import allocations
from gossamer.runtime.executor import Program, find
from gossamer.tests.training import check_call, differences, same
from gossamer.tests.training_zoo import STEPS


def without_workspace(graph: Graph) -> Graph:
    """What storages alone take."""
    ops = tuple(type(op)(**{**vars(op), "workspace": 0}) for op in graph.ops)
    values = tuple(replace(value, replayed=None) for value in graph.values)
    return Graph(ops, values, graph.outputs, graph.windows, graph.static, graph.in_flight)


@pytest.mark.parametrize("name", STEPS)
def test_whatever_is_kept_the_peak_is_known_to_the_byte(name):
    torch.manual_seed(0)
    model, loss_fn, batch = STEPS[name]()
    imported = import_step(model, loss_fn, batch)
    args, weights = [*batch, torch.ones(())], imported.weights
    torch.manual_seed(3)
    with torch.no_grad():
        expected = Program.build(imported.module, weights, "step")(args)
    run_pipeline(imported.module, "split-random-ops")
    measure_step(imported.module, weights, args)
    graph, draw = training_graph(imported.function).graph, random.Random(name)
    assert training_graph(imported.function).schedule == keep_all(graph)
    for share in (0.0, 0.5, 0.8):
        kept = frozenset(value for value in droppable(graph) if draw.random() < share)
        schedule = schedule_of(graph, Choice(kept))
        program = imported.module.clone()
        function = find(program, "step")
        apply_schedule(function, training_graph(function), schedule)
        program.verify()
        assert training_graph(function).schedule == schedule
        join_random_ops(function)
        joined = training_graph(function)
        meter = metered(program, weights, args)
        assert [most for _, most in meter.peaks] == live_bytes(without_workspace(joined.graph), joined.schedule)
        assert graph.static + allocations(program, weights, args, "step").peak == check(graph, schedule).peak
        torch.manual_seed(3)
        with torch.no_grad():
            results = Program.build(program, weights, "step")(args)
        assert all(map(same, results, expected))


BUDGETS = {"MLP": "95%", "CNN": "90%", "GPT-2": "60%", "GPT-2 eager": "60%", "BERT": "80%", "ViT": "80%", "T5": "80%"}


@pytest.mark.parametrize("name", BUDGETS)
def test_a_step_within_a_budget_trains_as_eager_does(name):
    torch.manual_seed(0)
    model, loss_fn, batch = STEPS[name]()
    eager = copy.deepcopy(model)
    step = gossamer.compile_training(model, loss_fn, batch, memory_budget=BUDGETS[name])
    for number in range(2):
        check_call(step, model, eager, loss_fn, batch, number)
    report = step.memory
    assert report.budget is not None
    assert report.measured == report.predicted <= report.budget < report.keep_all
    assert report.recomputed > 0
    assert f"budget {report.budget:,} bytes: predicted peak {report.predicted:,}" in step.explain()


def test_keyed_randomness_is_computed_again_too():
    torch.manual_seed(0)
    model, loss_fn, batch = STEPS["GPT-2 eager"]()
    other = copy.deepcopy(model)
    one = gossamer.compile_training(model, loss_fn, batch, randomness="keyed", seed=1, memory_budget="55%")
    two = gossamer.compile_training(other, loss_fn, batch, randomness="keyed", seed=1)
    for _ in range(2):
        assert same(one(*batch), two(*batch))
    assert not differences(model, other)
    assert one.memory.recomputed > 0


def test_compiling_changes_neither_the_model_nor_the_random_stream():
    torch.manual_seed(0)
    model, loss_fn, batch = STEPS["CNN"]()
    before, state = copy.deepcopy(model), torch.get_rng_state()
    gossamer.compile_training(model, loss_fn, batch, memory_budget="100%")
    assert torch.equal(state, torch.get_rng_state())
    assert all(map(same, model.state_dict().values(), before.state_dict().values()))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_step_can_be_fitted_again_and_is_measured_once(monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    model, loss_fn, batch = STEPS["GPT-2"]()
    step = gossamer.compile_training(model, loss_fn, batch, memory_budget="60%")
    text = print_module(step.module)
    monkeypatch.delattr("gossamer.compiler.memory_budget.measure_step")
    step.fit(batch, "100%")
    assert "remat.of" not in print_module(step.module)
    step.fit(batch, "60%")
    assert print_module(step.module) == text


def test_a_step_is_fitted_to_what_it_was_compiled_for():
    """To the strides and the mode, as it is called."""
    torch.manual_seed(0)
    model, loss_fn, (x, y) = STEPS["CNN"]()
    step = gossamer.compile_training(model, loss_fn, (x, y))
    step.fit((x.to(memory_format=torch.channels_last), y), "90%")
    other = gossamer.compile_training(model, loss_fn, (x, y), memory_budget="90%")
    assert step.memory.predicted == other.memory.predicted
    model.eval()
    with pytest.raises(UserError, match="the model is in evaluation mode"):
        step.fit((x, y), "90%")


def test_what_is_no_budget_is_told_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gossamer.compiler.memory_budget.measure_step", None)
    model, loss_fn, batch = STEPS["MLP"]()
    with pytest.raises(UserError, match="memory budget '60 percent': expected bytes"):
        gossamer.compile_training(model, loss_fn, batch, memory_budget="60 percent")


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (1, "a budget of 1 bytes cannot be met"),
        ("half", "memory budget 'half': expected bytes"),
        (0.6, "memory_budget is a float, expected bytes or a text"),
        (True, "memory_budget is a bool"),
    ],
)
def test_a_budget_that_cannot_be_met_is_refused(budget, message):
    model, loss_fn, batch = STEPS["MLP"]()
    with pytest.raises(UserError, match=message):
        gossamer.compile_training(model, loss_fn, batch, memory_budget=budget)


def test_states_of_the_random_stream_count_only_where_a_replay_reads_them():
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 8))
    step = gossamer.compile_training(model, lambda model, x: model(x).square().mean(), (torch.ones(4, 8),))
    step.fit((torch.ones(4, 8),), "100%")
    found = step.memory
    assert found.budget == found.predicted == found.measured
    assert found.predicted < 5056
    assert (found.floor or 0) <= found.predicted


def test_identical_layers_have_identical_costs():
    torch.manual_seed(0)
    model, loss_fn, batch = STEPS["GPT-2"]()
    step = gossamer.compile_training(model, loss_fn, batch, memory_budget="100%")
    graph = training_graph(find(step.module, "step")).graph
    costs = [[op.time for op in graph.ops if op.layer == layer and op.phase == "forward"] for layer in (1, 2)]
    assert costs[0] == costs[1]
    assert sum(costs[0]) > 0
    assert peak(graph, keep_all(graph)) > graph.static
