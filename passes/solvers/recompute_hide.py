"""Move what runs again on the critical path into windows that open before it: local moves, judged by the exact peak.

    start   ..   wait   mul.1   mm.1   dx = f(mm.1)        ->        start   ..   mul.1   mm.1   wait   dx = f(mm.1)

A recomputation goes to the last window that has room for it, so that its bytes are there early by as little as can be,
and what it reads to that one or before. Collectives stay, and what reads them stays behind them. Where a schedule takes
too much memory, less is let in at its peak and all moves are made anew.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .recompute_graph import Phase
from .recompute_trial import Trial, Trials

ROUNDS = 12
"""How often moves are corrected by the exact peak."""


@dataclass(frozen=True)
class Host:
    """A window of the backward pass, the step that closes it, and the seconds that are free in it."""

    window: int
    at: int
    room: float


class Late:
    """What a schedule runs again on the critical path, and the windows before it."""

    def __init__(self, trial: Trial):
        self.trial, self.graph, self.steps = trial, trial.graph, trial.steps
        self.exposed = {at: late for at, late in enumerate(trial.times.late) if late and self.steps[at].life}
        self.hosts: list[Host] = []
        for at, step in reversed(list(enumerate(self.steps))):
            op = self.graph.ops[step.op]
            if op.waits is not None and op.phase is Phase.BACKWARD and not step.life:
                self.hosts.append(Host(op.waits, at, trial.times.left[op.waits]))

    @cached_property
    def sources(self) -> list[tuple[int, ...]]:
        """Of each step, those that run again for what it reads."""
        made, found = dict[tuple[int, int], int](), list[tuple[int, ...]]()
        for at, step in enumerate(self.steps):
            op = self.graph.ops[step.op]
            reads = zip(op.reads, step.reads, strict=True)
            found.append(tuple({made[read] for read in reads if read in made}))
            if step.life:
                made |= {(value, step.life): at for value in op.results}
        return found

    def stays(self, at: int) -> bool:
        """Whether a step cannot move: it runs once, has its place, communicates, or is not the first time again."""
        step, op = self.steps[at], self.graph.ops[self.steps[at].op]
        return step.life != 1 or step.op in self.trial.choice.placed or op.starts is not None or op.waits is not None

    @cached_property
    def firm(self) -> list[int]:
        """Of each step, the last that stays among those that run again for it."""
        found: list[int] = []
        for reads in self.sources:
            found.append(max((at if self.stays(at) else found[at] for at in reads), default=-1))
        return found

    def moves(self, live: np.ndarray, budget: int) -> dict[int, int]:
        """A window for each op that can run earlier and fits beside the bytes alive at each step."""
        room, live = {host.window: host.room for host in self.hosts}, live.copy()
        until, found = list(range(len(self.steps))), dict[int, int]()
        for at in range(len(self.steps) - 1, -1, -1):
            time, size = self.exposed.get(at, 0.0), self.size(at)
            if self.stays(at) or not (time or until[at] < at):
                continue
            fits = [o for o in self.hosts if self.firm[at] < o.at < until[at] and (room[o.window] > 0 or not time)]
            fits = [o for o in fits if live[o.at : at].max() + size <= budget]
            if not fits:
                continue
            host = next((o for o in fits if room[o.window] >= time), fits[0])
            room[host.window] -= time
            live[host.at : at] += size
            found[self.steps[at].op] = host.window
            for source in self.sources[at]:
                until[source] = min(until[source], host.at + 1)
        return found

    def size(self, at: int) -> int:
        """Bytes of new storage that a step makes."""
        return sum(self.graph.values[value].size for value in self.graph.ops[self.steps[at].op].results)


def hide(trials: Trials, trial: Trial, budget: int) -> Trial:
    """A trial that exposes less within the budget; `trial` itself where there is none."""
    late = Late(trial)
    live, places = np.array(trial.live), {step.op: at for at, step in enumerate(late.steps) if not step.life}
    for turn in range(ROUNDS if late.hosts and late.exposed else 0):
        moves = late.moves(live, budget)
        more = trials.of(replace(trial.choice, placed={**trial.choice.placed, **moves}))
        if more.peak <= budget:
            return min(trial, more, key=lambda one: (one.exposed, one.peak))
        above = more.steps[int(np.argmax(more.live)) :]
        at = next((places[step.op] for step in above if not step.life), len(live) - 1)
        live[at] += (more.peak - budget) << turn
    return trial
