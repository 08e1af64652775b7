"""Keep, compute again or move: which storages go to the second tier within a budget.

    seconds to compute again, by second on the way     a 3.0   b 1.2   c 0.4        a and b move, c runs again

The engine has only so much time behind the work of the step. So the storages that save most for a second of it come
first: so many of them may move, the others run again, and at the peak only what must leaves. Several numbers are tried,
with moves reckoned at nothing and at what they slow other work. Then storages change sides, many at once or one by one,
as long as that is faster. The exact peak and clock of each schedule decide, so a tier that is slower than computing
again is left alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf

from .recompute_graph import Graph
from .recompute_repair import loosen, tighten
from .recompute_schedule import Choice
from .recompute_trial import Trial, Trials
from .recompute_units import Units

SHARES = (1.0, 0.5, 0.25, 0.125)
"""Of the storages that could move, so many may."""
PATIENCE, ROUNDS = 24, 4
"""Changes that are tried in vain before it is enough, and how often all are gone through."""


def offload(trials: Trials, units: Units, movable: frozenset[int], budget: int) -> Trial | None:
    """The fastest trial within the budget, with the help of the second tier; None where there is none."""
    order = by_worth(trials, units, movable)
    everything = trials.of(Choice(frozenset(units.maker), room=budget))
    for count in dict.fromkeys(max(1, round(share * len(order))) for share in SHARES):
        slower = {storage: seconds_beside_work(trials.graph, storage) for storage in order[:count]}
        for movers in (dict.fromkeys(slower, 0.0), slower):
            trial = tighten(trials, units, everything, budget, movers=movers)
            if trial.peak <= budget:
                loosen(trials, units, trial, budget)
    best = trials.best(budget)
    return best and improve(trials, units, order, best, budget)


def seconds_beside_work(graph: Graph, storage: int) -> float:
    """How much longer other work takes while a storage goes and comes back behind it."""
    assert graph.tier is not None
    size = graph.values[storage].size
    return (1.0 - graph.tier.efficiency) * (graph.tier.leaving(size) + graph.tier.coming(size))


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
    """Let storages change sides, many at once or one by one, and keep others in their place, while that is faster."""
    failed = 0
    for _ in range(ROUNDS):
        before = trial
        for change in changes(units, order, trial):
            found = trials.of(changed(trial.choice, change, budget))
            if found.peak <= budget and (found := loosen(trials, units, found, budget)).exposed < trial.exposed:
                trial, failed = found, 0
            else:
                failed += 1
            if failed >= PATIENCE:
                return trial
        if trial is before:
            break
    return trial


def changes(units: Units, order: Sequence[int], trial: Trial) -> Iterator[frozenset[int]]:
    """Storages to change, in groups of half as many each time: what runs again goes, what goes runs again, and what is
    kept goes."""
    choice = trial.choice
    again = {v for unit in units.again(choice.kept | choice.moved) for v in units.units[unit].makes}
    sides = [again, choice.moved, choice.kept - again]
    sizes = [len(order) >> shift for shift in range(len(order).bit_length())]
    groups = [[s for s in order if s in side] for side in sides]
    for size in sizes:
        for group in groups:
            if size <= len(group):
                yield from (frozenset(group[start : start + size]) for start in range(0, len(group), size))


def changed(choice: Choice, change: frozenset[int], budget: int) -> Choice:
    """The choice in which what was moved of `change` no longer is, and what was not is."""
    moved = choice.moved ^ change
    renewed = frozenset(move for move in choice.renewed if move[0] not in moved)
    return replace(choice, kept=choice.kept - moved, moved=moved, renewed=renewed, room=budget)
