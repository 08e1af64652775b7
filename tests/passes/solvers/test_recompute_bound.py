"""Bounds are under whatever schedules expose, and near the least that they do."""

from dataclasses import replace

import numpy as np
import pytest
from gossamer.passes.solvers.recompute_bound import full_places, proven_bound, relaxed_bound
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_checkmate import checkmate
from gossamer.passes.solvers.recompute_cut import least_seconds, network_of
from gossamer.passes.solvers.recompute_floor import needed
from gossamer.passes.solvers.recompute_graph import Graph, Phase, Schedule
from gossamer.passes.solvers.recompute_schedule import schedule_of
from gossamer.passes.solvers.recompute_units import units_of
from gossamer.passes.solvers.recompute_when import Times

from .test_recompute_check import any_choice
from .training_steps import drawn, pipeline_stage


def waits_at_once(graph: Graph, schedule: Schedule) -> bool:
    """Whether each collective that runs again is waited for by the next step."""
    steps = schedule.steps
    again = (at for at, step in enumerate(steps) if step.life and graph.ops[step.op].starts is not None)
    return all(graph.ops[steps[at + 1].op].waits == graph.ops[steps[at].op].starts for at in again)


@pytest.mark.parametrize("seed", range(2))
def test_no_lawful_schedule_exposes_less(seed):
    rng, bounds = np.random.default_rng(seed), []
    for _ in range(50):
        graph = drawn(rng)
        schedule = schedule_of(graph, any_choice(rng, graph))
        if waits_at_once(graph, schedule):
            account = check(graph, schedule)
            bounds.append(proven_bound(Times(units_of(graph)), account.peak, 2.0))
            assert bounds[-1] <= account.exposed + 1e-5
    assert len(bounds) > 30
    assert any(bounds)


def test_the_optimum_where_nothing_is_hidden_is_no_less_and_not_far():
    rng, pairs = np.random.default_rng(3), []
    while len(pairs) < 15:
        graph = drawn(rng, 11)
        graph = replace(graph, windows=tuple(replace(window, efficiency=0.0) for window in graph.windows))
        budget = int(max(needed(graph)) + rng.integers(0, 40))
        best = checkmate(graph, budget)
        if best is None or any(s.life and graph.ops[s.op].phase is Phase.BACKWARD for s in best.schedule.steps):
            continue
        times = Times(units_of(graph))
        pairs.append((relaxed_bound(times, budget), proven_bound(times, budget, 2.0), best.seconds))
        assert pairs[-1][0] <= pairs[-1][1] + 1e-5
        assert pairs[-1][1] <= best.seconds + 1e-5
    relaxed, proven, least = map(sum, zip(*pairs, strict=True))
    assert 0.3 * least < relaxed < proven
    assert proven > 0.7 * least


def test_a_layer_that_must_be_there_at_once_costs_more_than_what_is_kept_between_the_passes():
    graph = pipeline_stage(2, flying=1, seconds=0.0)
    budget, units = max(needed(graph)), units_of(graph)
    between_the_passes = least_seconds(network_of(units), budget - graph.static)
    assert relaxed_bound(Times(units), budget) > between_the_passes + 0.1


def test_the_first_place_is_the_turn_and_of_each_part_one_is_full():
    graph = pipeline_stage(3)
    places = full_places(graph, 3)
    bytes = needed(graph)
    assert [graph.ops[place].name for place in places] == ["mlp2", "inner1", "mlp0"]  # layer 0 reads an input
    backward = [index for index, op in enumerate(graph.ops) if op.phase is Phase.BACKWARD]
    assert [bytes[place] for place in places] == [max(bytes[i] for i in backward[at : at + 4]) for at in (0, 4, 8)]
