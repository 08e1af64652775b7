"""When units may run again, and which window a unit goes to.

| `When`   | runs                                                                                                   |
|----------|--------------------------------------------------------------------------------------------------------|
| `LATE`   | just before the first op of the backward pass that needs it                                             |
| `WINDOW` | in a window of the backward pass that opens before that                                                 |
| `AHEAD`  | in a window of the forward pass of the micro-batch that comes `in_flight - 1` later                     |
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from .recompute_graph import Graph, Phase
from .recompute_units import Units

LOOK = 6
"""How many windows before its reader a unit may run in."""


class When(IntEnum):
    """In order of time."""

    AHEAD = 0
    WINDOW = 1
    LATE = 2


@dataclass(frozen=True)
class Times:
    """The places, as ops of the graph, between which units run and storages live in the backward pass."""

    units: Units

    @property
    def graph(self) -> Graph:
        return self.units.graph

    @cached_property
    def need(self) -> list[int | None]:
        """Of each unit, the first op of the backward pass that reads what it makes, else that its readers are for."""
        found: list[int | None] = [None] * len(self.units.units)
        for index in range(len(found) - 1, -1, -1):
            unit = self.units.units[index]
            direct = [self.units.uses[storage][0] for storage in unit.makes if storage in self.units.uses]
            found[index] = need = min(direct) if direct else found[index]
            for storage in unit.reads if need is not None else ():
                maker = self.units.maker[storage]
                known = found[maker]
                found[maker] = need if known is None or need is None else min(need, known)
        return found

    @cached_property
    def span(self) -> dict[int, tuple[int, int]]:
        """Of each storage that may be needed, from which op to which it is there if it is rebuilt late."""
        found = {}
        for storage, maker in self.units.maker.items():
            need = self.need[maker]
            if storage in self.units.uses:
                found[storage] = self.units.uses[storage][0], self.units.uses[storage][-1]
            elif need is not None and any(storage in unit.reads for unit in self.units.units[maker + 1 :]):
                found[storage] = need, need
        return found

    @cached_property
    def taken(self) -> dict[int, float]:
        """Seconds that the graph's own ops take in each window."""
        found, air = dict[int, float](), set[int]()
        for op in self.graph.ops:
            if op.waits is not None:
                air.discard(op.waits)
            for window in air:
                found[window] = found.get(window, 0.0) + op.time
            if op.starts is not None:
                air.add(op.starts)
        return found

    def room(self, window: int) -> float:
        """Seconds of other work that a window still hides."""
        return max(0.0, self.graph.windows[window].room - self.taken.get(window, 0.0))

    @cached_property
    def ahead(self) -> list[int]:
        """The windows of the forward pass, in order, if another micro-batch runs it."""
        ops = self.graph.ops if self.graph.in_flight > 1 else ()
        return [op.starts for op in ops if op.starts is not None and op.phase is Phase.FORWARD]

    @cached_property
    def behind(self) -> list[tuple[int, int]]:
        """The windows of the backward pass, each after the op that opens it."""
        ops = enumerate(self.graph.ops)
        return [(at, op.starts) for at, op in ops if op.starts is not None and op.phase is Phase.BACKWARD]

    @cached_property
    def before(self) -> list[int]:
        """Of each unit, how many windows of the backward pass open before it is needed."""
        return [0 if need is None else self.opened(need) for need in self.need]

    def opened(self, place: int) -> int:
        """How many windows of the backward pass open before a place."""
        return bisect_left(self.behind, (place, 0))

    def whens(self, index: int) -> list[When]:
        """When a unit may run again; collectives only late, since windows may be of their own group."""
        unit = self.units.units[index]
        if self.need[index] is None:
            return []
        windows = [When.AHEAD] * bool(self.ahead) + [When.WINDOW] * bool(self.before[index])
        return (windows if len(unit.ops) == 1 else []) + [When.LATE]


def placed(times: Times, when: Mapping[int, When], look: int = LOOK) -> tuple[dict[int, int], dict[int, int]]:
    """A window for each unit that is to run in one; the same, and more for units that were to run late.

    Each goes to the tightest window that it fits, else to the one with the most room: what is beyond is exposed, as it
    would be late. Then what was to run late fills the windows that still have room.
    """
    packing = Packing(times, when, look)
    todo = sorted(when, key=lambda index: (when[index], packing.need[index], index))
    for index in todo:
        if when[index] is not When.LATE:
            packing.fit(index)
    asked = dict(packing.found)
    for index in todo:
        if when[index] is When.LATE:
            packing.fit(index)
    return asked, packing.found


class Packing:
    """Windows that fill up, in order: those of the forward pass, then those of the backward pass."""

    def __init__(self, times: Times, when: Mapping[int, When], look: int = LOOK):
        self.times, self.when, self.need, self.look = times, when, first_needs(times, when), look
        self.windows = [*times.ahead, *(window for _, window in times.behind)]
        self.room = [times.room(window) for window in self.windows]
        self.turn: dict[int, int] = {}
        self.found: dict[int, int] = {}
        self.makers: dict[int, list[int]] = {}
        self.readers: dict[int, list[int]] = {}
        maker = times.units.maker
        for index in when:
            self.makers[index] = [m for s in times.units.units[index].reads if (m := maker[s]) in when]
            for made in self.makers[index]:
                self.readers.setdefault(made, []).append(index)

    def places(self, index: int) -> range:
        """The windows in which the unit finds what it reads, and its readers find it."""
        times, turn, ahead = self.times, self.turn, len(self.times.ahead)
        placed = [turn[maker] for maker in self.makers[index] if maker in turn]
        late = max((self.need[maker] for maker in self.makers[index] if maker not in turn), default=-1)
        if self.when[index] is When.AHEAD:
            first, last = 0, ahead if late < 0 else 0
        else:
            count = times.opened(self.need[index])
            first, last = ahead + max(0, count - self.look, times.opened(late)), ahead + count
        before = min((turn[reader] + 1 for reader in self.readers.get(index, ()) if reader in turn), default=last)
        return range(max(first, *placed) if placed else first, min(last, before))

    def fit(self, index: int) -> None:
        unit, room = self.times.units.units[index], self.room
        places = self.places(index) if len(unit.ops) == 1 else ()
        fits = [place for place in places if room[place] >= unit.time]
        if places:
            place = min(fits, key=room.__getitem__) if fits else max(places, key=room.__getitem__)
            if room[place] > 0:
                room[place] -= unit.time
                self.turn[index] = place
                self.found[unit.ops[-1]] = self.windows[place]


def first_needs(times: Times, when: Mapping[int, When]) -> dict[int, int]:
    """Of each unit that runs again, the op before which it must, for its readers too."""
    found: dict[int, int] = {}
    for index in sorted(when, reverse=True):
        need = min(times.need[index] or 0, found.get(index, len(times.graph.ops)))
        found[index] = need
        for storage in times.units.units[index].reads:
            maker = times.units.maker[storage]
            if maker in when:
                found[maker] = min(need, found.get(maker, need))
    return found
