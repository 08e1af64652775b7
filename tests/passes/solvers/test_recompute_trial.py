"""What a choice costs, as the checker counts it."""

import numpy as np
import pytest
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_schedule import Choice, droppable
from gossamer.passes.solvers.recompute_trial import Trials

from .training_steps import drawn


def test_seconds_and_bytes_are_those_of_the_checker():
    rng = np.random.default_rng(3)
    for _ in range(200):
        graph = drawn(rng)
        trials = Trials(graph)
        kept = frozenset(v for v in droppable(graph) if rng.random() < 0.5)
        placed = {op: int(rng.integers(len(graph.windows))) for op in range(len(graph.ops)) if graph.windows}
        trial = trials.of(Choice(kept, placed))
        account = check(graph, trial.schedule)
        assert trial.peak == account.peak
        assert trial.recomputed == pytest.approx(account.recomputed)
        assert trial.exposed == pytest.approx(account.exposed)
        assert trial.hidden == pytest.approx(account.hidden)


def test_a_choice_is_written_once_and_the_best_in_a_budget_is_found():
    graph = drawn(np.random.default_rng(4))
    trials = Trials(graph)
    everything = trials.of(Choice(frozenset(droppable(graph))))
    assert trials.of(Choice(frozenset(droppable(graph)))) is everything
    trials.of(Choice(frozenset()))
    assert trials.best(everything.peak) is everything
    assert trials.best(0) is None
