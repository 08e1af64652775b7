"""A training step as a straight-line program with costs, and a schedule of it: what runs when, which copy is read.

    graph       a = f(x)   b = g(a)   loss = h(b)   db = h'(b)   dx = g'(a, db)
    schedule    a.0   b.0   loss.0   free a.0   db.0   free b.0   a.1 = f(x.0)   dx.0 = g'(a.1, db.0)   free a.1 ..

Ops stand in an order in which they may run, the forward pass first. Every result of an op is a value; a view is a
value of no bytes of its own, alive in the storage of what it is a view of. A *life* is one computation of an op: life
0 is the op itself, others are recomputations. Communication is an op that starts and one that waits for it; what
runs between them is hidden, as far as the window has room. A storage may also be away: moved to a second tier, the host
of a device or a file, and back as another life; one copy engine moves one storage after another.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import NamedTuple, TypeAlias

INPUT = -1
"""The producer of a value that is there before the step and after it: a parameter, a buffer, an input."""

Storage: TypeAlias = tuple[int, int]
"""The value that owns it, and the life of that value."""


class Phase(StrEnum):
    """Which pass an op belongs to."""

    FORWARD = "forward"
    BACKWARD = "backward"


@dataclass(frozen=True)
class Value:
    """A result of op `producer` (`INPUT`: of none), `size` bytes of new storage, or a view of the value `base`.

    A storage of which a value is `bound` cannot be moved: it may be written in place, or is more than its bytes. The
    state from which op `replayed` draws takes its bytes only where that op runs again.
    """

    producer: int
    size: int = 0
    base: int | None = None
    bound: bool = False
    replayed: int | None = None


@dataclass(frozen=True)
class Op:
    """One op: `time` in seconds, `workspace` bytes that it needs only while it runs.

    `fixed` tells why it must not run twice ("writes a buffer", "draws from the global random stream"), and is empty
    where it may. `starts` and `waits` are the window that it opens or closes.
    """

    name: str
    reads: tuple[int, ...]
    results: tuple[int, ...]
    phase: Phase
    time: float = 0.0
    layer: int | None = None
    workspace: int = 0
    fixed: str = ""
    starts: int | None = None
    waits: int | None = None


@dataclass(frozen=True)
class Window:
    """Time that a communication leaves free: `seconds` on the wire, of which the share `efficiency` can be used.

    Collectives of one `group` run in one order on all of its ranks, and none runs in a window of its own group.
    """

    seconds: float
    efficiency: float = 1.0
    group: str = ""

    @property
    def room(self) -> float:
        """Seconds of other work that it hides."""
        return self.seconds * self.efficiency


@dataclass(frozen=True)
class Tier:
    """A second memory behind one copy engine, which serves both directions, one move after another as they were begun.

    `out` and `back` are bytes a second; each move takes `latency` seconds more. Other work runs meanwhile, at the share
    `efficiency` of its speed.
    """

    out: float
    back: float
    latency: float = 0.0
    efficiency: float = 1.0

    def leaving(self, size: int) -> float:
        """Seconds until `size` bytes are there."""
        return self.latency + size / self.out

    def coming(self, size: int) -> float:
        """Seconds until `size` bytes are back."""
        return self.latency + size / self.back


@dataclass(frozen=True)
class Graph:
    """A step: `outputs` are the values that leave it, and live to its end. `static` bytes are always there.

    `in_flight` micro-batches of the same graph have run their forward pass when its backward pass begins. Without a
    `tier`, or with several micro-batches, nothing is moved.
    """

    ops: tuple[Op, ...]
    values: tuple[Value, ...]
    outputs: tuple[int, ...] = ()
    windows: tuple[Window, ...] = ()
    static: int = 0
    in_flight: int = 1
    tier: Tier | None = None

    @cached_property
    def storage(self) -> tuple[int, ...]:
        """Of each value, the value that owns its storage."""
        owner: list[int] = []
        for index, value in enumerate(self.values):
            owner.append(index if value.base is None else owner[value.base])
        return tuple(owner)

    @cached_property
    def made(self) -> tuple[int, ...]:
        """Of each op, bytes of new storage."""
        own = [value.size if value.base is None else 0 for value in self.values]
        return tuple(sum(own[value] for value in op.results) for op in self.ops)

    @cached_property
    def states(self) -> tuple[int, ...]:
        """The values that are states from which ops draw again."""
        return tuple(index for index, value in enumerate(self.values) if value.replayed is not None)

    def sizes(self, steps: Iterable["Step"]) -> list[int]:
        """Of each value, its bytes in a schedule of those steps."""
        found = [value.size for value in self.values]
        again = {step.op for step in steps if step.life} if self.states else set[int]()
        for state in self.states:
            if self.values[state].replayed not in again:
                found[state] = 0
        return found

    @cached_property
    def aside(self) -> dict[int, int]:
        """Of each op that draws again from a state, the bytes of the stream's own, which is put aside meanwhile."""
        drawn = (self.values[state] for state in self.states)
        return {value.replayed: value.size for value in drawn if value.replayed is not None}

    def space(self, step: "Step") -> int:
        """Bytes that a step takes while it runs, beside those of storages."""
        return self.ops[step.op].workspace + (self.aside.get(step.op, 0) if step.life else 0)

    @cached_property
    def owns(self) -> tuple[bool, ...]:
        """Of each value, whether an op makes it in storage of its own."""
        return tuple(value.base is None and value.producer != INPUT for value in self.values)

    @cached_property
    def homes(self) -> dict[Storage, Storage]:
        """Of the first life of each view, where it lives if every op runs once; not of views of inputs."""
        views = ((value, home) for value, home in enumerate(self.storage) if value != home and self.owns[home])
        return {(value, 0): (home, 0) for value, home in views}

    @cached_property
    def once(self) -> tuple[tuple["Step", tuple[Storage, ...]], ...]:
        """Each op as a step where every op runs once, and the storages that it reads or makes."""
        found = []
        for index, op in enumerate(self.ops):
            homes = dict.fromkeys(self.storage[value] for value in (*op.reads, *op.results))
            touched = tuple((home, 0) for home in homes if self.owns[home])
            found.append((Step(index, 0, (0,) * len(op.reads)), touched))
        return tuple(found)

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """Of each value, the ops that read it, in order."""
        found: list[list[int]] = [[] for _ in self.values]
        for index, op in enumerate(self.ops):
            for value in dict.fromkeys(op.reads):
                found[value].append(index)
        return tuple(map(tuple, found))


