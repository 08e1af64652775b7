"""Mixed integer programs on HiGHS: rows grow one by one, a known solution starts the search, nothing is printed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import highspy
import numpy as np

QUIET = (
    ("output_flag", False),
    ("threads", 1),
    ("mip_rel_gap", 0.0),
    ("mip_detect_symmetry", False),
    ("mip_heuristic_run_feasibility_jump", False),
)
"""Options of every program; the last two take most of the time of small ones."""


SMALL = (("mip_heuristic_run_rins", False), ("mip_heuristic_run_rens", False), ("mip_heuristic_effort", 0.0))
"""Options of programs whose search takes less time than heuristics."""


@dataclass(frozen=True)
class Solution:
    """Values of the columns, the objective, and what no solution is under."""

    values: np.ndarray
    objective: float
    bound: float


@dataclass
class Program:
    """Minimise `cost * x` where `low <= row * x <= high`; columns lie between 0 and `upper` and may be whole."""

    cost: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    rows: list[Mapping[int, float]] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def column(self, cost: float = 0.0, upper: float = 1.0, whole: bool = True) -> int:
        self.cost.append(cost)
        self.upper.append(upper)
        self.whole.append(whole)
        return len(self.cost) - 1

    def row(self, terms: Mapping[int, float], low: float = -np.inf, high: float = np.inf) -> int:
        self.rows.append(terms)
        self.low.append(low)
        self.high.append(high)
        return len(self.rows) - 1

    def solve(
        self, seconds: float, gap: float = 0.0, start: np.ndarray | None = None, *, small: bool = False
    ) -> Solution | None:
        """The best solution found in so many seconds, within `gap` (absolute) of the least if there was time.

        Of `small` programs no parts are solved first.
        """
        solver = self.solver(*SMALL * small, ("time_limit", seconds), ("mip_abs_gap", gap))
        if start is not None:
            known = highspy.HighsSolution()
            known.col_value = start.tolist()
            solver.setSolution(known)
        solver.run()
        info = solver.getInfo()
        if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
            return None
        bound = info.mip_dual_bound if any(self.whole) else info.objective_function_value
        return Solution(np.array(solver.getSolution().col_value), info.objective_function_value, bound)

    def bound(self, seconds: float, *, relaxed: bool = False) -> float:
        """What no solution is under, whether one is found or not; `relaxed`: where no column need be whole."""
        if relaxed:
            return replace(self, whole=[False] * len(self.whole)).bound(seconds)
        solver = self.solver(("time_limit", seconds))
        solver.run()
        if any(self.whole):
            return max(0.0, solver.getInfo().mip_dual_bound)
        done = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
        return max(0.0, solver.getInfo().objective_function_value) if done else 0.0

    def solver(self, *options: tuple[str, Any]) -> highspy.Highs:
        """HiGHS with the program and these options."""
        solver = highspy.Highs()
        for option, value in (*QUIET, *options):
            solver.setOptionValue(option, value)
        solver.passModel(self.model())
        return solver

    def model(self) -> highspy.HighsLp:
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = len(self.cost), len(self.rows)
        model.col_cost_, model.col_upper_ = np.array(self.cost, float), np.array(self.upper, float)
        model.col_lower_ = np.zeros(len(self.cost))
        model.row_lower_, model.row_upper_ = np.array(self.low, float), np.array(self.high, float)
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_ = np.cumsum([0, *map(len, self.rows)], dtype=np.int32)
        model.a_matrix_.index_ = np.array([column for row in self.rows for column in row], np.int32)
        model.a_matrix_.value_ = np.array([value for row in self.rows for value in row.values()], float)
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        model.integrality_ = [kinds[whole] for whole in self.whole]
        return model
