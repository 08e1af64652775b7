"""Small programs on HiGHS."""

import numpy as np
import pytest
from gossamer.passes.solvers.recompute_highs import Program


def knapsack() -> Program:
    program = Program()
    columns = [program.column(-value) for value in (6.0, 5.0, 4.0)]
    program.row(dict(zip(columns, (4.0, 3.0, 2.0), strict=True)), high=5.0)
    return program


@pytest.mark.parametrize("small", [False, True])
def test_a_program_is_solved_to_its_bound(small, capfd):
    found = knapsack().solve(5.0, small=small)
    assert found
    assert found.values.round().tolist() == [0, 1, 1]
    assert found.objective == pytest.approx(found.bound) == -9.0
    assert capfd.readouterr().out == ""


def test_a_start_is_taken_and_columns_may_be_fractions():
    program = knapsack()
    found = program.solve(5.0, start=np.array([0.0, 1.0, 1.0]))
    assert found
    assert found.objective == -9.0
    program.whole = [False] * 3
    relaxed = program.solve(5.0)
    assert relaxed
    assert relaxed.objective == pytest.approx(-9.0)
    program.high[0] = 4.0
    relaxed = program.solve(5.0)
    assert relaxed
    assert relaxed.objective == pytest.approx(-4.0 - 10.0 / 3.0)


def test_a_program_without_a_solution_gives_none():
    program = Program()
    program.row({program.column(): 1.0}, low=2.0)
    assert program.solve(5.0) is None
