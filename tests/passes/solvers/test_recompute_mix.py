"""Identical layers with several policies."""

import pytest
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_mix import Mixer
from gossamer.passes.solvers.recompute_schedule import Choice
from gossamer.passes.solvers.recompute_trial import Trials
from gossamer.passes.solvers.recompute_units import units_of
from gossamer.passes.solvers.recompute_when import Times

from .training_steps import chain, pipeline_stage


@pytest.mark.parametrize("share", [0.8, 0.6, 0.45])
@pytest.mark.parametrize("flying", [1, 3])
def test_a_mix_is_no_slower_than_one_policy(share, flying):
    graph = pipeline_stage(8, flying)
    units = units_of(graph)
    most = Trials(graph).of(Choice(frozenset(units.maker))).peak
    found = {}
    for rung in ("heu", "mix"):
        trials = Trials(graph)
        mixer = Mixer(trials, Times(units))
        trial = mixer.heu(int(share * most)) if rung == "heu" else mixer.mix(int(share * most))
        assert trial
        assert check(graph, trial.schedule, int(share * most)).exposed == pytest.approx(trial.exposed)
        found[rung] = trial.exposed
    assert found["mix"] <= found["heu"] + 0.5


def test_layers_differ_by_what_the_budget_leaves():
    graph = chain(10, (4, 7, 3, 9), (1.0, 2.0, 3.0, 0.5))
    units, trials = units_of(graph), Trials(graph)
    most = trials.of(Choice(frozenset(units.maker))).peak
    trial = Mixer(trials, Times(units)).mix(int(0.75 * most))
    assert trial
    kept = [sum(graph.ops[graph.values[s].producer].layer == layer for s in trial.choice.kept) for layer in range(10)]
    assert len(set(kept)) > 1
    assert kept == sorted(kept)
