"""Keep, compute again or move: which storages go to the second tier within a budget.

    seconds to compute again, by second on the way     a 3.0   b 1.2   c 0.4        a and b move, c runs again

The engine has only so much time behind the work of the step. So the storages that save most for a second of it come
first: so many of them may move, the others run again, and at the peak only what must leaves. Several numbers are tried.
Then storages change sides, many at once or one by one, as long as that is faster. The exact peak and clock of each
schedule decide, so a tier that is slower than computing again is left alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf

from .recompute_repair import loosen, tighten
from .recompute_schedule import Choice
from .recompute_trial import Trial, Trials
from .recompute_units import Units

SHARES = (1.0, 0.75, 0.5, 0.25, 0.125)
"""Of the storages that could move, so many may."""
PATIENCE, ROUNDS = 24, 4
"""Changes that are tried in vain before it is enough, and how often all are gone through."""


def offload(trials: Trials, units: Units, movable: frozenset[int], budget: int) -> Trial | None:
    """The fastest trial within the budget, with the help of the second tier; None where there is none."""
    order = by_worth(trials, units, movable)
    everything = trials.of(Choice(frozenset(units.maker), room=budget))
    for count in dict.fromkeys(max(1, round(share * len(order))) for share in SHARES):
        trial = tighten(trials, units, everything, budget, movers=frozenset(order[:count]))
        if trial.peak <= budget:
            loosen(trials, units, trial, budget)
    best = trials.best(budget)
    return best and improve(trials, units, order, best, budget)


def by_worth(trials: Trials, units: Units, movable: frozenset[int]) -> list[int]:
    """What can move: first what takes longest to compute again for a second on its way."""
    tier, values = trials.graph.tier, trials.graph.values
    assert tier is not None

    def worth(storage: int) -> float:
        if storage not in units.maker:
            return inf
        size = values[storage].size
        return units.units[units.maker[storage]].time / (tier.leaving(size) + tier.coming(size))

    return sorted(movable, key=lambda storage: (-worth(storage), storage))


def improve(trials: Trials, units: Units, order: Sequence[int], trial: Trial, budget: int) -> Trial:
    """Let storages change sides, many at once or one by one, while the schedule gets faster."""
    failed = 0
    for _ in range(ROUNDS):
        before = trial
        for change in changes(units, order, trial):
            found = trials.of(changed(units, trial.choice, change, budget))
            if found.peak <= budget and found.exposed < trial.exposed:
                trial, failed = found, 0
            else:
                failed += 1
            if failed >= PATIENCE:
                return trial
        if trial is before:
            break
        trial = loosen(trials, units, trial, budget)
    return trial


def changes(units: Units, order: Sequence[int], trial: Trial) -> Iterator[frozenset[int]]:
    """Storages to change: what runs again goes, and what goes runs again, in groups of half as many each time."""
    again = {v for unit in units.again(trial.choice.kept | trial.choice.moved) for v in units.units[unit].makes}
    for several in ([s for s in order if s in again], [s for s in reversed(order) if s in trial.choice.moved]):
        size = len(several)
        while size:
            for start in range(0, len(several), size):
                yield frozenset(several[start : start + size])
            size //= 2


def changed(units: Units, choice: Choice, change: frozenset[int], budget: int) -> Choice:
    """The choice in which what was moved of `change` no longer is, and what was not is."""
    moved = choice.moved ^ change
    renewed = frozenset(move for move in choice.renewed if move[0] not in moved)
    return replace(choice, kept=choice.kept - moved, moved=moved, renewed=renewed, room=budget)
