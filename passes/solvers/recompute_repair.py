"""Bring a choice under a budget, then spend what the budget leaves: local moves, judged by the exact peak.

    tighten    at the peak, what is alive and not in use is dropped and runs again before its next reader: the fewest
               seconds a byte first, until the peak fits; `movers` may go to the second tier instead, for so many
               seconds
    loosen     what runs again is kept where its bytes fit at every step: the most exposed seconds a byte first

A move of `tighten` is final, so it ends; `loosen` takes back moves whose schedule turns out not to fit.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from types import MappingProxyType

import numpy as np

from .recompute_memory import forward_part
from .recompute_schedule import Choice
from .recompute_trial import Trial, Trials
from .recompute_units import Units

NOTHING: Mapping[int, float] = MappingProxyType({})
AFTER_FORWARD, AWAY = -1, -2
"""The use of a move that drops a storage for the whole time between the passes, or lets it be in the second tier."""


@dataclass(frozen=True, order=True)
class Move:
    """Drop a storage before it is used by op `use` of the backward pass: `price` seconds a byte, for `size` bytes."""

    price: float
    size: int
    storage: int
    use: int


def tighten(
    trials: Trials,
    units: Units,
    trial: Trial,
    budget: int,
    patience: int = 16,
    movers: Mapping[int, float] = NOTHING,
    firm: int | None = None,
) -> Trial:
    """A trial that meets the budget if the moves lead there, else the one of least peak that they led to.

    The storage `firm` is not dropped. Gives up where `patience` rounds bring no lower peak, or where each op runs five
    times on the average.
    """
    best, made, since = trial, set[tuple[int, int]](), 0
    while since < patience and len(trial.steps) < 5 * len(trial.graph.ops):
        moves = [move for move in moves_at_peak(units, trial, movers) if move.storage != firm]
        moves = sorted(move for move in moves if (move.storage, move.use) not in made)
        if trial.peak <= budget or not moves:
            break
        excess, count = trial.peak - budget, 0
        while excess > 0 and count < len(moves):
            excess, count = excess - moves[count].size, count + 1
        chosen = {(move.storage, move.use) for move in moves[:count]}
        made |= chosen
        dropped, away = ({storage for storage, use in chosen if use == what} for what in (AFTER_FORWARD, AWAY))
        renewed = {move for move in chosen if move[1] >= 0}
        choice = trial.choice
        trial = trials.of(
            replace(
                choice,
                kept=choice.kept - dropped - away,
                renewed=choice.renewed | renewed,
                moved=choice.moved | away,
            )
        )
        best, since = (trial, 0) if trial.peak < best.peak else (best, since + 1)
    return best


def moves_at_peak(units: Units, trial: Trial, movers: Mapping[int, float] = NOTHING) -> list[Move]:
    """What is idle at the peak and can come back: computed again, or from the second tier at the price of `movers`."""
    graph, steps = trial.graph, trial.steps
    at, part = int(np.argmax(trial.live)), forward_part(graph, steps)
    lives = trial.lives.touches
    spans: dict[int, list[tuple[int, int]]] = {}
    for (storage, _), positions in lives.items():
        spans.setdefault(storage, []).append((positions[0], positions[-1]))
    found = []
    for (storage, life), positions in lives.items():
        if storage not in units.maker and (storage not in movers or life):
            continue
        if not graph.values[storage].size or positions[-1] < part:
            continue
        before, after = bisect_left(positions, at), bisect_right(positions, at)
        idle = 0 < before == after < len(positions)
        stays = life == 0 and (storage in trial.choice.kept or storage not in units.maker)
        size = graph.values[storage].size * (idle + (graph.in_flight - 1) * stays)
        if not size:
            continue
        if stays and (not idle or positions[before - 1] < part):
            reader, use = next(p for p in positions if p >= part or steps[p].life), AFTER_FORWARD
        else:
            reader = positions[after]
            use = next(step.op for step in islice(steps, reader, None) if not step.life)
        known = storage in units.maker
        seconds, what = (seconds_to_bring_back(units, spans, storage, reader), use) if known else (inf, use)
        if use == AFTER_FORWARD and movers.get(storage, inf) < seconds:
            seconds, what = movers[storage], AWAY
        if seconds < inf:
            found.append(Move(seconds / size, size, storage, what))
    return found


def seconds_to_bring_back(units: Units, spans: dict[int, list[tuple[int, int]]], storage: int, at: int) -> float:
    """The time of what must run for a storage to be there at step `at`, given what is alive then."""
    seconds, seen, waiting = 0.0, set[int](), [storage]
    while waiting:
        unit = units.maker[waiting.pop()]
        if unit in seen:
            continue
        seen.add(unit)
        seconds += units.units[unit].time
        waiting += [s for s in units.units[unit].reads if not any(a < at <= b for a, b in spans.get(s, ()))]
    return seconds


def loosen(trials: Trials, units: Units, trial: Trial, budget: int, rounds: int = 8) -> Trial:
    """A trial that runs less again and still meets the budget."""
    failed = set[int]()
    for _ in range(rounds):
        keep = [storage for storage in worth_keeping(units, trial, budget) if storage not in failed]
        while keep:
            more = trials.of(kept_too(units, trial, keep))
            if more.peak <= budget and (more.exposed, more.recomputed) <= (trial.exposed, trial.recomputed):
                trial = more
                break
            failed |= {keep[0]} if len(keep) == 1 else set()
            keep = keep[: len(keep) // 2]
        else:
            if not failed or len(failed) > rounds:
                break
    return trial


def kept_too(units: Units, trial: Trial, storages: list[int]) -> Choice:
    """The choice with more kept; what no longer runs again takes no place in windows."""
    choice, kept = trial.choice, trial.choice.kept | frozenset(storages)
    renewed = frozenset(move for move in choice.renewed if move[0] not in storages)
    again = {op for unit in units.again(kept) for op in units.units[unit].ops}
    moved = choice.moved.difference(storages)
    placed = {op: window for op, window in choice.placed.items() if op in again}
    return replace(choice, kept=kept, renewed=renewed, placed=placed, moved=moved)


def worth_keeping(units: Units, trial: Trial, budget: int) -> list[int]:
    """Storages whose bytes fit beside what is alive, so far as all of them fit: the most exposed seconds a byte first,
    then the most seconds."""
    graph, live, around = trial.graph, np.array(trial.live), trial.graph.in_flight - 1
    ends, begins = dict[int, int](), dict[int, int]()
    for (storage, life), positions in trial.lives.touches.items():
        if life:
            begins[storage] = min(positions[0], begins.get(storage, positions[0]))
        else:
            ends[storage] = positions[-1]
    again = begins.keys() & units.maker.keys() - trial.choice.kept
    size = {storage: max(graph.values[storage].size, 1) for storage in again}
    late = dict.fromkeys(again, 0.0)
    for step, seconds in zip(trial.steps, trial.times.late, strict=True):
        for storage in again.intersection(graph.ops[step.op].results) if step.life else ():
            late[storage] += seconds
    found, most = [], live.max(initial=0)
    for storage in sorted(again, key=lambda s: (-late[s] / size[s], -units.units[units.maker[s]].time / size[s], s)):
        between = slice(ends[storage] + 1, begins[storage])
        more = around * size[storage]
        there = live[between].max(initial=0) + size[storage]
        if max(most, there) + more <= budget:
            live += more
            live[between] += size[storage]
            most = max(most, there) + more
            found.append(storage)
    return found
