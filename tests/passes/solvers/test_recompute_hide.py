"""Recomputation moves into windows, within the budget."""

import numpy as np
import pytest
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_graph import Phase, Window
from gossamer.passes.solvers.recompute_hide import hide
from gossamer.passes.solvers.recompute_plan import plan
from gossamer.passes.solvers.recompute_schedule import Choice, droppable
from gossamer.passes.solvers.recompute_trial import Trial, Trials

from .training_steps import Builder, drawn, pipeline_stage


def forgotten(trials: Trials, *names: str) -> Trial:
    """Nothing is kept of the ops `names`, and all else is."""
    graph = trials.graph
    gone = {value for op in graph.ops if op.name.rstrip("0123456789") in names for value in op.results}
    return trials.of(Choice(frozenset(droppable(graph)) - gone))


def test_what_runs_late_goes_to_the_last_window_that_has_room():
    trials = Trials(pipeline_stage(3, flying=1, seconds=1.2))
    late = forgotten(trials, "up", "gelu")
    assert late.exposed == pytest.approx(3.3)
    found = hide(trials, late, 1000)
    assert found.exposed == pytest.approx(1.1)  # no window opens before the backward pass of the last layer
    ops = trials.graph.ops
    starts = {op.starts: op.name for op in ops}
    placed = {ops[op].name: starts[window] for op, window in found.choice.placed.items()}
    assert placed == {f"{op}{layer}": f"start_g{layer + 1}" for op in ("up", "gelu") for layer in (0, 1)}


def test_collectives_stay_and_what_reads_them_stays_behind_them():
    trials = Trials(pipeline_stage(2, flying=1, seconds=5.0))
    late = forgotten(trials, "attention", "start_f", "wait_f", "up", "gelu")
    found = hide(trials, late, 1000)
    check(trials.graph, found.schedule)
    names = {trials.graph.ops[op].name for op in found.choice.placed}
    assert "attention0" in names
    assert not names & {"up0", "up1", "gelu0", "wait_f0"}


def test_bytes_that_would_be_there_too_early_keep_it_late():
    """A window ends while much is alive that is gone when the recomputation is read."""
    b = Builder()
    (a,) = b.op("a", [0], [10], time=1.0)
    (big,) = b.op("big", [0], [50])
    (started,) = b.op("start", [big], [0], Phase.BACKWARD, starts=0)
    (arrived,) = b.op("wait", [started], [0], Phase.BACKWARD, waits=0)
    (first,) = b.op("first", [big, arrived], [1], Phase.BACKWARD)
    (last,) = b.op("last", [a, first], [10], Phase.BACKWARD)
    trials = Trials(b.graph([last], windows=(Window(2.0),)))
    late = forgotten(trials, "a")
    assert (late.exposed, late.peak) == (1.0, 51)
    assert hide(trials, late, 60) is late
    assert hide(trials, late, 61).exposed == 0.0


def test_a_recomputation_finds_given_back_what_was_read_in_its_window():
    b = Builder()
    (a,) = b.op("a", [0], [10], time=1.0)
    (big,) = b.op("big", [0], [50])
    (started,) = b.op("start", [big], [0], Phase.BACKWARD, starts=0)
    (first,) = b.op("first", [big], [1], Phase.BACKWARD)
    (arrived,) = b.op("wait", [started], [0], Phase.BACKWARD, waits=0)
    (last,) = b.op("last", [a, first, arrived], [10], Phase.BACKWARD)
    trials = Trials(b.graph([last], windows=(Window(2.0),)))
    hidden = hide(trials, forgotten(trials, "a"), 51)
    assert (hidden.exposed, hidden.peak) == (0.0, 51)
    assert [trials.graph.ops[step.op].name for step in hidden.schedule.steps][-4:] == ["first", "a", "wait", "last"]


def test_moves_are_lawful_and_expose_no_more():
    rng, moved = np.random.default_rng(0), 0
    for _ in range(120):
        trials = Trials(drawn(rng))
        kept = frozenset(value for value in droppable(trials.graph) if rng.random() < 0.4)
        late = trials.of(Choice(kept))
        found = hide(trials, late, late.peak + int(rng.integers(0, 30)))
        account = check(trials.graph, found.schedule, max(late.peak, found.peak))
        assert account.exposed <= late.exposed
        moved += found is not late
    assert moved > 3


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_plans_of_steps_with_windows_hide_what_they_run_again(share: float):
    graph = pipeline_stage(6, flying=1, seconds=1.5)
    trials = Trials(graph)
    lean, fat = forgotten(trials, "up", "gelu", "norm", "attention"), forgotten(trials)
    found = plan(graph, lean.peak + int(share * (fat.peak - lean.peak)))
    assert check(graph, found.schedule, lean.peak + int(share * (fat.peak - lean.peak))).hidden == found.hidden
    assert found.recomputed > 1
    assert found.exposed < 0.15 * found.recomputed
