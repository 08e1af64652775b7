"""A choice with what it costs: its schedule, the bytes alive at each step, and seconds run again, exposed or hidden."""

from dataclasses import dataclass
from functools import cached_property

from .recompute_clock import Times, elapsed, times
from .recompute_graph import Graph, Move, Schedule, Step
from .recompute_memory import Lives, alive, freed, lives_of
from .recompute_schedule import Choice, Ground, written


@dataclass(frozen=True)
class Trial:
    """Steps and moves that were written, and may or may not meet a budget; as a `schedule`, storages are given back."""

    graph: Graph
    choice: Choice
    steps: list[Step]
    moves: tuple[Move, ...]
    base: float

    @cached_property
    def lives(self) -> Lives:
        return lives_of(self.graph, self.steps, self.moves)

    @cached_property
    def schedule(self) -> Schedule:
        return freed(self.steps, self.moves, self.lives.last)

    @cached_property
    def live(self) -> list[int]:
        return alive(self.graph, self.steps, self.moves, self.lives.last.items())

    @cached_property
    def peak(self) -> int:
        return max(self.live, default=self.graph.static)

    @cached_property
    def times(self) -> Times:
        return times(self.graph, self.steps, self.moves)

    @cached_property
    def exposed(self) -> float:
        """Seconds that the schedule takes longer than one that keeps all."""
        return max(0.0, self.times.end - self.base)

    @cached_property
    def recomputed(self) -> float:
        """Seconds of all recomputations, hidden or not."""
        ops, windows = self.graph.ops, self.graph.windows
        again = [ops[step.op] for step in self.steps if step.life]
        return sum(op.time + (0.0 if op.starts is None else windows[op.starts].seconds) for op in again)

    @cached_property
    def moving(self) -> float:
        """Seconds for which the copy engine is busy."""
        tier, sizes = self.graph.tier, [self.graph.values[move.value].size for move in self.moves]
        return sum(tier.leaving(size) + tier.coming(size) for size in sizes) if tier else 0.0

    @property
    def hidden(self) -> float:
        """Seconds of recomputation that windows hide, and of moves that run beside work."""
        return max(0.0, self.recomputed + self.moving - self.exposed)


class Trials:
    """Writes schedules of one graph, each choice once."""

    def __init__(self, graph: Graph):
        self.graph, self.base, self.ground = graph, elapsed(graph, (step for step, _ in graph.once)), Ground(graph)
        self.found: dict[tuple, Trial] = {}

    def of(self, choice: Choice) -> Trial:
        key = (choice.kept, tuple(sorted(choice.placed.items())), choice.renewed, choice.moved, choice.room)
        if key not in self.found:
            self.found[key] = Trial(self.graph, choice, *written(self.ground, choice), self.base)
        return self.found[key]

    def best(self, budget: int) -> Trial | None:
        """The fastest one so far that meets a budget."""
        fit = [trial for trial in self.found.values() if trial.peak <= budget]
        return min(fit, key=lambda trial: (trial.exposed, trial.recomputed + trial.moving, trial.peak), default=None)
