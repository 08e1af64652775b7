"""When each step of a schedule begins: work, communications, and what moves to another tier and back.

    steps     a 2 ms          b 3 ms            c 1 ms              a storage of 4 ms leaves after a, is back before c
    engine           |---- out ----|-- back --|                     c waits for what is left of its way

Work between a start and its wait is hidden by the window that opened first as far as it has room, then by the next.
While the copy engine is busy, work runs at the `efficiency` of the tier.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from .recompute_graph import Graph, Move, Step, Tier, Turn, turns


@dataclass
class Times:
    """When each step begins, after what it waits for; when the last has ended, and how long moves are waited for.

    `late` are the seconds of each step that no window hides, `left` those of each window that hide nothing.
    """

    starts: list[float] = field(default_factory=list)
    end: float = 0.0
    waits: dict[Move, float] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    left: dict[int, float] = field(default_factory=dict)


@dataclass
class Engine:
    """Takes moves one after another; `free` from when on."""

    graph: Graph
    free: float = 0.0
    done: dict[tuple[Turn, Move], float] = field(default_factory=dict)

    @property
    def tier(self) -> Tier:
        assert self.graph.tier is not None
        return self.graph.tier

    def act(self, turn: Turn, move: Move, now: float) -> float:
        """What a move does, asked for at `now`; the time when the step goes on."""
        size = self.graph.values[move.value].size
        match turn:
            case Turn.LEAVE | Turn.COME:
                seconds = self.tier.leaving(size) if turn is Turn.LEAVE else self.tier.coming(size)
                self.free = self.done[turn, move] = max(self.free, now) + seconds
                return now
            case Turn.GONE:
                return max(now, self.done[Turn.LEAVE, move])
            case Turn.THERE:
                return max(now, self.done[Turn.COME, move])

    def work(self, seconds: float, now: float) -> float:
        """When work has ended that begins now."""
        busy = self.free - now
        if busy <= 0.0 or not seconds:
            return now + seconds
        meanwhile = busy * self.tier.efficiency
        return now + seconds / self.tier.efficiency if seconds < meanwhile else self.free + seconds - meanwhile


def times(graph: Graph, steps: Iterable[Step], moves: Iterable[Move] = ()) -> Times:
    """When the steps run."""
    found, engine, acts, ops = Times(), Engine(graph), turns(moves), graph.ops
    now, room = 0.0, dict[int, float]()
    for at, step in enumerate(steps):
        for turn, move in acts.get(at, ()):
            went = engine.act(turn, move, now)
            found.waits[move] = found.waits.get(move, 0.0) + went - now
            now = went
        found.starts.append(now)
        op = ops[step.op]
        if op.waits is not None:
            found.left[op.waits] = room.pop(op.waits, 0.0)
        work = op.time
        for window in room:
            used = min(work, room[window])
            room[window], work = room[window] - used, work - used
        found.late.append(work)
        now = engine.work(work, now)
        if op.starts is not None:
            now += graph.windows[op.starts].seconds
            room[op.starts] = graph.windows[op.starts].room
    found.end, found.left = now, found.left | room
    return found


def elapsed(graph: Graph, steps: Iterable[Step], moves: Iterable[Move] = ()) -> float:
    """Seconds that the steps take, communications among them."""
    return times(graph, steps, moves).end
