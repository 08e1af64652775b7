"""A search about a schedule exposes less within the budget, with no more schedules than it may try."""

import numpy as np
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_graph import Phase
from gossamer.passes.solvers.recompute_polish import polish
from gossamer.passes.solvers.recompute_repair import tighten
from gossamer.passes.solvers.recompute_schedule import Choice, droppable
from gossamer.passes.solvers.recompute_trial import Trials
from gossamer.passes.solvers.recompute_units import units_of

from .training_steps import Builder, drawn


def test_what_is_dear_is_kept_instead_of_what_is_cheap():
    b = Builder()
    (dear,) = b.op("dear", [0], [10], time=9.0)
    (cheap,) = b.op("cheap", [0], [10], time=1.0)
    (loss,) = b.op("loss", [dear, cheap], [1])
    (first,) = b.op("first", [dear, loss], [1], Phase.BACKWARD)
    (last,) = b.op("last", [cheap, first], [1], Phase.BACKWARD)
    graph = b.graph([last])
    trials, units = Trials(graph), units_of(graph)
    start = trials.of(Choice(frozenset({loss})))
    assert (start.exposed, start.peak) == (10.0, 21)
    assert polish(trials, units, start, 21, 50).exposed == 1.0
    assert polish(trials, units, start, 22, 50).exposed == 0.0
    assert polish(trials, units, start, 21, 0) is start


def test_plans_become_better_and_stay_lawful():
    rng, won = np.random.default_rng(5), 0
    for _ in range(25):
        graph = drawn(rng, 30)
        trials, units = Trials(graph), units_of(graph)
        everything = trials.of(Choice(frozenset(droppable(graph))))
        start = tighten(trials, units, everything, int(0.7 * everything.peak))
        budget, before = max(start.peak, int(0.7 * everything.peak)), len(trials.found)
        found = polish(trials, units, start, budget, 60)
        account = check(graph, found.schedule, budget)
        assert account.exposed <= start.exposed
        assert len(trials.found) - before < 60 + 40  # the last change is brought to its end
        won += found.exposed < start.exposed
    assert won > 3
