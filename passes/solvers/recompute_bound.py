"""Seconds that no schedule in a budget exposes: a program of few places, each row of which holds for every schedule.

    forward pass | again | place 0 | again | place 1 | again | ..       places: full ops of the backward pass

    minimise    seconds that run again between places, beyond the room of windows that are open there
    where       what runs again, or is read by the backward pass, finds what it reads: it was there at the place before,
                or ran again since
                what is there at a place was there at the one before, or ran again since
                bytes there at a place, and kept for the other micro-batches, fit beside what no choice can spare
                what the backward pass reads is kept, or runs again at all, and so for what that reads

Take any schedule within the budget, and let each column be 1 where it says what is true of the schedule: all rows are
true, and it exposes no less than the objective. The last rows follow from the others for whole columns; they make the
relaxation no worse than a minimum cut. More places tell what must be there at once while a layer is rebuilt. Not
bounded are schedules that run the backward pass again, or other work between a collective that runs again and its wait.
"""

from bisect import bisect_right
from itertools import pairwise

import numpy as np

from .recompute_clock import times as clock
from .recompute_floor import needed
from .recompute_graph import Graph, Phase
from .recompute_highs import Program
from .recompute_memory import keep_all
from .recompute_program import rooms
from .recompute_units import Units
from .recompute_when import Times

PLACES = (1, 4)
"""Into so many parts the backward pass is cut, for one program each: more are more exact, and longer to solve."""

Columns = dict[int, int]
"""Of storages or of units, those that may be chosen."""


def programs(times: Times, budget: int) -> list[Program]:
    """One for each of `PLACES`."""
    return [BoundProgram(times, budget, parts).program for parts in PLACES]


def relaxed_bound(times: Times, budget: int) -> float:
    """By the relaxations of the programs, which are soon solved."""
    return max(program.bound(np.inf, relaxed=True) for program in programs(times, budget))


def proven_bound(times: Times, budget: int, seconds: float) -> float:
    """By the programs, each solved for its share of the seconds, or by their relaxations."""
    found = programs(times, budget)
    whole = [program.bound(seconds / len(found)) for program in found]
    return max(*whole, *(program.bound(np.inf, relaxed=True) for program in found))


