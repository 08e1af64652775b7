"""What the windows of a training step hide: time that its collectives are on the wire.

    window  collective             bytes    ms  of use  other work  computed again  left
    4       comm.all_reduce "0"  262,144  20.0    0.95       8.120          10.300  0.580

Other work is what would run anyway. More than a window has room for is exposed.
"""

from collections import defaultdict
from dataclasses import dataclass

from ..dialects.comm import Start
from ..passes.analysis.storages import tensor_bytes
from ..passes.analysis.training_graph import TrainingGraph


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
    graph, air = training.graph, list[int]()
    other, again = defaultdict[int, float](float), defaultdict[int, float](float)
    for step in training.schedule.steps:
        op = graph.ops[step.op]
        if op.waits in air:
            air.remove(op.waits)
        if air:
            (again if step.life else other)[air[0]] += op.time
        if op.starts is not None and not step.life:
            air.append(op.starts)
    starts = [op for op in training.ops if isinstance(op, Start)]
    return [
        OnTheWire(
            start.name, window.group, tensor_bytes(start.value), window.seconds, window.efficiency, other[n], again[n]
        )
        for n, (start, window) in enumerate(zip(starts, graph.windows, strict=True))
    ]
