"""The whole graph as one program, started from the best schedule so far, until it is solved and its own peak fits.

    solve  ->  schedule  ->  peak at op 412 over the budget by 3 bytes  ->  a row for op 412, 3 bytes less  ->  ..

Memory is bounded at some ops from the start, at others where the exact peak of a schedule asks for it. What the program
leaves out, bytes of work in windows before it is read and what must be there while something is rebuilt, asks so too.
No bound comes of it: `recompute_bound.py` has a program for that.
"""

import time

from .recompute_graph import Phase
from .recompute_program import WhenProgram, rooms
from .recompute_repair import loosen, tighten
from .recompute_trial import Trial, Trials
from .recompute_when import LOOK, Times

ROUNDS, PLACES = 8, 64
"""How often the program may be solved again, and at how many ops memory is bounded from the start."""
LOOKS = (1, 2, 3, LOOK)
"""How many windows ahead units are placed: the nearer, the fewer bytes wait, the farther, the more is hidden."""
PART, REST, TOO_SHORT = 0.33, 0.9, 0.1
"""Each round may take this part of the seconds that are left, the last one that, if there are as many as that."""


def optimum(trials: Trials, times: Times, budget: int, best: Trial | None, deadline: float, gap: float) -> None:
    """Leaves the schedules that it finds by then with `trials`."""
    program = WhenProgram(times, tuple(range(len(times.units.units))))
    backward = [index for index, op in enumerate(times.graph.ops) if op.phase is Phase.BACKWARD]
    room = rooms(times, budget, backward)
    reading = sorted({place for places in times.units.uses.values() for place in (places[0], places[-1])})
    for place in reading[:: 1 + len(reading) // PLACES]:
        program.limit(place, room[place])
    part = PART
    for _ in range(ROUNDS if backward else 0):
        left = deadline - time.monotonic()
        start = program.start(best.choice) if best else None
        solution = program.program.solve(part * left, gap, start) if left > TOO_SHORT else None
        if solution is None:
            break
        trial = trials.of(program.choice(solution.values))
        for look in LOOKS:
            if time.monotonic() > deadline:
                return
            settle(trials, times, trials.of(program.choice(solution.values, look)), budget)
        best = trials.best(budget) or best
        if trial.peak <= budget:
            if part == REST or solution.objective - solution.bound <= gap:
                break
            part = REST
            continue
        at = trial.steps[trial.live.index(trial.peak)].op
        place = next((place for place in backward if place >= at), backward[-1])
        known = place in program.rows
        program.limit(place, program.high_of(place) - (trial.peak - budget) if known else room[place])


def settle(trials: Trials, times: Times, trial: Trial, budget: int) -> None:
    """Bring a trial under the budget, and spend what is left."""
    met = tighten(trials, times.units, trial, budget)
    if met.peak <= budget:
        loosen(trials, times.units, met, budget)
