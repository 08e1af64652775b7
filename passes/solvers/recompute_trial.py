"""A choice with what it costs: its schedule, the bytes alive at each step, and seconds run again, exposed or hidden.

Work between a start and its wait is hidden by the window that opened first as far as it has room, then by the next.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from .recompute_graph import Graph, Schedule, Step
from .recompute_memory import keep_all, live_bytes, with_frees
from .recompute_schedule import Choice, Ground, Walk


@dataclass(frozen=True)
class Trial:
    """A schedule that was written, and may or may not meet a budget."""

    graph: Graph
    choice: Choice
    schedule: Schedule
    base: float

    @cached_property
    def live(self) -> list[int]:
        return live_bytes(self.graph, self.schedule)

    @cached_property
    def peak(self) -> int:
        return max(self.live, default=self.graph.static)

    @cached_property
    def exposed(self) -> float:
        """Seconds that the schedule takes longer than one that keeps all."""
        return max(0.0, elapsed(self.graph, self.schedule.steps) - self.base)

    @cached_property
    def recomputed(self) -> float:
        """Seconds of all recomputations, hidden or not."""
        ops, windows = self.graph.ops, self.graph.windows
        again = [ops[step.op] for step in self.schedule.steps if step.life]
        return sum(op.time + (0.0 if op.starts is None else windows[op.starts].seconds) for op in again)

    @property
    def hidden(self) -> float:
        """Seconds of recomputation that windows hide."""
        return max(0.0, self.recomputed - self.exposed)


class Trials:
    """Writes schedules of one graph, each choice once."""

    def __init__(self, graph: Graph):
        self.graph, self.base, self.ground = graph, elapsed(graph, keep_all(graph).steps), Ground(graph)
        self.found: dict[tuple, Trial] = {}

    def of(self, choice: Choice) -> Trial:
        key = (choice.kept, tuple(sorted(choice.placed.items())), choice.renewed)
        if key not in self.found:
            schedule = with_frees(self.graph, Walk(self.ground, choice).steps())
            self.found[key] = Trial(self.graph, choice, schedule, self.base)
        return self.found[key]

    def best(self, budget: int) -> Trial | None:
        """The fastest one so far that meets a budget."""
        fit = [trial for trial in self.found.values() if trial.peak <= budget]
        return min(fit, key=lambda trial: (trial.exposed, trial.recomputed, trial.peak), default=None)


def elapsed(graph: Graph, steps: Iterable[Step]) -> float:
    """Seconds that the steps take, communications among them."""
    seconds, ops = 0.0, graph.ops
    open_windows: list[list[float]] = []
    for step in steps:
        op = ops[step.op]
        if op.waits is not None:
            open_windows = [window for window in open_windows if window[0] != op.waits]
        work = op.time
        for window in open_windows:
            used = min(work, window[1])
            window[1] -= used
            work -= used
        seconds += work
        if op.starts is not None:
            seconds += graph.windows[op.starts].seconds
            open_windows.append([op.starts, graph.windows[op.starts].room])
    return seconds
