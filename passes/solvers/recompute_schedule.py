"""From what is kept to a schedule: what is not kept is dropped after the forward pass, and runs again when it is read.

    kept {x, b}     x.0   a.0   b.0   loss.0   free a.0   db.0 = loss'(b.0)   a.1 = f(x.0)   da.0 = b'(a.1, db.0)   ..

Recomputations stand as late as possible, just before the first op of the backward pass that needs them, or at the end
of a window, when the ops inside it have given back what they read. One life serves all later reads, up to a read that
is `renewed`: there a new one begins. Views of what runs again are made again, as soon as somebody reads them. Fixed ops
never run again. What is moved away is life 1 when it is back, and so are views of it (`recompute_moves.py` says when it
goes and comes).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .recompute_graph import INPUT, Graph, Move, Op, Phase, Schedule, Step
from .recompute_memory import with_frees
from .recompute_moves import placed_moves


@dataclass(frozen=True)
class Choice:
    """What is `kept`, by the value that owns the storage; which ops of the forward pass run again in which window
    (`placed`, of `in_flight` > 1 in windows of the forward pass too); and where a new life of a storage begins
    (`renewed`: the storage and the op of the backward pass that reads it). What is `moved` is not kept, but goes to the
    second tier and comes back, early and late enough for `room` bytes where that can be."""

    kept: frozenset[int]
    placed: Mapping[int, int] = field(default_factory=dict)
    renewed: frozenset[tuple[int, int]] = frozenset()
    moved: frozenset[int] = frozenset()
    room: int = 0


def pinned(graph: Graph) -> frozenset[int]:
    """Storages that cannot be computed again: of outputs, and of what fixed ops or the backward pass make.

    A view that the backward pass takes of what the forward pass made pins nothing: it is taken of some life.
    """
    owners = {graph.storage[value] for value in graph.outputs}
    fixed = {op.starts if op.waits is None else op.waits for op in graph.ops if op.fixed} - {None}
    for op in graph.ops:
        if op.fixed or op.starts in fixed or op.waits in fixed:
            owners.update(graph.storage[value] for value in op.results)
        elif op.phase is Phase.BACKWARD:
            owners.update(value for value in op.results if graph.values[value].base is None)
    return frozenset(owners)


def droppable(graph: Graph) -> tuple[int, ...]:
    """Storages of the forward pass that can be computed again."""
    fixed, owner = pinned(graph), graph.storage
    return tuple(v for v, of in enumerate(graph.values) if owner[v] == v and of.producer != INPUT and v not in fixed)


def schedule_of(graph: Graph, choice: Choice) -> Schedule:
    """The schedule that does what was chosen."""
    return with_frees(graph, *written(Ground(graph), choice))


class Ground:
    """What all schedules of a graph share: what has one life, what is in the air, what runs inside windows."""

    def __init__(self, graph: Graph):
        self.graph, self.handles, self.inside, self.pinned = graph, in_the_air(graph), insides(graph), pinned(graph)
        self.hosts = {op.starts for op in graph.ops if op.phase is Phase.BACKWARD or graph.in_flight > 1} - {None}
        self.once = {value for op in graph.ops if op.phase is Phase.BACKWARD for value in op.results}
        self.forward = {index for index, op in enumerate(graph.ops) if op.phase is Phase.FORWARD}
        self.firm = self.firm_without(frozenset())

    def firm_without(self, moved: frozenset[int]) -> list[bool]:
        """Of each value, whether it has one life where the storages `moved` go away and come back."""
        owner, values, fixed = self.graph.storage, self.graph.values, self.pinned - moved
        return [v in self.once or home in fixed or values[home].producer == INPUT for v, home in enumerate(owner)]


def written(ground: Ground, choice: Choice) -> tuple[list[Step], tuple[Move, ...]]:
    """The steps and moves that do what was chosen."""
    graph, steps = ground.graph, Walk(ground, choice).steps()
    return steps, placed_moves(graph, steps, choice.moved, choice.room) if choice.moved else ()


class Walk:
    """The state of a micro-batch while its steps are written: which life of each value can be read now."""

    def __init__(self, ground: Ground, choice: Choice):
        self.graph, self.choice = graph, choice = ground.graph, choice
        self.handles, self.inside, owner = ground.handles, ground.inside, graph.storage
        self.firm = ground.firm_without(choice.moved) if choice.moved else ground.firm
        kept = choice.kept - choice.moved
        stays = [owner[v] in kept and v not in self.handles for v in range(len(owner))]
        self.current: list[int | None] = [0 if a or b else None for a, b in zip(self.firm, stays, strict=True)]
        self.lives = [0] * len(graph.ops)
        for storage in choice.moved:
            self.current[storage] = self.lives[graph.values[storage].producer] = 1
        self.ground, self.once, self.out = ground, graph.once, list[Step]()
        self.air: set[int] = set()
        self.renewals: dict[int, list[int]] = {}
        for storage, op in choice.renewed:
            self.renewals.setdefault(op, []).append(storage)
        self.members: dict[int, list[int]] = {}
        for value, storage in enumerate(graph.storage if choice.renewed else ()):
            if not self.firm[value]:
                self.members.setdefault(storage, []).append(value)
        self.guests: dict[int, list[int]] = {}
        for op, window in choice.placed.items():
            if window in ground.hosts:
                self.guests.setdefault(window, []).append(op)

    def steps(self) -> list[Step]:
        for index, op in enumerate(self.graph.ops):
            if op.waits is not None:
                self.fill(op.waits)
                self.air.discard(op.waits)
            if index in self.ground.forward:
                self.out.append(self.once[index][0])
            else:
                self.step_back(index, op)
            if op.starts is not None:
                self.air.add(op.starts)
        return self.out

    def step_back(self, index: int, op: Op) -> None:
        """An op of the backward pass, after what runs again for it."""
        if index in self.renewals:
            self.renew(index)
        if op.starts is not None:
            self.run_again(self.before_window(index))
        self.run_again(op.reads)
        lives = self.read(op.reads)
        self.out.append(Step(index, 0, lives) if any(lives) else self.once[index][0])

    def read(self, values: Sequence[int]) -> tuple[int, ...]:
        return tuple([self.current[value] or 0 for value in values])

    def missing(self, values: Iterable[int]) -> list[int]:
        """The ops that must run again before `values` can be read, in order."""
        waiting = [value for value in values if self.current[value] is None]
        if not waiting:
            return []
        graph, ops = self.graph, set[int]()
        while waiting:
            producer = graph.values[waiting.pop()].producer
            if producer not in ops:
                ops.add(producer)
                waiting += [value for value in graph.ops[producer].reads if self.gone(value)]
        return sorted(ops)

    def gone(self, value: int) -> bool:
        """Whether no life of the value can be read: its own storage is gone, or nobody made this view of it yet."""
        return self.current[value] is None

    def run_again(self, values: Iterable[int]) -> None:
        for index in self.missing(values):
            op = self.graph.ops[index]
            self.lives[index] += 1
            self.out.append(Step(index, self.lives[index], self.read(op.reads)))
            if op.waits is not None:
                self.forget(value for value in op.reads if value in self.handles)
            for value in op.results:
                if self.gone(value):
                    self.current[value] = self.lives[index]

    def forget(self, values: Iterable[int]) -> None:
        for value in values:
            if not self.firm[value]:
                self.current[value] = None

    def renew(self, index: int) -> None:
        """Forget the lives of what op `index` reads anew, if they can come back while the air is as it is."""
        for storage in self.renewals[index]:
            members = self.members.get(storage, [])
            before = [self.current[value] for value in members]
            self.forget(members)
            if self.air and self.clashes(
                self.missing([value for value in members if value not in self.handles]), self.air
            ):
                for value, life in zip(members, before, strict=True):
                    self.current[value] = life

    def fill(self, window: int) -> None:
        """Run the guests of a window that is about to close, unless they communicate in a group that is in the air."""
        for guest in sorted(self.guests.get(window, ())):
            results = [
                value for value in self.graph.ops[guest].results if self.gone(value) and value not in self.handles
            ]
            if not self.clashes(self.missing(results), self.air):
                self.run_again(results)

    def clashes(self, ops: Iterable[int], air: set[int]) -> bool:
        """Whether one of `ops` starts a communication that must not start while the windows `air` are open."""
        windows = self.graph.windows
        starts = [op.starts for op in map(self.graph.ops.__getitem__, ops) if op.starts is not None]
        groups = {windows[window].group for window in air} - {""} if starts else set()
        return any(start in air or windows[start].group in groups for start in starts)

    def before_window(self, index: int) -> list[int]:
        """What the ops inside the window that op `index` starts read, and cannot be brought back inside it."""
        window, inside = self.graph.ops[index].starts, self.inside.get(index, ())
        reads = [value for op in inside for value in self.graph.ops[op].reads if self.gone(value)]
        return [value for value in reads if window is not None and self.clashes(self.missing([value]), {window})]


def in_the_air(graph: Graph) -> frozenset[int]:
    """Results of what starts a communication that only its wait may read: each wait needs a start of its own."""
    pins, landed = pinned(graph), {graph.storage[v] for op in graph.ops if op.waits is not None for v in op.results}
    results = {value for op in graph.ops if op.starts is not None for value in op.results}
    return frozenset(value for value in results if graph.storage[value] not in landed | pins)


def insides(graph: Graph) -> dict[int, range]:
    """Of each op that starts a window, the ops after it up to the one that waits for it."""
    starts = {op.starts: index for index, op in enumerate(graph.ops) if op.starts is not None}
    waits = {op.waits: index for index, op in enumerate(graph.ops) if op.waits is not None}
    return {start: range(start + 1, waits[window] + 1) for window, start in starts.items() if window in waits}
