"""The exact program of Checkmate is lawful and exact, and no planner is better than it where windows hide nothing."""

from dataclasses import replace

import numpy as np
import pytest
from gossamer.dialects.diagnostics import UserError
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_checkmate import checkmate
from gossamer.passes.solvers.recompute_graph import Graph, Phase
from gossamer.passes.solvers.recompute_plan import Planner

from .training_steps import Builder, chain, drawn

BEHIND = 1.25
"""Planners run again for at most so many times the optimum's seconds, over many graphs together."""


def closed(graph: Graph) -> Graph:
    return replace(graph, windows=tuple(replace(window, efficiency=0.0) for window in graph.windows))


def planned(graph: Graph, share: float, rung: str) -> tuple[Planner, int, float | None]:
    """What a rung finds for a budget between the least that can be and what keeping all takes."""
    planner = Planner(graph, 5.0)
    most = planner.trials.of(planner.everything).peak
    budget = int(planner.floor + share * (most - planner.floor))
    try:
        return planner, budget, planner.plan(budget, rung).exposed
    except UserError:
        return planner, budget, None


@pytest.mark.parametrize("rung", ["mix", "opt"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_no_planner_is_better_than_the_optimum_and_all_are_near_it(rung, share):
    rng, pairs, missed = np.random.default_rng(8), [], 0
    for _ in range(30):
        graph = closed(drawn(rng, 11))
        planner, budget, found = planned(graph, share, rung)
        best = checkmate(graph, budget)
        if best is None:
            assert found is None
            continue
        account = check(graph, best.schedule, budget)
        assert account.recomputed == pytest.approx(best.seconds)
        assert best.bound <= best.seconds + 1e-6
        if all(not step.life or graph.ops[step.op].phase is Phase.FORWARD for step in best.schedule.steps):
            assert planner.lower_bound(budget) <= best.seconds + 1e-5
        missed += found is None
        pairs += [(best.seconds, found)] if found is not None else []
    least, ours = (sum(column) for column in zip(*pairs, strict=True))
    assert all(best <= found + 1e-6 for best, found in pairs)
    assert len(pairs) > 20
    assert missed <= 6
    assert ours <= BEHIND * least


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_a_short_chain_is_planned_as_well_as_can_be(share):
    graph = chain(4, (4, 7), (1.0, 2.0))
    _, budget, found = planned(graph, share, "opt")
    best = checkmate(graph, budget)
    assert best
    assert found == pytest.approx(best.seconds)


def test_what_other_results_of_an_op_hold_is_counted_while_it_runs_again():
    b = Builder()
    a, c = b.op("f", [0], [30, 10], time=2.0)
    (wide,) = b.op("wide", [0], [40], time=9.0)
    (d,) = b.op("loss", [wide, c], [1])
    (e,) = b.op("g", [c, d], [1], Phase.BACKWARD)
    (out,) = b.op("h", [a, c, e], [1], Phase.BACKWARD)
    graph = b.graph([out])
    enough, less = checkmate(graph, 81), checkmate(graph, 80)
    assert enough
    assert enough.seconds == 0.0
    assert less
    assert less.seconds == 2.0
    assert [step.op for step in less.schedule.steps].count(0) == 2
    assert check(graph, less.schedule, 80).peak <= 80


def test_a_budget_that_cannot_be_met_has_no_schedule_and_large_graphs_are_refused():
    assert checkmate(chain(3), 8) is None
    with pytest.raises(UserError, match="at most 100 are solved"):
        checkmate(chain(30), 10**6)
