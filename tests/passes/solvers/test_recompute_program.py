"""The program of a whole graph."""

import numpy as np
import pytest
from gossamer.passes.solvers.recompute_program import WhenProgram, rooms
from gossamer.passes.solvers.recompute_schedule import Choice
from gossamer.passes.solvers.recompute_trial import Trials
from gossamer.passes.solvers.recompute_units import units_of
from gossamer.passes.solvers.recompute_when import Times

from .training_steps import chain, pipeline_stage


def test_without_limits_everything_is_kept():
    units = units_of(pipeline_stage(4))
    program = WhenProgram(Times(units), tuple(range(len(units.units))))
    found = program.program.solve(10.0)
    assert found
    assert found.objective == pytest.approx(0)
    assert program.choice(found.values).placed == {}


def test_a_limit_is_a_limit_of_the_bytes_alive():
    graph = chain(6, (4, 7, 3), (1.0, 2.0, 3.0))
    units = units_of(graph)
    times, first = Times(units), min(uses[0] for uses in units.uses.values())
    everything = Trials(graph).of(Choice(frozenset(units.maker)))
    program = WhenProgram(times, tuple(range(len(units.units))))
    room = rooms(times, everything.live[first] - 20, [first])[first]
    program.limit(first, room)
    found = program.program.solve(10.0)
    assert found
    trial = Trials(graph).of(program.choice(found.values))
    at = next(i for i, step in enumerate(trial.schedule.steps) if step.op == first and not step.life)
    assert trial.live[at] <= everything.live[first] - 20
    assert trial.exposed == pytest.approx(found.objective)


def test_a_choice_is_a_solution_of_the_program():
    units = units_of(pipeline_stage(4))
    program = WhenProgram(Times(units), tuple(range(len(units.units))))
    kept = frozenset(storage for storage in units.maker if storage % 3)
    values = program.start(Choice(kept))
    for row, low, high in zip(program.program.rows, program.program.low, program.program.high, strict=True):
        if all(np.isfinite(values[column]) for column in row):
            assert low <= sum(values[column] * weight for column, weight in row.items()) <= high