def full_places(graph: Graph, parts: int) -> list[int]:
    """The first op of the backward pass, and of each part the one that needs most whatever is chosen."""
    backward = [index for index, op in enumerate(graph.ops) if op.phase is Phase.BACKWARD]
    bytes, size = needed(graph), -(-len(backward) // parts) or 1
    chunks = (backward[start : start + size] for start in range(0, len(backward), size))
    return sorted({*backward[:1], *(max(chunk, key=lambda index: (bytes[index], -index)) for chunk in chunks)})


class BoundProgram:
    """The columns of each storage and unit: `kept` and `anew` for the time between the passes, then place by place."""

    def __init__(self, times: Times, budget: int, parts: int):
        self.times, self.units, self.graph, self.program = times, times.units, times.graph, Program()
        self.needs = {index: last for index, last in enumerate(last_needs(times.units)) if last >= 0}
        self.storages = [s for s, maker in self.units.maker.items() if maker in self.needs]
        self.left = clock(self.graph, keep_all(self.graph).steps).left
        self.kept = {storage: self.program.column() for storage in self.storages}
        self.ran: list[Columns] = []
        places = full_places(self.graph, parts)
        room = rooms(times, budget, places)
        there = self.ahead() if self.graph.in_flight > 1 else self.kept
        turn = places[0] if places else 0
        for before, place in pairwise([turn - 1, *places]):
            there = self.stage(there, before, place)
            self.fit(there, room[place])
        self.stage(there, places[-1] if places else -1, len(self.graph.ops))
        self.cut()

    def ahead(self) -> Columns:
        """What runs again in the forward pass of another micro-batch; what is there when the backward pass begins."""
        again = {index: self.program.column() for index in self.needs}
        self.find(again, self.kept)
        forward = [op.starts for op in self.graph.ops if op.starts is not None and op.phase is Phase.FORWARD]
        self.expose(again, sum(self.left[window] for window in forward))
        return self.follow(self.storages, self.kept, again)

    def stage(self, there: Columns, before: int, place: int) -> Columns:
        """What runs again between two places; what is there at the second."""
        again = {index: self.program.column() for index, last in self.needs.items() if last > before}
        self.find(again, there)
        for storage, uses in self.units.uses.items():
            if bisect_right(uses, place) > bisect_right(uses, before):
                self.program.row({there[storage]: 1.0, again[self.units.maker[storage]]: 1.0}, low=1.0)
        self.expose(again, sum(self.left[window] for window in self.open(before, place)))
        after = self.follow([s for s in self.storages if self.needs[self.units.maker[s]] >= place], there, again)
        for storage, uses in self.units.uses.items():
            if place in uses:
                self.program.row({after[storage]: 1.0}, low=1.0)
        return after

    def find(self, again: Columns, there: Columns) -> None:
        """What runs again finds what it reads."""
        for index, column in again.items():
            for storage in self.units.units[index].reads:
                self.program.row({column: 1.0, there[storage]: -1.0, again[self.units.maker[storage]]: -1.0}, high=0.0)

    def follow(self, storages: list[int], there: Columns, again: Columns) -> Columns:
        """New columns of what is there afterwards."""
        after = {storage: self.program.column() for storage in storages}
        for storage, column in after.items():
            self.program.row({column: 1.0, there[storage]: -1.0, again[self.units.maker[storage]]: -1.0}, high=0.0)
        return after

    def open(self, before: int, place: int) -> list[int]:
        """The windows in which something may run between two places."""
        waits = {op.waits: index for index, op in enumerate(self.graph.ops)}
        starts = ((index, op.starts) for index, op in enumerate(self.graph.ops[:place]))
        return [w for _, w in starts if w is not None and waits.get(w, len(self.graph.ops)) > before]

    def expose(self, again: Columns, room: float) -> None:
        """Work beyond the room of windows costs what is beyond."""
        work = {column: self.units.units[index].time for index, column in again.items()}
        self.program.row({**work, self.program.column(1.0, np.inf, whole=False): -1.0}, high=room)
        self.ran.append(again)

    def fit(self, there: Columns, room: float) -> None:
        """Bytes at a place, as shares of the room."""
        bytes, scale = {}, max(room, 1.0)
        for storage in self.storages:
            size = self.graph.values[storage].size / scale
            bytes[self.kept[storage]] = size * (self.graph.in_flight - 1)
            if storage in there:
                bytes[there[storage]] = bytes.get(there[storage], 0.0) + size
        self.program.row({column: size for column, size in bytes.items() if size}, high=room / scale)

    def cut(self) -> None:
        """What is not kept runs again at all, and what that reads is kept or does."""
        total = {index: self.program.column() for index in self.needs}
        for index, column in total.items():
            self.program.row({column: 1.0, **{again[index]: -1.0 for again in self.ran if index in again}}, high=0.0)
            for storage in self.units.units[index].reads:
                maker = total[self.units.maker[storage]]
                self.program.row({maker: 1.0, self.kept[storage]: 1.0, column: -1.0}, low=0.0)
        for storage in self.units.uses:
            self.program.row({self.kept[storage]: 1.0, total[self.units.maker[storage]]: 1.0}, low=1.0)


def last_needs(units: Units) -> list[int]:
    """Of each unit, the last op of the backward pass that reads what it makes, or what needs it; -1 for none."""
    found = [-1] * len(units.units)
    for index in range(len(found) - 1, -1, -1):
        unit = units.units[index]
        found[index] = max([found[index], *(units.uses[s][-1] for s in unit.makes if s in units.uses)])
        for storage in unit.reads:
            found[units.maker[storage]] = max(found[units.maker[storage]], found[index])
    return found
