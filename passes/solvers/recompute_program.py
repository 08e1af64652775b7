"""The mixed integer program: what is kept, what runs again and when, and what windows hide of it.

    minimise    sum of seconds that run late + of work in windows beyond their room
    where       a storage that the backward pass reads is kept, or its unit runs again
                a unit runs again where all that it reads is kept, or runs again by then
                work in windows of the backward pass fits those that open before it is needed, what is left carries over
                at each place of `rows`: kept bytes of all micro-batches in flight + bytes rebuilt by then <= room

Work beyond the room of windows is late by what is beyond: units of any length fit, and windows are alike but for when
they open. So the program is small and its relaxation tight. Bytes are charged between the readers in the backward pass,
and those of what no op of it reads where it is needed; the exact peak has the last word.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .recompute_highs import Program
from .recompute_memory import keep_all, live_bytes
from .recompute_schedule import Choice
from .recompute_when import LOOK, Times, When, placed

EPSILON = 1e-5
"""What a hidden second costs."""


@dataclass
class WhenProgram:
    """The program of the units `members`; storages made elsewhere, and those that are `firm`, are taken as kept.

    Of identical layers, `layers` > 1 in number, one stands for all: it has its share of all windows.
    """

    times: Times
    members: tuple[int, ...]
    firm: frozenset[int] = frozenset()
    layers: int = 1
    program: Program = field(default_factory=Program)
    keep: dict[int, int] = field(default_factory=dict)
    run: dict[tuple[int, When], int] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    beyond: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        units, program = self.times.units, self.program
        for index in self.members:
            unit = units.units[index]
            for storage in unit.makes:
                if storage in self.times.span and storage not in self.firm and units.graph.values[storage].size:
                    self.keep[storage] = program.column()
            for when in self.times.whens(index):
                self.run[index, when] = program.column(unit.time * (1.0 if when is When.LATE else EPSILON))
        for index in self.members:
            self.constrain(index)
        self.fill_ahead()
        self.fill_behind()

    @cached_property
    def spare(self) -> list[int]:
        """Columns of what may run late and need not: a window takes it at the same cost, and so all that it reads."""
        units, late = self.times.units, set[int]()
        for index in self.members:
            makers = {units.maker[storage] for storage in units.units[index].reads if storage in self.keep}
            if makers & late or When.WINDOW not in self.times.whens(index):
                late.add(index)
        return [column for (index, when), column in self.run.items() if when is When.LATE and index not in late]

    def constrain(self, index: int) -> None:
        """Rows of one unit: it runs again once at most, if the backward pass needs it, and after what it reads."""
        units, program = self.times.units, self.program
        mine = {when: self.run[index, when] for when in self.times.whens(index)}
        if len(mine) > 1:
            program.row(dict.fromkeys(mine.values(), 1.0), high=1.0)
        for storage in units.units[index].makes:
            if storage in self.keep and storage in units.uses:
                program.row({self.keep[storage]: 1.0, **dict.fromkeys(mine.values(), 1.0)}, low=1.0)
        for when, column in mine.items():
            for storage in units.units[index].reads:
                if storage in self.keep:
                    maker = units.maker[storage]
                    early = when if not self.late_before(maker, index) else max(when, When.LATE * (when > When.AHEAD))
                    by_then = {self.run[maker, w]: -1.0 for w in self.times.whens(maker) if w <= early}
                    program.row({column: 1.0, self.keep[storage]: -1.0, **by_then}, high=0.0)

    def late_before(self, maker: int, index: int) -> bool:
        """Whether a unit that runs late is there when a window opens in which another one may run."""
        need, count = self.times.need[maker], self.times.before[index]
        return need is not None and count > 0 and self.times.behind[count - 1][0] > need

    def fill_ahead(self) -> None:
        """All windows of the forward pass are one."""
        work = {c: self.times.units.units[i].time for (i, when), c in self.run.items() if when is When.AHEAD}
        room = sum(map(self.times.room, self.times.ahead)) / self.layers
        self.program.row({**work, self.column_beyond(): -1.0}, high=room)

    def fill_behind(self) -> None:
        """Of the backward pass, each window adds its room to what earlier ones left."""
        work: dict[int, dict[int, float]] = {}
        for (index, when), column in self.run.items():
            if when is When.WINDOW:
                count = self.times.before[index] if self.layers == 1 else 0
                work.setdefault(count, {})[column] = self.times.units.units[index].time
        rooms, carry, opened = [self.times.room(window) for _, window in self.times.behind], None, 0
        if self.layers > 1 and work:
            self.program.row({**work[0], self.column_beyond(): -1.0}, high=sum(rooms) / self.layers)
            return
        for count, terms in sorted(work.items()):
            left = self.program.column(0.0, np.inf, whole=False)
            row = {**terms, self.column_beyond(): -1.0, left: 1.0} | ({} if carry is None else {carry: -1.0})
            self.program.row(row, high=sum(rooms[opened:count]))
            carry, opened = left, count

    def column_beyond(self) -> int:
        self.beyond.append(self.program.column(1.0, np.inf, whole=False))
        return self.beyond[-1]

    def bytes_at(self, at: int) -> dict[int, float]:
        """Bytes that each column puts there while op `at` of the backward pass runs."""
        units, terms = self.times.units, dict[int, float]()
        around = units.graph.in_flight - 1
        for index in self.members:
            for storage in units.units[index].makes:
                if storage not in self.keep:
                    continue
                (first, last), size = self.times.span[storage], float(units.graph.values[storage].size)
                if copies := around + (last >= at):
                    terms[self.keep[storage]] = size * copies
                for when in self.times.whens(index):
                    if at <= last and (first <= at or when is When.AHEAD):
                        column = self.run[index, when]
                        terms[column] = terms.get(column, 0.0) + size
        return terms

    def limit(self, at: int, room: float) -> None:
        """At most `room` bytes at op `at`."""
        if at not in self.rows:
            self.rows[at] = self.program.row(self.bytes_at(at), high=room)
        else:
            self.program.high[self.rows[at]] = room

    def high_of(self, at: int) -> float:
        """What `limit` said last."""
        return self.program.high[self.rows[at]]

    def whens(self, values: np.ndarray) -> dict[int, When]:
        """When each unit runs again, of those that do."""
        return {index: when for (index, when), column in self.run.items() if values[column] > 0.5}

    def kept(self, values: np.ndarray) -> frozenset[int]:
        made = {storage for index in self.members for storage in self.times.units.units[index].makes}
        return frozenset(s for s in made if s not in self.keep or values[self.keep[s]] > 0.5)

    def choice(self, values: np.ndarray, look: int = LOOK) -> Choice:
        """What a solution chooses, placed in one of so many windows ahead."""
        return Choice(self.kept(values), placed(self.times, self.whens(values), look)[1])

    def start(self, choice: Choice) -> np.ndarray:
        """The values of whole columns for a choice; the others are for the solver to find."""
        units, ahead = self.times.units, set(self.times.ahead)
        values = np.full(len(self.program.cost), np.inf)
        values[[*self.run.values(), *self.keep.values()]] = 0.0
        for storage, column in self.keep.items():
            values[column] = float(storage in choice.kept)
        for index in units.again(choice.kept) & set(self.members):
            window = choice.placed.get(units.units[index].ops[-1])
            when = When.LATE if window is None else When.AHEAD if window in ahead else When.WINDOW
            values[self.run[index, when]] = 1.0
        return values


def rooms(times: Times, budget: int, places: Iterable[int]) -> dict[int, float]:
    """Bytes for what is kept or rebuilt at each place, besides what is there whatever is chosen."""
    graph, uses, around = times.graph, times.units.uses, times.graph.in_flight - 1
    live = live_bytes(graph, keep_all(graph))
    needed = [(graph.values[storage].size, uses[storage][-1]) for storage in times.units.maker if storage in uses]
    kept = {at: sum(size * (around + (last >= at)) for size, last in needed) for at in places}
    return {at: float(budget - live[at] + bytes) for at, bytes in kept.items()}