class Step(NamedTuple):
    """One computation of an op: which life it is, and which life of each value it reads (0 for inputs).

    Afterwards the storages of `frees`, (value, life) each, are given back.
    """

    op: int
    life: int = 0
    reads: tuple[int, ...] = ()
    frees: tuple[Storage, ...] = ()


@dataclass(frozen=True, order=True)
class Move:
    """Life `life` of the storage of `value` goes away, and comes back as life `into`.

    All is done before the step of that number: the way out begins before step `leaves`, ahead of all frees, and has
    ended before step `gone`, where the step before frees the storage; the way back takes its memory and begins before
    step `comes` and has ended before step `there`. See `turns` for what is done first before one step.
    """

    leaves: int
    gone: int
    comes: int
    there: int
    value: int
    life: int = 0
    into: int = 1


@dataclass(frozen=True)
class Schedule:
    """The steps in order, and what moves between them."""

    steps: tuple[Step, ...]
    moves: tuple[Move, ...] = ()


class Turn(IntEnum):
    """What a move does before a step."""

    LEAVE = 0
    GONE = 1
    COME = 2
    THERE = 3


def turns(moves: Iterable[Move]) -> dict[int, list[tuple[Turn, Move]]]:
    """Of each step, what moves do before it: all that leave, then all that are gone, and so on.

    Of those that begin together goes first what must have ended first.
    """
    found: dict[int, list[tuple[Turn, int, Move]]] = {}
    for move in moves:
        places = (move.leaves, move.gone, move.comes, move.there)
        for turn, at, ends in zip(Turn, places, (move.gone, 0, move.there, 0), strict=True):
            found.setdefault(at, []).append((turn, ends, move))
    return {at: [(turn, move) for turn, _, move in sorted(acts)] for at, acts in found.items()}
