"""Bytes that are alive at every step of a schedule, and the frees that keep them few.

    steps     a.0            b.0 = g(a.0)     c.0 = h(b.0)            steps with frees   ..  c.0, free b.0
    live      |a|            |a| + |b|        |b| + |c|               peak               the most of any step

A storage lives from the step that computes it until after the last one that reads it or a view of it; outputs live
to the end. Inputs are counted in `static`, whatever their sizes. Workspace counts during its step. What moves away is
there until it is gone, and what comes back from the moment in which it begins to.

Where `in_flight` = d + 1 > 1 micro-batches are under way, a schedule is one round: the forward pass of the youngest,
then the backward pass of the oldest. Recomputations that stand in the forward pass, in its windows, are the oldest's.
The d micro-batches between each hold what is alive when a forward pass ends, their stash.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .recompute_graph import INPUT, Graph, Move, Phase, Schedule, Step, Storage


def keep_all(graph: Graph) -> Schedule:
    """Every op once, in order: nothing is recomputed."""
    return with_frees(graph, [step for step, _ in graph.once])


@dataclass(frozen=True)
class Lives:
    """Of each life of a storage, the positions of the steps that make or read it, as a micro-batch meets them.

    `last` is where those end that do not leave the step.
    """

    touches: dict[Storage, list[int]]
    last: dict[Storage, int]


def lives_of(graph: Graph, steps: Sequence[Step], moves: Sequence[Move] = ()) -> Lives:
    """The lives of all storages."""
    touches: dict[Storage, list[int]] = {}
    homes = dict(graph.homes)
    for position, storages in visits(graph, steps, homes):
        for storage in storages:
            positions = touches.get(storage)
            if positions is None:
                touches[storage] = [position]
            elif positions[-1] != position:
                positions.append(position)
    last = {storage: positions[-1] for storage, positions in touches.items()}
    for move in moves:
        last[move.value, move.life] = move.gone - 1
    for output in graph.outputs:
        last.pop((output, 0) if graph.owns[output] else homes.get((output, 0), (INPUT, 0)), None)
    return Lives(touches, last)


def with_frees(graph: Graph, steps: Sequence[Step], moves: Sequence[Move] = ()) -> Schedule:
    """The same steps, each of which gives back the storages that nothing reads any more, and those that are gone."""
    return freed(steps, moves, lives_of(graph, steps, moves).last)


def freed(steps: Sequence[Step], moves: Sequence[Move], last: Mapping[Storage, int]) -> Schedule:
    """The same steps, which give storages back where they end."""
    frees: dict[int, list[Storage]] = {}
    for storage, position in last.items():
        frees.setdefault(position, []).append(storage)
    found = [step._replace(frees=()) if step.frees else step for step in steps]
    for position, storages in frees.items():
        step = steps[position]
        found[position] = Step(step.op, step.life, step.reads, tuple(sorted(storages)))
    return Schedule(tuple(found), tuple(moves))


def visits(
    graph: Graph, steps: Sequence[Step], homes: dict[Storage, Storage]
) -> Iterator[tuple[int, Sequence[Storage]]]:
    """The positions of the steps as one micro-batch meets them, and the storages that each reads or makes.

    `homes`, of lives of views, begin as those of a graph where every op runs once, and learn the others.
    """
    once, known = True, graph.once
    for position in in_order_of_a_batch(graph, steps):
        step = steps[position]
        once = once and not step.life and not any(step.reads)
        yield position, known[step.op][1] if once else touched(graph, step, homes)


def touched(graph: Graph, step: Step, homes: dict[Storage, Storage]) -> list[Storage]:
    """The storages that a step reads or makes; `homes` learns where the views that it makes live."""
    op, owns, own = graph.ops[step.op], graph.owns, step.life
    reads = zip(op.reads, step.reads, strict=True)
    found = [home for read in reads if (home := read if owns[read[0]] else homes.get(read))]
    for value in op.results:
        home: Storage | None = (value, own)
        if not owns[value]:
            base = graph.values[value].base or 0
            made = base, step.reads[op.reads.index(base)] if base in op.reads else own
            home = made if owns[base] else homes.get(made)
            if home:
                homes[value, own] = home
        if home:
            found.append(home)
    return found


def forward_part(graph: Graph, steps: Sequence[Step]) -> int:
    """How many steps stand before the first one of the backward pass."""
    ops = graph.ops
    return next((at for at, step in enumerate(steps) if ops[step.op].phase is Phase.BACKWARD), len(steps))


def in_order_of_a_batch(graph: Graph, steps: Sequence[Step]) -> Sequence[int]:
    """The positions of the steps as one micro-batch meets them: its own forward pass first, then one round later."""
    if graph.in_flight == 1:
        return range(len(steps))
    part = forward_part(graph, steps)
    youngest = [at for at in range(part) if not steps[at].life]
    return youngest + [at for at in range(part) if steps[at].life] + list(range(part, len(steps)))


def live_bytes(graph: Graph, schedule: Schedule) -> list[int]:
    """Bytes alive during each step, static ones and those of the other micro-batches among them."""
    frees = ((storage, at) for at, step in enumerate(schedule.steps) for storage in step.frees)
    return alive(graph, schedule.steps, schedule.moves, frees)


def alive(graph: Graph, steps: Sequence[Step], moves: Sequence[Move], ends: Iterable[tuple[Storage, int]]) -> list[int]:
    """The same for steps without frees: `ends` are storages, and the steps after which they are given back."""
    ops, sizes = [step.op for step in steps], graph.sizes(steps)
    made = np.array(graph.made, np.int64)
    for value in graph.states:
        made[graph.values[value].producer] -= graph.values[value].size - sizes[value]
    gained, lost = made[ops], np.zeros(len(steps), np.int64)
    for (value, _), at in ends:
        lost[at] += sizes[value]
    for move in moves:
        gained[move.comes] += sizes[move.value]
    now, stash = gained - lost, 0
    if graph.in_flight > 1:
        own = [at for at in range(forward_part(graph, steps)) if not steps[at].life]
        stash = int(now[own].sum())
    space = np.array([graph.space(step) for step in steps], np.int64)
    return (graph.static + (graph.in_flight - 1) * stash + now.cumsum() + lost + space).tolist()


def peak(graph: Graph, schedule: Schedule) -> int:
    """The most bytes alive at any step."""
    return max(live_bytes(graph, schedule), default=graph.static)
