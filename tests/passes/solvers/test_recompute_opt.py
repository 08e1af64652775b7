"""The whole graph as one program is never worse than what it starts from, and agrees with an exact formulation."""

from itertools import combinations

import pytest
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_plan import Planner
from gossamer.passes.solvers.recompute_schedule import Choice
from gossamer.passes.solvers.recompute_trial import Trials

from .training_steps import chain, pipeline_stage


@pytest.mark.parametrize("share", [0.8, 0.6, 0.45])
def test_the_optimum_is_no_worse_than_a_mix_and_no_better_than_its_bound(share):
    graph = pipeline_stage(6)
    mix, opt = Planner(graph), Planner(graph, seconds=10.0)
    budget = int(share * mix.trials.of(mix.everything).peak)
    mixed, best = mix.plan(budget, "mix"), opt.plan(budget, "opt")
    assert best.exposed <= mixed.exposed + 1e-9
    assert best.lower_bound <= best.exposed + 1e-9
    assert check(graph, best.schedule, budget).peak == best.peak


@pytest.mark.parametrize("share", [0.8, 0.65, 0.55])
def test_the_optimum_of_a_short_chain_is_the_best_of_all_choices(share):
    graph = chain(4, (4, 7, 3), (1.0, 2.0, 3.0))
    planner = Planner(graph, seconds=10.0)
    storages, trials = sorted(planner.units.maker), Trials(graph)
    budget = int(share * planner.trials.of(planner.everything).peak)
    choices = (Choice(frozenset(kept)) for count in range(13) for kept in combinations(storages, count))
    least = min(trial.exposed for trial in map(trials.of, choices) if trial.peak <= budget)
    found = planner.plan(budget, "opt")
    assert found.lower_bound <= least + 1e-9
    assert found.exposed <= least + 1e-9
