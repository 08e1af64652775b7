"""What the windows of a training step hide: time that its collectives are on the wire.

    window  collective             bytes    ms  of use  other work  computed again  left
    4       comm.all_reduce "0"  262,144  20.0    0.95       8.120          10.300  0.580

Other work is what would run anyway. More than a window has room for is exposed.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import chain

from ..dialects.comm import Start
from ..passes.analysis.storages import tensor_bytes
from ..passes.analysis.training_graph import TrainingGraph
from ..passes.rematerialization import in_the_air


@dataclass(frozen=True)
class OnTheWire:
    """One collective: bytes, seconds on the wire, the share of them of use, and seconds of work begun meanwhile."""

    name: str
    group: str
    bytes: int | None
    seconds: float
    efficiency: float
    other: float
    again: float

    @property
    def left(self) -> float:
        """Seconds in which nothing runs that could."""
        return max(0.0, self.seconds * self.efficiency - self.other - self.again)

    def row(self, number: int) -> tuple[str, ...]:
        """For the table."""
        size = "?" if self.bytes is None else f"{self.bytes:,}"
        times = (f"{seconds * 1e3:.3f}" for seconds in (self.other, self.again, self.left))
        return (
            str(number),
            f'{self.name} "{self.group}"',
            size,
            f"{self.seconds * 1e3:.3f}",
            f"{self.efficiency:.2f}",
            *times,
        )


HEADER = ("window", "collective", "bytes", "ms", "of use", "other work", "computed again", "left")


def on_the_wire(training: TrainingGraph) -> list[OnTheWire]:
    """Every collective, in order. Work counts for the window that opened first."""
    graph, schedule = training.graph, training.schedule
    other, again = defaultdict[int, float](float), defaultdict[int, float](float)
    for step, air in zip(schedule.steps, in_the_air(graph, schedule), strict=True):
        first = next((window for window, life in air if not life), None)
        if first is not None:
            (again if step.life else other)[first] += graph.ops[step.op].time
    starts = [op for op in training.ops if isinstance(op, Start)]
    return [
        OnTheWire(
            start.name, window.group, tensor_bytes(start.value), window.seconds, window.efficiency, other[n], again[n]
        )
        for n, (start, window) in enumerate(zip(starts, graph.windows, strict=True))
    ]


def hidden(training: TrainingGraph) -> list[float]:
    """Of each step, the seconds that run behind collectives. What is computed again has the room that is left."""
    graph, steps = training.graph, training.schedule.steps
    air = list(in_the_air(graph, training.schedule))
    found, room = [0.0] * len(steps), {opened: graph.windows[opened[0]].room for opened in chain.from_iterable(air)}
    for at in sorted(range(len(steps)), key=lambda at: steps[at].life > 0):
        left = graph.ops[steps[at].op].time
        for opened in air[at]:
            behind = min(left, room[opened])
            found[at], left, room[opened] = found[at] + behind, left - behind, room[opened] - behind
    return found
