"""What can be moved to the second tier, and when it goes and comes, so that work hides it and the peak stays low.

    forward   a.0 .. (last reader)   [a on its way out] gone        [b, a on their way back]  there   backward reads a.1

A storage goes as soon as it is complete, in the order in which they are; its memory is given back after its last reader
when it has arrived, or earlier, waiting, where there are more than `room` bytes. It comes back just in time: the engine
serves those that are read last as late as it can, and begins later, not before there is room, where memory is short.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from .recompute_clock import times
from .recompute_graph import Graph, Move, Phase, Step, Storage, Tier
from .recompute_memory import alive, lives_of


def movable(graph: Graph) -> frozenset[int]:
    """Storages of the forward pass that can go away and come back: none without a tier.

    Not those that leave the step, what communication reads and writes, what is bound, and those with views that cannot
    be made again alone.
    """
    if graph.tier is None or graph.in_flight > 1:
        return frozenset()
    owner, values = graph.storage, graph.values
    never = {owner[value] for value in graph.outputs} | {owner[v] for v, value in enumerate(values) if value.bound}
    for op in graph.ops:
        new = {value for value in op.results if values[value].base is None}
        if op.starts is not None or op.waits is not None:
            never |= {owner[value] for value in (*op.reads, *op.results)}
        if op.fixed or any(values[value].size for value in new):
            never |= {owner[value] for value in op.results} - new
    forward = {index for index, op in enumerate(graph.ops) if op.phase is Phase.FORWARD}
    own = (v for v, value in enumerate(values) if value.base is None and value.size and value.producer in forward)
    return frozenset(own) - never


@dataclass
class Span:
    """A storage that moves: complete after step `made`, read up to `last` before it goes, and from `first` on after."""

    value: int
    size: int
    made: int
    last: int
    first: int
    gone: int = 0
    comes: int = 0


def placed_moves(graph: Graph, steps: Sequence[Step], moved: frozenset[int], room: int) -> tuple[Move, ...]:
    """The moves of storages whose life 0 goes and whose life 1 comes back, as far as the backward pass reads them."""
    assert graph.tier is not None
    lives = lives_of(graph, steps)
    spans = spans_of(graph, lives.touches, moved)
    starts = times(graph, steps).starts
    live = np.array(alive(graph, steps, (), lives.last.items()))
    for span in spans:
        live[span.first :] += span.size  # Its frees are counted already, but not yet that it takes memory.
    send(spans, starts, live, graph.tier, room)
    fetch(spans, starts, live, graph.tier, room)
    return tuple(sorted(Move(s.made + 1, s.gone, s.comes, s.first, s.value) for s in spans))


def spans_of(graph: Graph, at: Mapping[Storage, list[int]], moved: frozenset[int]) -> list[Span]:
    """Of each storage that is read before and after it moves, when that is; in the order in which they are complete."""
    found = []
    for value in moved:
        if (value, 1) in at:
            before = at[value, 0]
            found.append(Span(value, graph.values[value].size, before[0], before[-1], at[value, 1][0]))
    return sorted(found, key=lambda span: (span.made, span.value))


def send(spans: Sequence[Span], starts: Sequence[float], live: np.ndarray, tier: Tier, room: int) -> None:
    """Decide when each is gone. What is there beyond its last reader is added to `live`."""
    free = 0.0
    for span in spans:
        free = max(free, starts[span.made + 1]) + tier.leaving(span.size)
        span.gone = min(max(span.last + 1, bisect_left(starts, free)), span.first)
        live[span.last + 1 : span.gone] += span.size
    for at in np.flatnonzero(live > room):
        for span in spans:
            if live[at] <= room:
                break
            if span.last < at < span.gone:
                live[at : span.gone] -= span.size
                span.gone = int(at)


def fetch(spans: Sequence[Span], starts: Sequence[float], live: np.ndarray, tier: Tier, room: int) -> None:
    """Decide when each comes back. What is there before its first reader is added to `live`."""
    needed = sorted(spans, key=lambda span: (span.first, span.value))
    latest, earliest = inf, 0
    for span in reversed(needed):
        latest = min(latest, starts[span.first]) - tier.coming(span.size)
        span.comes = max(span.gone, bisect_right(starts, latest) - 1)
    for span in needed:
        comes = max(span.comes, earliest)
        over = np.flatnonzero(live[comes : span.first] + span.size > room)
        span.comes = earliest = comes + (int(over[-1]) + 1 if over.size else 0)
        live[span.comes : span.first] += span.size
