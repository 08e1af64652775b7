"""How long a schedule takes, for the checker: shares no code with what makes schedules.

Work that runs while a communication is in the air is hidden by the one that began first as long as it has room, then
by the next. A step lasts for all of its work, less what is hidden, and the seconds of its communications. One engine
moves storages in the order in which that is asked for; of the seconds that it is busy, work has the tier's share.
"""

from collections.abc import Iterable

from .recompute_graph import Graph, Move, Step, Turn, turns


def elapsed(graph: Graph, steps: Iterable[Step], moves: Iterable[Move] = ()) -> float:
    """How long the steps take."""
    total, room, acts, engine = 0.0, dict[int, float](), turns(moves), Queue(graph)
    for at, step in enumerate(steps):
        for turn, move in acts.get(at, ()):
            if turn in (Turn.LEAVE, Turn.COME):
                engine.put(move, turn is Turn.LEAVE, total)
            else:
                total = max(total, engine.ends[move, turn is Turn.GONE])
        op = graph.ops[step.op]
        if op.waits is not None:
            room.pop(op.waits, None)
        left = op.time
        for window in room:
            hidden = min(left, room[window])
            room[window], left = room[window] - hidden, left - hidden
        total += left + engine.slows(left, total)
        if op.starts is not None:
            room[op.starts] = graph.windows[op.starts].room
            total += graph.windows[op.starts].seconds
    return total


class Queue:
    """Moves that wait for their turn, and when each ends."""

    def __init__(self, graph: Graph):
        self.graph, self.ends, self.last = graph, dict[tuple[Move, bool], float](), 0.0

    def put(self, move: Move, out: bool, now: float) -> None:
        tier = self.graph.tier
        assert tier is not None
        rate = tier.out if out else tier.back
        self.last = max(now, self.last) + (tier.latency + self.graph.values[move.value].size / rate)
        self.ends[move, out] = self.last

    def slows(self, work: float, now: float) -> float:
        """How much longer work takes that begins now, because the engine is busy."""
        tier, busy = self.graph.tier, self.last - now
        if tier is None or busy <= 0.0 or not work:
            return 0.0
        if work < busy * tier.efficiency:
            return work / tier.efficiency - work
        return busy - busy * tier.efficiency
