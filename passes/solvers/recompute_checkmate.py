"""The exact program of Checkmate (Jain et al., MLSys 2020) for small graphs: a baseline, and an oracle.

    stage t     what is there (S), ops before t that run again (R), what is given back after which of them (F), op t

    minimise    seconds of R
    where       R[t, i] <= R[t, j] + S[t, v]              i reads v, a result of j
                S[t, v] + R[t, j] - sum F = S[t + 1, v]   so bytes are exact at each op of each stage, within the budget
                F[t, v, k] <= R[t, k], 1 - R[t, i]        k reads or makes v, i does after k (POET's tight rows)

Any op that may run twice runs as often as there are stages, ops of the backward pass too; in a stage each once, in the
graph's order. A collective runs again as a whole. Views take no bytes and keep their storage; windows hide nothing.
Variables grow with the square of the ops: seconds for 50, minutes for 100.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...dialects.diagnostics import UserError
from .recompute_graph import INPUT, Graph, Phase, Schedule, Step
from .recompute_highs import Program
from .recompute_memory import peak, with_frees

MOST = 100
"""Ops of the largest graph."""
ROUNDS = 4
"""So often the program is solved with less room, where a tolerance of the solver went over the budget."""


@dataclass(frozen=True)
class Optimum:
    """The best schedule found, the seconds that it runs again, and those that none is under."""

    schedule: Schedule
    seconds: float
    bound: float


def checkmate(graph: Graph, budget: int, limit: float = 60.0, gap: float = 0.0) -> Optimum | None:
    """The schedule that runs least again in the budget, or None if none is found in `limit` seconds."""
    if len(graph.ops) > MOST:
        message = f"an exact program of {len(graph.ops)} ops is too large: at most {MOST} are solved"
        raise UserError(message, hint="the rungs 'mix' and 'opt' plan graphs of any size")
    room, bound = budget, None
    for _ in range(ROUNDS):
        model = Checkmate(graph, room)
        solution = model.program.solve(limit, gap)
        if solution is None:
            return None
        bound = solution.bound if bound is None else bound
        schedule = with_frees(graph, list(model.steps(solution.values.round())))
        over = peak(graph, schedule) - budget
        if over <= 0:
            again = (model.seconds(step.op) for step in schedule.steps if step.life)
            return Optimum(schedule, sum(again), max(0.0, bound))
        room -= over
    return None


class Checkmate:
    """The columns and rows of a graph: `runs` R, `there` S, `given` F, each absent where it must be 0."""

    def __init__(self, graph: Graph, budget: int):
        self.graph, self.program, self.budget = graph, Program(), budget
        self.one = self.program.column()
        self.program.row({self.one: 1.0}, low=1.0)
        self.owned = [v for v, owner in enumerate(graph.storage) if graph.values[owner].producer != INPUT]
        self.leaving = {graph.storage[value] for value in graph.outputs}
        self.turn = next((i for i, op in enumerate(graph.ops) if op.phase is Phase.BACKWARD), len(graph.ops))
        self.flights = flights(graph)
        self.start = {wait: start for start, wait, _ in self.flights if repeats(graph, start, wait)}
        self.touching = touching(graph)
        self.runs: dict[tuple[int, int], int] = {}
        self.there: dict[tuple[int, int], int] = {}
        self.order = [self.ordered(stage) for stage in range(len(graph.ops))]
        for stage in range(len(graph.ops) + 1):
            self.columns(stage)
        self.stash = self.program.column(upper=np.inf, whole=False)
        self.program.row({**self.held(self.turn), self.stash: 1.0}, low=0.0)
        for stage in range(len(graph.ops)):
            self.constrain(stage)
            self.count(stage, self.give(stage))

    def size(self, value: int) -> float:
        """Bytes of its own, as a share of the budget."""
        own = 0 if self.graph.storage[value] != value else self.graph.values[value].size
        return own / max(self.budget - self.graph.static, 1)

    def seconds(self, op: int) -> float:
        """Of an op that runs again, with its communication."""
        starts = self.graph.ops[op].starts
        return self.graph.ops[op].time + (0.0 if starts is None else self.graph.windows[starts].seconds)

    def ordered(self, stage: int) -> list[int]:
        """Ops that may run in a stage, in order: a start just before its wait, and the op of the stage at last."""
        graph, found = self.graph, list[int]()
        if stage < self.turn and graph.in_flight > 1:
            return [stage]
        busy = {graph.windows[window].group for start, wait, window in self.flights if start < stage <= wait} - {""}
        for index, op in enumerate(graph.ops[:stage]):
            start = self.start.get(index)
            if op.waits is None and op.starts is None and not op.fixed:
                found.append(index)
            elif start is not None and graph.windows[op.waits or 0].group not in busy:
                found += [start, index]
        return [*found, stage]

    def columns(self, stage: int) -> None:
        """What may run in a stage, and what may be there when it begins."""
        graph, column = self.graph, self.program.column
        for index in self.order[stage] if stage < len(graph.ops) else ():
            if index == stage:
                self.runs[stage, index] = self.one
            elif index in self.start:
                self.runs[stage, index] = self.runs[stage, self.start[index]]
                self.program.cost[self.runs[stage, index]] += self.seconds(index)
            else:
                self.runs[stage, index] = column(self.seconds(index))
        for value in self.owned:
            if graph.values[value].producer < stage:
                if value in self.leaving:
                    self.there[stage, value] = self.one
                elif stage < len(graph.ops):
                    self.there[stage, value] = column()

    def constrain(self, stage: int) -> None:
        """Ops find what they read, and what is there was there or was made."""
        graph, row = self.graph, self.program.row
        for index in self.order[stage]:
            for value in dict.fromkeys(graph.ops[index].reads):
                if graph.values[graph.storage[value]].producer != INPUT:
                    sources = [self.runs.get((stage, graph.values[value].producer)), self.there.get((stage, value))]
                    self.implies(self.runs[stage, index], sources)
        for value in self.owned:
            before, made = self.there.get((stage, value)), self.runs.get((stage, graph.values[value].producer))
            if (after := self.there.get((stage + 1, value))) is not None and after != self.one:
                self.implies(after, [before, made])
            if graph.storage[value] != value and before is not None:
                self.implies(before, [self.there[stage, graph.storage[value]]])
            elif before is not None and made is not None and self.alone(graph.values[value].producer):
                row({before: 1.0, made: 1.0}, high=1.0)

    def alone(self, op: int) -> bool:
        """Whether it is of no use to run an op again while a storage that it makes is there."""
        results = self.graph.ops[op].results
        bases = [self.graph.values[value].base for value in results]
        return bases.count(None) == 1 or any(base in results for base in bases)

    def implies(self, column: int, sources: list[int | None]) -> None:
        """A column is 1 only where one of the others is."""
        known = [source for source in sources if source is not None]
        if self.one not in known and column not in known:
            self.program.row({column: 1.0, **dict.fromkeys(known, -1.0)}, high=0.0)

    def give(self, stage: int) -> dict[int, dict[int, float]]:
        """Of each op, the columns of what is given back after it in a stage, with their bytes."""
        found = dict[int, dict[int, float]]()
        for value in self.owned:
            maker = self.graph.values[value].producer
            if self.graph.storage[value] != value or maker > stage:
                continue
            made, before = self.runs.get((stage, maker)), self.there.get((stage, value))
            balance = dict[int, float]()
            for column, sign in ((before, 1.0), (made, 1.0), (self.there.get((stage + 1, value)), -1.0)):
                if column is not None:
                    balance[column] = balance.get(column, 0.0) + sign
            places = [index for index in self.order[stage] if index in self.touching[value]]
            free = dict(zip(places, (self.free(stage, places[at:]) for at in range(len(places))), strict=True))
            if before is not None and made is not None and not self.alone(maker):
                twice = self.program.column(whole=False)
                self.implies(twice, [before])
                self.implies(twice, [made])
                found.setdefault(maker, {})[twice] = self.size(value)
                balance[twice] = -1.0
            for place, column in free.items():
                found.setdefault(place, {})[column] = self.size(value)
                balance[column] = -1.0
            self.program.row(balance, low=0.0, high=0.0)
        return found

    def free(self, stage: int, places: list[int]) -> int:
        """Whether a storage is given back after the first of `places`: that one runs, and none after it."""
        column = self.program.column(whole=False)
        self.implies(column, [self.runs[stage, places[0]]])
        for later in places[1:]:
            self.program.row({column: 1.0, self.runs[stage, later]: 1.0}, high=1.0)
        return column

    def count(self, stage: int, given: dict[int, dict[int, float]]) -> None:
        """Bytes at each op of a stage, those of other micro-batches among them, are within the budget."""
        graph, program = self.graph, self.program
        held = self.held(stage)
        for index in self.order[stage]:
            live = program.column(upper=np.inf, whole=False)
            run = self.runs[stage, index]
            held[run] = held.get(run, 0.0) - sum(map(self.size, graph.ops[index].results))
            program.row({**held, live: 1.0}, low=0.0)
            space = graph.ops[index].workspace / max(self.budget - graph.static, 1)
            most = {live: 1.0, self.stash: float(graph.in_flight - 1)}
            most[run] = space
            program.row(most, high=1.0)
            held = {live: -1.0, **given.get(index, {})}

    def held(self, stage: int) -> dict[int, float]:
        """Of each column, less the bytes that it puts there when a stage begins."""
        found = dict[int, float]()
        for value in self.owned:
            if (column := self.there.get((stage, value))) is not None and self.size(value):
                found[column] = found.get(column, 0.0) - self.size(value)
        return found

    def steps(self, values: np.ndarray) -> Iterator[Step]:
        """The steps of a solution."""
        graph, current = self.graph, dict[int, int]()
        lives = [-1] * len(graph.ops)
        for stage in range(len(graph.ops)):
            current = {v: life for v, life in current.items() if values[self.there.get((stage, v), self.one)] > 0.5}
            for index in self.order[stage]:
                if values[self.runs[stage, index]] < 0.5:
                    continue
                lives[index] += 1
                reads = graph.ops[index].reads
                yield Step(index, lives[index], tuple(current.get(value, 0) for value in reads))
                for value in graph.ops[index].results:
                    current.setdefault(value, lives[index])


def flights(graph: Graph) -> list[tuple[int, int, int]]:
    """Each communication: what starts it, what waits for it (the end, if nobody does), its window."""
    waits = {op.waits: index for index, op in enumerate(graph.ops)}
    starts = ((index, op.starts) for index, op in enumerate(graph.ops) if op.starts is not None)
    return [(start, waits.get(window, len(graph.ops)), window) for start, window in starts]


def repeats(graph: Graph, start: int, wait: int) -> bool:
    """Whether a communication may run again: it has a wait, and only that reads what is in the air."""
    if wait == len(graph.ops) or graph.ops[start].fixed or graph.ops[wait].fixed:
        return False
    return all(reader >= wait for value in graph.ops[start].results for reader in graph.readers[value])


def touching(graph: Graph) -> dict[int, set[int]]:
    """Of each storage, the ops that make or read a value in it."""
    found: dict[int, set[int]] = {}
    for index, op in enumerate(graph.ops):
        for value in (*op.reads, *op.results):
            found.setdefault(graph.storage[value], set()).add(index)
    return found
