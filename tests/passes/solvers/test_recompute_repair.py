"""Local moves bring a choice under a budget, and spend what is left of it."""

import numpy as np
import pytest
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_repair import loosen, tighten
from gossamer.passes.solvers.recompute_schedule import Choice
from gossamer.passes.solvers.recompute_trial import Trials
from gossamer.passes.solvers.recompute_units import units_of

from .training_steps import chain, drawn


@pytest.mark.parametrize("share", [0.8, 0.5, 0.3])
@pytest.mark.parametrize("flying", [1, 3])
def test_a_chain_comes_under_its_budget(share, flying):
    graph = chain(10, (4, 7, 3, 9), (1.0, 2.0, 3.0, 0.5), in_flight=flying)
    trials, units = Trials(graph), units_of(graph)
    everything = trials.of(Choice(frozenset(units.maker)))
    budget = int(share * everything.peak)
    met = tighten(trials, units, everything, budget)
    assert met.peak <= budget
    assert 0 < met.exposed < graph_seconds(graph)
    more = loosen(trials, units, met, budget)
    assert more.peak <= budget
    assert more.exposed <= met.exposed


def graph_seconds(graph) -> float:
    return sum(op.time for op in graph.ops)


def test_what_is_dropped_without_need_is_kept_again():
    graph = chain(10)
    trials, units = Trials(graph), units_of(graph)
    everything, nothing = trials.of(Choice(frozenset(units.maker))), trials.of(Choice(frozenset()))
    assert loosen(trials, units, nothing, everything.peak).exposed == 0


def test_moves_keep_schedules_lawful():
    rng = np.random.default_rng(2)
    for _ in range(100):
        graph = drawn(rng, 30)
        trials, units = Trials(graph), units_of(graph)
        everything = trials.of(Choice(frozenset(units.maker)))
        met = tighten(trials, units, everything, int(0.6 * everything.peak))
        assert met.peak <= everything.peak
        assert check(graph, met.schedule).peak == met.peak
