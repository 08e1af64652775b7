"""Keep, compute again or move: what is faster, within the budget, by the exact clock and peak."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from gossamer.dialects.diagnostics import UserError
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_floor import floor
from gossamer.passes.solvers.recompute_graph import Graph, Phase, Tier
from gossamer.passes.solvers.recompute_memory import keep_all, peak
from gossamer.passes.solvers.recompute_moves import movable
from gossamer.passes.solvers.recompute_offload import by_worth
from gossamer.passes.solvers.recompute_plan import frontier, plan
from gossamer.passes.solvers.recompute_schedule import Choice, droppable
from gossamer.passes.solvers.recompute_trial import Trials
from gossamer.passes.solvers.recompute_units import units_of

from .training_steps import Builder, chain, drawn

FAST, SLOW = Tier(1e6, 1e6), Tier(1e-3, 1e-3)


def long_chain(tier: Tier | None) -> Graph:
    return replace(chain(8, (4, 7, 3), (1.0, 2.0, 0.5)), tier=tier)


def half(graph: Graph) -> int:
    return peak(graph, keep_all(graph)) // 2


def test_a_fast_tier_hides_all():
    graph = long_chain(FAST)
    found = plan(graph, half(graph))
    assert found.schedule.moves
    assert found.exposed == pytest.approx(0, abs=1e-3)
    assert check(graph, found.schedule, half(graph)).peak == found.peak
    assert found.lower_bound == 0 < plan(long_chain(None), half(graph)).exposed


@pytest.mark.parametrize("rung", ["mincut", "heu", "mix"])
def test_a_slow_tier_leaves_the_plan_as_it_is(rung):
    graph = long_chain(SLOW)
    assert plan(graph, half(graph), rung).schedule == plan(long_chain(None), half(graph), rung).schedule


def test_in_between_some_moves_and_some_runs_again():
    graph = long_chain(Tier(1.5, 1.5, 0.1, 0.9))
    found, without = plan(graph, half(graph)), plan(long_chain(None), half(graph))
    assert found.schedule.moves
    assert found.recomputed > 0
    assert found.exposed < without.exposed
    again = {step.op for step in found.schedule.steps if step.life}
    assert not again & {graph.values[move.value].producer for move in found.schedule.moves}


def test_more_memory_is_never_slower():
    graph = long_chain(Tier(3.0, 3.0, 0.1, 0.9))
    most = peak(graph, keep_all(graph))
    plans = frontier(graph, [int(share * most) for share in (0.4, 0.5, 0.7, 0.9, 1.0)])
    assert [p.exposed for p in plans] == sorted((p.exposed for p in plans), reverse=True)
    assert plans[-1].schedule == keep_all(graph)


def test_a_tier_never_makes_a_plan_slower_nor_a_budget_unreachable():
    rng, faster = np.random.default_rng(3), 0
    for _ in range(25):
        graph = replace(drawn(rng, 30), in_flight=1)
        out, back = rng.choice([1.0, 5.0, 50.0], size=2).tolist()
        tier = Tier(out, back, float(rng.choice([0.0, 0.5])), float(rng.random()))
        budget = graph.static + int(0.7 * (peak(graph, keep_all(graph)) - graph.static))
        try:
            without = plan(graph, budget).exposed
        except UserError:
            without = float("inf")
        try:
            found = plan(replace(graph, tier=tier), budget)
        except UserError:
            assert without == float("inf")
            continue
        assert check(replace(graph, tier=tier), found.schedule, budget).exposed == pytest.approx(found.exposed)
        assert found.exposed <= without
        faster += found.exposed < without
    assert faster


def optimum(graph: Graph, budget: int) -> float:
    """The fastest of all choices in which each storage has one fate."""
    trials, values = Trials(graph), droppable(graph)
    for choice in product("kma", repeat=len(values)):
        kept, moved = (frozenset(v for v, c in zip(values, choice, strict=True) if c == kind) for kind in "km")
        trials.of(Choice(kept, moved=moved, room=budget))
    best = trials.best(budget)
    return best.exposed if best else float("inf")


def test_small_graphs_are_planned_next_to_the_optimum():
    rng, exact, ours, best = np.random.default_rng(0), 0, 0.0, 0.0
    for _ in range(12):
        sizes, times = rng.integers(2, 20, size=5).tolist(), rng.integers(1, 9, size=5).astype(float).tolist()
        tier = Tier(float(rng.choice([1.0, 3.0, 9.0])), float(rng.choice([1.0, 3.0, 9.0])), 0.1, 0.9)
        graph = replace(chain(1, sizes, times), tier=tier)
        budget = max(floor(graph)[0], int(0.7 * peak(graph, keep_all(graph))))
        least, found = optimum(graph, budget), plan(graph, budget)
        exact += found.exposed <= least + 1e-9
        ours, best = ours + found.exposed, best + least
    assert exact >= 11
    assert ours <= 1.05 * best


def test_what_cannot_run_again_can_move():
    b, backward = Builder(), Phase.BACKWARD
    masks = []
    for layer in range(4):
        masks += b.op(f"mask{layer}", [0], [10], fixed="draws from the global random stream", time=3.0)
    gradient = 0
    for layer, mask in reversed(list(enumerate(masks))):
        (gradient,) = b.op(f"g{layer}", [mask, gradient], [2], backward, time=3.0)
    graph = b.graph([gradient])
    with pytest.raises(UserError, match="cannot be met"):
        plan(graph, 30)
    tiered = replace(graph, tier=Tier(10.0, 10.0))
    assert floor(tiered)[0] < 30 < floor(graph)[0]
    found = plan(tiered, 30)
    assert found.peak <= 30
    assert {move.value for move in found.schedule.moves} <= set(masks)
    assert found.recomputed == 0


def test_what_saves_most_for_a_second_on_its_way_comes_first():
    graph = long_chain(Tier(1.0, 1.0))
    order = by_worth(Trials(graph), units_of(graph), movable(graph))
    assert [graph.ops[graph.values[value].producer].name for value in order[:3]] == ["f0.1", "f1.1", "f2.1"]
