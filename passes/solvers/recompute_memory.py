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

from collections.abc import Sequence
from typing import TypeAlias

from .recompute_graph import INPUT, Graph, Move, Phase, Schedule, Step

Storage: TypeAlias = tuple[int, int]
"""The value that owns it, and the life of that value."""


def keep_all(graph: Graph) -> Schedule:
    """Every op once, in order: nothing is recomputed."""
    return with_frees(graph, [Step(index, 0, (0,) * len(op.reads)) for index, op in enumerate(graph.ops)])


def with_frees(graph: Graph, steps: Sequence[Step], moves: Sequence[Move] = ()) -> Schedule:
    """The same steps, each of which gives back the storages that nothing reads any more, and those that are gone."""
    last: dict[Storage, int] = {}
    homes: dict[Storage, Storage | None] = {}
    for position in in_order_of_a_batch(graph, steps):
        for storage in touched(graph, steps[position], homes):
            last[storage] = position
    for move in moves:
        last[move.value, move.life] = move.gone - 1
    for output in graph.outputs:
        last.pop(homes.get((output, 0)) or (INPUT, 0), None)
    frees: list[list[Storage]] = [[] for _ in steps]
    for storage, position in last.items():
        frees[position].append(storage)
    pairs = ((step, tuple(sorted(given))) for step, given in zip(steps, frees, strict=True))
    freed = (step if step.frees == given else Step(step.op, step.life, step.reads, given) for step, given in pairs)
    return Schedule(tuple(freed), tuple(moves))


def touched(graph: Graph, step: Step, homes: dict[Storage, Storage | None]) -> list[Storage]:
    """The storages that a step reads or makes; `homes`, of each value and life, learns where its results live.

    A life that no step made came back from elsewhere, into a storage of its own.
    """
    op, values, own = graph.ops[step.op], graph.values, step.life
    for value, life in zip(op.reads, step.reads, strict=True) if graph.tier else ():
        if life and values[value].base is None:
            homes.setdefault((value, life), (value, life))
    found = [home for read in zip(op.reads, step.reads, strict=True) if (home := homes.get(read))]
    for value in op.results:
        base = values[value].base
        if base is None:
            home = (value, own)
        else:
            home = homes.get((base, step.reads[op.reads.index(base)] if base in op.reads else own))
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
    steps, sizes = schedule.steps, graph.sizes(schedule.steps)
    spared = {v.producer: v.size for v, size in zip(graph.values, sizes, strict=True) if size < v.size}
    gained = [graph.made[step.op] - spared.get(step.op, 0) for step in steps]
    lost = [sum([sizes[value] for value, _ in step.frees]) if step.frees else 0 for step in steps]
    for move in schedule.moves:
        gained[move.comes] += sizes[move.value]
    stash, part = 0, 0
    if graph.in_flight > 1:
        part = forward_part(graph, steps)
        stash = sum(gained[at] - lost[at] for at in range(part) if not steps[at].life)
    now, found = graph.static + (graph.in_flight - 1) * stash, []
    for at, step in enumerate(steps):
        now += gained[at]
        found.append(now + graph.ops[step.op].workspace)
        now -= lost[at]
    return found


def peak(graph: Graph, schedule: Schedule) -> int:
    """The most bytes alive at any step."""
    return max(live_bytes(graph, schedule), default=graph.static)


def touches(graph: Graph, schedule: Schedule) -> dict[Storage, list[int]]:
    """Of each life of a storage, the positions of the steps that make or read it, as a micro-batch meets them."""
    homes: dict[Storage, Storage | None] = {}
    found: dict[Storage, list[int]] = {}
    for position in in_order_of_a_batch(graph, schedule.steps):
        for storage in dict.fromkeys(touched(graph, schedule.steps[position], homes)):
            found.setdefault(storage, []).append(position)
    return found
