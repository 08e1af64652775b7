"""What can run again, and what that needs: the forward pass without views, for solvers.

    t = start(a)   r = wait(t)   v = view(r)   c = f(v)   dc = f'(v, ..)        units   {start, wait}: reads a, makes r
                                                                                        {f}: reads r, makes c
                                                                                uses    r: by f'

A unit is an op of the forward pass that can run again, or a start with its wait. It reads storages of other units; what
is always there (inputs, what is pinned) is left out. Views take no part: who reads one reads its storage.
"""

from dataclasses import dataclass
from functools import cached_property

from .recompute_graph import Graph, Phase
from .recompute_schedule import droppable, in_the_air


@dataclass(frozen=True)
class Unit:
    """`ops` that run together in `time`, for the storages `makes`; a collective of `group`, where it is one."""

    ops: tuple[int, ...]
    time: float
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    layer: int | None = None
    group: str = ""


@dataclass(frozen=True)
class Units:
    """The units in order, and of each storage that they make which ops of the backward pass read it, in order."""

    graph: Graph
    units: tuple[Unit, ...]
    uses: dict[int, tuple[int, ...]]

    @cached_property
    def maker(self) -> dict[int, int]:
        """Of each storage, the unit that makes it."""
        return {storage: index for index, unit in enumerate(self.units) for storage in unit.makes}

    @cached_property
    def index(self) -> dict[int, int]:
        """Of each op, the unit that it belongs to."""
        return {op: index for index, unit in enumerate(self.units) for op in unit.ops}

    def free(self) -> frozenset[int]:
        """Storages of no bytes: they are always kept."""
        return frozenset(storage for storage in self.maker if not self.graph.values[storage].size)

    def again(self, kept: frozenset[int]) -> set[int]:
        """The units that run again where `kept` is what the backward pass finds."""
        wanted = [storage for storage in self.uses if storage not in kept]
        found = set[int]()
        while wanted:
            unit = self.maker[wanted.pop()]
            if unit not in found:
                found.add(unit)
                wanted += [storage for storage in self.units[unit].reads if storage not in kept]
        return found


def units_of(graph: Graph) -> Units:
    """The units of a graph."""
    loose = frozenset(droppable(graph)) - in_the_air(graph)
    sources = sources_of(graph, loose)
    waits = {op.waits: index for index, op in enumerate(graph.ops) if op.waits is not None}
    groups: list[tuple[int, ...]] = []
    for index, op in enumerate(graph.ops):
        if op.phase is Phase.FORWARD and op.waits is None:
            groups.append((index, waits[op.starts]) if op.starts in waits else (index,))
    units, uses = [], dict[int, list[int]]()
    for ops in groups:
        makes = tuple(v for op in ops for v in graph.ops[op].results if v in loose)
        if makes:
            reads = {s for op in ops for value in graph.ops[op].reads for s in sources[value]} - set(makes)
            starts = graph.ops[ops[0]].starts
            window = None if starts is None else graph.windows[starts]
            time = sum(graph.ops[op].time for op in ops) + (window.seconds if window else 0.0)
            group = window.group if window else ""
            units.append(Unit(ops, time, tuple(sorted(reads)), makes, graph.ops[ops[0]].layer, group))
    for index, op in enumerate(graph.ops):
        if op.phase is Phase.BACKWARD:
            for storage in {s for value in op.reads for s in sources[value]}:
                uses.setdefault(storage, []).append(index)
    return Units(graph, tuple(units), {storage: tuple(found) for storage, found in sorted(uses.items())})


def sources_of(graph: Graph, loose: frozenset[int]) -> list[frozenset[int]]:
    """Of each value, the storages in `loose` that must be there to read it, through what makes views and handles."""
    found: list[frozenset[int]] = []
    for index, value in enumerate(graph.values):
        if value.base is not None:
            found.append(found[value.base])
        else:
            found.append(frozenset({index} & loose))
    for index in in_the_air(graph):
        reads = graph.ops[graph.values[index].producer].reads
        found[index] = frozenset().union(*(found[value] for value in reads))
    return found
