"""Search about one schedule: keep what runs late again, or let it live on, and give something else up for that.

    kept {a}, b late, over by 0 bytes     ->     kept {a, b}, over by 40     ->     kept {b}, c late, over by 0

Every change goes through `tighten`, which may not take it back, `loosen` and `hide`; one is left that exposes less, by
the exact peak and clock. So schedules near the smallest budgets come about in which hardly two layers do the same. The
number of schedules is limited, not the time, so the same graph has the same plan everywhere.
"""

import time
from dataclasses import replace
from math import inf

from .recompute_hide import hide
from .recompute_repair import kept_too, loosen, tighten
from .recompute_schedule import Choice
from .recompute_trial import Trial, Trials
from .recompute_units import Units

HOPE, LESS = 1.15, 1.0 - 1e-4
"""A change that exposes so many times as much may lead somewhere, and has to come to so many times as much at last."""
PATIENCE, ROUNDS = 6, 2
"""How long `tighten` and `loosen` try for a change."""

Change = tuple[int, int | None]
"""A storage, and the op of the backward pass for which it began a new life, or None if it is to be kept."""


def polish(trials: Trials, units: Units, trial: Trial, budget: int, most: int, deadline: float = inf) -> Trial:
    """A trial that exposes less and is one of `most` new ones, found by then, or the same."""
    last, before = len(trials.found) + most, None
    while before is not trial:
        before = trial
        for storage, op in changes(units, trial):
            if len(trials.found) >= last or time.monotonic() > deadline:
                return trial
            choice = changed(units, trial, storage, op)
            found = settled(trials, units, choice, budget, storage, HOPE * trial.exposed) if choice else None
            if found and found.exposed < LESS * trial.exposed:
                trial = found
    return trial


def changes(units: Units, trial: Trial) -> list[Change]:
    """What may become of storages that run late, or that are made of such: the most seconds a byte first."""
    graph, kept, late = trial.graph, trial.choice.kept, late_seconds(units, trial)
    for index in sorted(units.again(kept)):
        reads = [late.get(units.maker[storage], 0.0) for storage in units.units[index].reads if storage not in kept]
        late[index] = max([late.get(index, 0.0), *reads])
    again = [(s, None) for index in late for s in units.units[index].makes if late[index] and s not in kept]
    found: list[Change] = [*again, *(move for move in trial.choice.renewed if late.get(units.maker[move[0]]))]
    price = {s: late[units.maker[s]] / max(graph.values[s].size, 1) for s, _ in found}
    return sorted(found, key=lambda change: (-price[change[0]], change[0], -1 if change[1] is None else change[1]))


def late_seconds(units: Units, trial: Trial) -> dict[int, float]:
    """Of each unit, the seconds of its lives after the first that nothing hides, collectives among them."""
    graph, found = trial.graph, dict[int, float]()
    for step, late in zip(trial.steps, trial.times.late, strict=True):
        window = graph.ops[step.op].starts
        seconds = late + (0.0 if window is None else graph.windows[window].seconds)
        if step.life and step.op in units.index:
            found[units.index[step.op]] = found.get(units.index[step.op], 0.0) + seconds
    return found


def changed(units: Units, trial: Trial, storage: int, op: int | None) -> Choice | None:
    """The choice with one change, or None if it is made already."""
    choice = trial.choice
    if op is None:
        return None if storage in choice.kept else kept_too(units, trial, [storage])
    return replace(choice, renewed=choice.renewed - {(storage, op)}) if (storage, op) in choice.renewed else None


def settled(trials: Trials, units: Units, choice: Choice, budget: int, firm: int, hope: float) -> Trial | None:
    """The best that comes of a choice within the budget, which drops all but the storage `firm`."""
    trial = trials.of(choice)
    if trial.exposed < hope:
        trial = tighten(trials, units, trial, budget, PATIENCE, firm=firm)
    if trial.peak > budget or trial.exposed >= hope:
        return None
    trial = loosen(trials, units, trial, budget, ROUNDS)
    return hide(trials, trial, budget) if trials.graph.windows else trial
