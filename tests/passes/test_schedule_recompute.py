"""A step within its budget: what is asked for is met, what cannot be met says what can."""

import pytest
from gossamer.compiler.context import print_module
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.diagnostics import UserError
from gossamer.dialects.remat import BUDGET, RUNG, number_of, text_of
from gossamer.passes.schedule_recompute import budget_bytes
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_memory import keep_all, peak
from gossamer.tests.passes.step_programs import STEP, module, read, step_of, written
from xdsl.dialects.builtin import ModuleOp

WIDE = STEP.replace(
    "%s = aten", '%w = aten.call "aten.cat.default"([%b, %b, %b]) : (ROWS) -> tensor<12x8xf32>\n    %s = aten'
)
"""The same, with much memory in use when the forward pass ends, so that it pays to have little else."""


def wide() -> ModuleOp:
    return module(WIDE)


def test_budgets_are_bytes_or_a_share():
    for text, expected in {"60%": 160, "0%": 100, "2GiB": 2**31, "3 MB": 3_000_000, "1e3": 1000, "77": 77}.items():
        assert budget_bytes(text, static=100, most=200) == expected
    for text in ("", "much", "-3", "2GiBs", "%", "0"):
        with pytest.raises(UserError, match=r"memory budget '.*': expected"):
            budget_bytes(text, 100, 200)


def test_where_all_fits_nothing_runs_again():
    program = wide()
    run_pipeline(program, "schedule-recompute")
    assert read(program).schedule == keep_all(read(wide()).graph)


def test_a_budget_is_met():
    program, graph = wide(), read(wide()).graph
    budget = peak(graph, keep_all(graph)) - 128
    run_pipeline(program, f"schedule-recompute{{budget={budget}}}")
    training = read(program)
    assert check(training.graph, training.schedule, budget).peak <= budget
    assert any(step.life for step in training.schedule.steps), written(training)
    assert number_of(step_of(program), BUDGET) == budget
    assert text_of(step_of(program), RUNG) == "mix"


def test_a_step_can_be_scheduled_again():
    program, graph = wide(), read(wide()).graph
    first = peak(graph, keep_all(graph))
    run_pipeline(program, f"schedule-recompute{{budget={first - 128}}},schedule-recompute{{budget={first}}}")
    assert not any(step.life for step in read(program).schedule.steps)


def test_a_budget_that_cannot_be_met_says_which_can():
    with pytest.raises(UserError, match="a budget of 200 bytes cannot be met") as caught:
        run_pipeline(wide(), "schedule-recompute{budget=200}")
    assert "the smallest found is" in str(caught.value)


def test_a_step_without_times_is_not_guessed_at():
    text = print_module(wide()).replace("train.time", "train.wait")
    with pytest.raises(UserError, match="no op has a time"):
        run_pipeline(module(text), "schedule-recompute")


def test_the_same_step_gives_the_same_text():
    one, other = wide(), wide()
    for program in (one, other):
        run_pipeline(program, 'schedule-recompute{budget="80%"}')
    assert print_module(one) == print_module(other)
