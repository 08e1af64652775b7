"""The whole graph as one program is never worse than what it starts from, and agrees with an exact formulation."""

from itertools import combinations

import pytest
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_plan import Planner, plan
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


SHORT = chain(4, (4, 7, 3), (1.0, 2.0, 3.0))


@pytest.fixture(scope="module")
def all_choices() -> list[tuple[int, float]]:
    """Bytes and exposed seconds of whatever can be kept."""
    trials, storages = Trials(SHORT), sorted(Planner(SHORT).units.maker)
    choices = (Choice(frozenset(kept)) for count in range(13) for kept in combinations(storages, count))
    return [(trial.peak, trial.exposed) for trial in map(trials.of, choices)]


@pytest.mark.parametrize("share", [0.8, 0.65, 0.55])
def test_the_optimum_of_a_short_chain_is_the_best_of_all_choices(share, all_choices):
    planner = Planner(SHORT, seconds=10.0)
    budget = int(share * planner.trials.of(planner.everything).peak)
    least = min(exposed for peak, exposed in all_choices if peak <= budget)
    found = planner.plan(budget, "opt")
    assert found.lower_bound <= least + 1e-9
    assert found.exposed <= least + 1e-9


def test_a_search_that_runs_out_of_time_returns_the_best_so_far_and_its_bound():
    graph, limit = pipeline_stage(24), 0.3
    mix, opt = Planner(graph), Planner(graph, limit)
    budget = int(0.2 * mix.trials.of(mix.everything).peak)
    mixed, best = mix.plan(budget, "mix"), opt.plan(budget, "opt")
    assert 0 < best.lower_bound < best.exposed <= mixed.exposed


def test_without_time_the_optimum_is_what_a_mix_finds():
    graph = pipeline_stage(6)
    opt = Planner(graph, seconds=0.0)
    budget = int(0.3 * opt.trials.of(opt.everything).peak)
    best = opt.plan(budget, "opt")
    assert check(graph, best.schedule, budget).exposed == pytest.approx(best.exposed)
    assert best.exposed <= plan(graph, budget, "mix").exposed
