"""Keep or recompute by minimum cuts: `sum of seconds run again + price * bytes kept`, solved exactly for each price.

    source --seconds--> unit --price * bytes--> storage --inf--> units that read it
                                                storage --inf--> sink, where the backward pass reads it

A unit on the sink's side runs again; a storage is kept whose unit is on the source's side while it is not. High prices
keep little, and every cut bounds from below what any schedule runs again. A cut knows sums only, so the exact peak of
each schedule decides which cuts are any good. A cut takes milliseconds at thousands of ops.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from .recompute_units import Units

ALL, INFINITE = 2**29, 2**30
"""Integer capacities: of all seconds together, and more than any flow."""


@dataclass(frozen=True)
class Network:
    """Arcs of the flow network: node 0 is the source, 1 the sink, then units, then storages."""

    units: Units
    tails: np.ndarray
    heads: np.ndarray
    seconds: np.ndarray
    bytes: np.ndarray

    def kept(self, price: float) -> frozenset[int]:
        """What a minimum cut keeps, of what is worth keeping."""
        units, nodes = self.units, 2 + len(self.units.units) + len(self.units.maker)
        scale = ALL / max(self.seconds.sum(), 1e-30)
        finite = np.rint(scale * (self.seconds + price * self.bytes)).clip(0, INFINITE)
        capacity = np.where(np.isnan(finite), INFINITE, finite).astype(np.int32)
        network = coo_array((capacity, (self.tails, self.heads)), (nodes, nodes)).tocsr()
        left = network - maximum_flow(network, 0, 1).flow
        left.data[left.data < 0] = 0
        left.eliminate_zeros()
        source = np.zeros(nodes, bool)
        source[breadth_first_order(left, 0, return_predecessors=False)] = True
        first = 2 + len(units.units)
        return frozenset(
            storage
            for node, (storage, unit) in enumerate(units.maker.items(), first)
            if source[2 + unit] and not source[node]
        )


def network_of(units: Units, weights: dict[int, float] | None = None) -> Network:
    """The network of units; `weights`, of each storage, are its bytes unless told otherwise."""
    weights = weights or {storage: units.graph.values[storage].size for storage in units.maker}
    node = {storage: 2 + len(units.units) + place for place, storage in enumerate(units.maker)}
    arcs: list[tuple[int, int, float, float]] = []
    for index, unit in enumerate(units.units, 2):
        arcs.append((0, index, unit.time, 0.0))
        arcs += [(index, node[storage], 0.0, weights[storage]) for storage in unit.makes]
        arcs += [(node[storage], index, 0.0, np.nan) for storage in unit.reads]
    arcs += [(node[storage], 1, 0.0, np.nan) for storage in units.uses]
    tails, heads, seconds, size = (np.array(column) for column in zip(*arcs, strict=True)) if arcs else ([],) * 4
    return Network(units, np.asarray(tails, int), np.asarray(heads, int), np.asarray(seconds, float), np.asarray(size))


@dataclass(frozen=True)
class Cut:
    """A corner of the curve of least seconds over bytes kept."""

    kept: frozenset[int]
    bytes: float
    seconds: float


def corners(network: Network, most: int = 32) -> list[Cut]:
    """Corners of the curve from all kept to nothing kept, by at most `most` cuts: the widest gaps are split first."""
    ends = (cut_at(network, 0.0), Cut(frozenset(), 0.0, seconds_of(network.units, frozenset())))
    gaps, found = [ends], {cut.kept: cut for cut in ends}
    for _ in range(most):
        gaps = [(a, b) for a, b in gaps if a.bytes > b.bytes and a.seconds < b.seconds]
        if not gaps:
            break
        gaps.sort(key=lambda pair: (pair[0].bytes - pair[1].bytes) * (pair[1].seconds - pair[0].seconds))
        more, less = gaps.pop()
        cut = cut_at(network, (less.seconds - more.seconds) / (more.bytes - less.bytes))
        if cut.kept not in found:
            found[cut.kept] = cut
            gaps += [(more, cut), (cut, less)]
    return sorted(found.values(), key=lambda cut: (-cut.bytes, cut.seconds))


def least_seconds(network: Network, room: float, rounds: int = 12) -> float:
    """What any schedule runs again that keeps at most `room` bytes between the passes: the best of some prices."""
    more, less = cut_at(network, 0.0), Cut(frozenset(), 0.0, seconds_of(network.units, frozenset()))
    best = 0.0
    for _ in range(rounds):
        if more.bytes <= max(room, less.bytes) or more.seconds >= less.seconds:
            break
        price = (less.seconds - more.seconds) / (more.bytes - less.bytes)
        cut = cut_at(network, price)
        value = cut.seconds + price * cut.bytes
        best = max(best, value - price * room)
        if value >= (more.seconds + price * more.bytes) * (1 - 1e-6):
            break
        more, less = (cut, less) if cut.bytes > room else (more, cut)
    return best


def cut_at(network: Network, price: float) -> Cut:
    units, kept = network.units, network.kept(price)
    return Cut(kept, float(sum(units.graph.values[storage].size for storage in kept)), seconds_of(units, kept))


def seconds_of(units: Units, kept: frozenset[int]) -> float:
    """Seconds run again where `kept` is kept, each unit once."""
    return sum(units.units[unit].time for unit in units.again(kept))
