"""What a schedule costs a pipeline stage: seconds of its parts, bytes that it keeps, and what can be rebuilt early.

    forward   a.0  b.0  c.0  |  backward   dc.0  b.1  db.0  a.1  da.0   ->   rebuilt early   b.1 a.1 | dc.0 db.0 da.0

Nothing recomputed reads a gradient. So any first part of what is recomputed can run before the gradient arrives, in a
stall or in the windows of another micro-batch's forward pass, as far as there is memory to hold it until it is read.
Gradients of weights that nobody reads can wait: a backward pass that is split leaves them to its end.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .recompute_clock import elapsed
from .recompute_graph import INPUT, Graph, Phase, Schedule, Step
from .recompute_memory import live_bytes, with_frees

POINTS = 12
"""So many first parts of what is recomputed are looked at."""


def sequenced(graph: Graph, order: Iterable[int]) -> Schedule:
    """Ops in an order, anew each time they come again. Each reads the latest life; what nobody reads more is freed."""
    life = [-1] * len(graph.ops)
    steps: list[Step] = []
    for index in order:
        op = graph.ops[index]
        life[index] += 1
        producers = (graph.values[value].producer for value in op.reads)
        steps.append(Step(index, life[index], tuple(0 if made == INPUT else life[made] for made in producers)))
    return with_frees(replace(graph, in_flight=1), steps)


def batch_bytes(graph: Graph, schedule: Schedule) -> tuple[list[int], list[int]]:
    """Of one micro-batch: bytes alive during each step, and after it."""
    during = live_bytes(replace(graph, in_flight=1, static=0), schedule)
    sizes = graph.sizes(schedule.steps)
    freed = [sum(sizes[value] for value, _ in step.frees) for step in schedule.steps]
    space = [graph.space(step) for step in schedule.steps]
    return during, [most - gone - own for most, gone, own in zip(during, freed, space, strict=True)]


@dataclass(frozen=True)
class Early:
    """A first part of what is recomputed, run early: `seconds` of it, `backward` seconds are left to the backward pass.

    `held` bytes are there between; `peak` is the most of the micro-batch in its backward pass, what it kept included.
    """

    seconds: float
    backward: float
    held: int
    peak: int


@dataclass(frozen=True)
class StageCost:
    """A micro-batch in a stage: seconds; bytes that it keeps; the most bytes of each part, what it kept included.

    `early[0]` rebuilds nothing early, and `early[hosted]` what windows of the forward pass of another micro-batch hide,
    which then lasts for `hosting` seconds more. Where the backward pass is split, `weights` seconds of it may wait, for
    which `deferred` bytes are held.
    """

    forward: float
    recompute: float
    kept: int
    forward_peak: int
    early: tuple[Early, ...]
    hosted: int = 0
    hosting: float = 0.0
    weights: float = 0.0
    deferred: int = 0
    weights_peak: int = 0

    @property
    def backward(self) -> float:
        """Seconds of the backward pass with nothing rebuilt before."""
        return self.early[0].backward


@dataclass(frozen=True)
class Parts:
    """The ops of a schedule in order: the forward pass, what is recomputed and gradients, and what can wait.

    The first `guests` clones stand in windows of the forward pass, which they make `hosting` seconds longer.
    """

    forward: list[int]
    backward: list[tuple[int, bool]]
    weights: list[int]
    guests: int = 0
    hosting: float = 0.0

    @property
    def clones(self) -> list[int]:
        """What is recomputed, in order."""
        return [op for op, again in self.backward if again]

    def order(self, early: int) -> list[int]:
        """Ops from the end of the forward pass on, the first `early` clones before all others."""
        left, rest = early, []
        for op, again in self.backward:
            left -= again
            if not again or left < 0:
                rest.append(op)
        return [*self.clones[:early], *rest, *self.weights]


def parts(graph: Graph, schedule: Schedule, *, split: bool = False) -> Parts:
    """A schedule cut at the end of its forward pass; clones that run before are those of another micro-batch."""
    steps = schedule.steps
    own = [at for at, s in enumerate(steps) if graph.ops[s.op].phase is Phase.FORWARD and not s.life]
    end = own[-1] + 1 if own else 0
    forward, guests = ([s for s in steps[:end] if (s.life > 0) is again] for again in (False, True))
    late = deferrable(graph) if split else frozenset()
    rest = [*guests, *steps[end:]]
    return Parts(
        [s.op for s in forward],
        [(s.op, s.life > 0) for s in rest if s.op not in late],
        [s.op for s in rest if s.op in late],
        len(guests),
        max(0.0, elapsed(graph, steps[:end]) - elapsed(graph, forward)),
    )


def deferrable(graph: Graph) -> frozenset[int]:
    """Backward ops whose results no other op reads, and that belong to no window: gradients of weights."""
    return frozenset(
        index
        for index, op in enumerate(graph.ops)
        if op.phase is Phase.BACKWARD
        and op.starts is None
        and op.waits is None
        and op.fixed.startswith("adds")
        and not any(graph.readers[value] for value in op.results)
    )


def stage_cost(graph: Graph, schedule: Schedule, *, split: bool = False, points: int = POINTS) -> StageCost:
    """What a schedule costs a stage. Where it says nothing of windows of the forward pass, they are filled in order.

    `points` first parts of what is recomputed are looked at, beside the one that forward windows hide; 0: none early.
    """
    cut = parts(graph, schedule, split=split)
    clones, first = cut.clones, len(cut.forward)
    guests = (cut.guests or fitting(graph, cut)) if points else 0
    counts = sorted({round(len(clones) * i / max(points, 1)) for i in range(points + 1)} | {guests, len(clones)})
    found = [early(graph, cut, count) for count in counts]
    plain = sequenced(graph, cut.forward + cut.order(0))
    during, after = batch_bytes(graph, plain)
    late = len(during) - len(cut.weights)
    bare = [Step(op) for op, again in cut.backward if not again]
    return StageCost(
        forward=elapsed(graph, plain.steps[:first]),
        recompute=found[0].backward - elapsed(graph, bare),
        kept=after[first - 1] if first else 0,
        forward_peak=max(during[:first], default=0),
        early=tuple(found),
        hosted=counts.index(guests),
        hosting=cut.hosting,
        weights=elapsed(graph, plain.steps[late:]),
        deferred=after[late - 1] if cut.weights else 0,
        weights_peak=max(during[late:], default=0),
    )


def early(graph: Graph, cut: Parts, count: int) -> Early:
    """The first `count` clones run early."""
    schedule = sequenced(graph, cut.forward + cut.order(count))
    first, late = len(cut.forward), len(schedule.steps) - len(cut.weights)
    during, after = batch_bytes(graph, schedule)
    rebuilt = schedule.steps[first : first + count]
    kept = after[first - 1] if first else 0
    held = (after[first + count - 1] - kept) if count else 0
    most = max(during[first:late], default=kept)
    return Early(elapsed(graph, rebuilt), elapsed(graph, schedule.steps[first + count : late]), held, most)


def fitting(graph: Graph, cut: Parts) -> int:
    """How many clones, the first ones, fit into the windows of a forward pass, in order."""
    rooms = [graph.windows[op.waits].room for op in map(graph.ops.__getitem__, cut.forward) if op.waits is not None]
    count, used = 0, 0.0
    for index in cut.clones:
        op = graph.ops[index]
        if op.starts is not None or op.waits is not None:
            return count
        while rooms and used + op.time > rooms[0]:
            rooms.pop(0)
            used = 0.0
        if not rooms:
            return count
        used += op.time
        count += 1
    return count
