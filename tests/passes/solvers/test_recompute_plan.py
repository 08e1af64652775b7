"""Plans meet their budgets, say what they cost, and say which budgets cannot be met."""

import re

import numpy as np
import pytest
from gossamer.dialects.diagnostics import UserError
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_plan import RUNGS, Planner, frontier, plan

from .training_steps import chain, drawn

SHARES = (1.0, 0.7, 0.5, 0.3, 0.2)


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("flying", [1, 4])
def test_budgets_are_met_to_the_byte_and_more_memory_costs_no_more_time(rung, flying):
    graph = chain(8, (4, 7, 3, 9), (1.0, 2.0, 3.0, 0.5), in_flight=flying)
    most = Planner(graph).trials.of(Planner(graph).everything).peak
    budgets = [int(share * most) for share in SHARES]
    plans = frontier(graph, budgets, rung)
    for found, budget in zip(plans, budgets, strict=True):
        account = check(graph, found.schedule, budget)
        assert account.peak == found.peak
        assert account.exposed == pytest.approx(found.exposed)
        assert account.recomputed == pytest.approx(found.recomputed)
        assert found.lower_bound <= found.exposed
        assert found.floor <= found.peak
    assert [p.exposed for p in plans] == sorted(p.exposed for p in plans)
    assert plans[0].exposed == 0


def test_a_budget_that_cannot_be_met_names_the_smallest_and_its_op():
    graph = chain(4, (4, 70, 3), (1.0, 2.0, 1.0))
    with pytest.raises(UserError, match="cannot be met") as error:
        plan(graph, 50)
    found = re.search(r"the smallest found is ([\d,]+) bytes; op '", str(error.value))
    assert found
    least = int(found[1].replace(",", ""))
    assert plan(graph, least).peak == least


@pytest.mark.parametrize("seed", [33, 39])
def test_the_smallest_peak_that_an_error_tells_can_be_had(seed):
    """Though what is searched for that budget alone does not find it."""
    graph = drawn(np.random.default_rng(seed), 24)
    with pytest.raises(UserError) as error:
        plan(graph, graph.static)
    found = re.search(r"the smallest found is (\d+) bytes", str(error.value))
    assert found
    planner = Planner(graph)
    planner.search(int(found[1]), "mix")
    assert planner.trials.best(int(found[1])) is None
    assert plan(graph, int(found[1])).peak == int(found[1])


def test_an_unknown_rung_is_refused():
    with pytest.raises(UserError, match="no rung 'milp'"):
        plan(chain(2), 10**9, "milp")


def test_plans_of_random_steps_are_lawful():
    rng = np.random.default_rng(6)
    met = 0
    for _ in range(60):
        graph = drawn(rng, 30)
        planner = Planner(graph)
        most = planner.trials.of(planner.everything).peak
        budget = int(planner.floor + 0.6 * (most - planner.floor))
        try:
            found = planner.plan(budget)
        except UserError:
            continue
        met += 1
        assert check(graph, found.schedule, budget).peak == found.peak
    assert met > 50
