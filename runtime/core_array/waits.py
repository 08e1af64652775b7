"""Who waits for whom, and when each core is done with each step if it starts as soon as it may.

    wait (before p, after c, lag d, latency L):   F(c, t) >= W(c, t) + F(p, t - d) + L        for t >= d
    and every core after itself:                  F(c, t) >= W(c, t) + F(c, t - 1)

A data edge is a wait of its shortest delay; the room in its target's slots is one the other way round, of lag
K - dmax, which may be negative. The events (core, step) have an order iff no cycle of waits has lags that sum to zero
or less: Commoner's liveness of marked graphs. Costs steps * waits, vectorised over the waits of one level.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...dialects.diagnostics import UserError


class DeadlockError(UserError):
    """Some cores wait for one another. `cores` are on the cycle, each waiting for the next."""

    def __init__(self, cores: list[int], details: Sequence[str] = ()):
        self.cores = cores
        ring = " -> ".join(map(str, [*cores, *cores[:1]]))
        super().__init__(
            f"deadlock: each core waits for the next, {ring}", details=details, hint="give edges more slots"
        )


@dataclass(frozen=True)
class Waits:
    """Waits between nodes (cores, and collectors after them): [waits] each.

    `late` int [steps, waits]: step k of `before` is made known only when step k + late[k] is finished; None: at once.
    `slack` is the least lag that this leaves.
    """

    nodes: int
    before: np.ndarray
    after: np.ndarray
    lag: np.ndarray
    latency: np.ndarray
    slack: np.ndarray
    late: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.before)

    @cached_property
    def order(self) -> np.ndarray:
        """A number for each node: event (node, step) comes at step * (nodes + 1) + number, after what it waits for."""
        scale, number = self.nodes + 1, np.zeros(self.nodes, np.int64)
        behind = 1 - self.slack.astype(np.int64) * scale
        for _ in range(self.nodes + 1):
            least = number.copy()
            np.maximum.at(least, self.after, number[self.before] + behind)
            if np.array_equal(least, number):
                return number
            number = least
        raise DeadlockError(self.cycle(number, behind))

    def cycle(self, number: np.ndarray, behind: np.ndarray) -> list[int]:
        """A cycle of nodes that can never start, each waiting for the next."""
        cause, node = np.full(self.nodes, -1), 0
        for _ in range(self.nodes + 1):
            reached = number[self.before] + behind
            better = np.flatnonzero(reached > number[self.after])
            cause[self.after[better]] = self.before[better]
            np.maximum.at(number, self.after, reached)
            node = int(self.after[better[0]])
        path: list[int] = []
        while node not in path:
            path.append(node)
            node = int(cause[node])
        return path[path.index(node) :]

    def at_once(self) -> "Waits":
        """The same with packets that take no time."""
        return replace(self, latency=np.zeros(len(self)))


@dataclass(frozen=True)
class Layer:
    """Nodes whose step is computed together: `index` of what each waits for at step 0, in a flat table of finish times;
    `ahead`, where any is positive, how many steps after its own that is.
    """

    nodes: np.ndarray
    shift: int
    index: np.ndarray
    starts: np.ndarray
    latency: np.ndarray
    ahead: np.ndarray | None
    late: np.ndarray | None


def layers(waits: Waits, pad: int) -> list[Layer]:
    """Nodes by level, each with its waits, the one for itself included."""
    shift, level = np.divmod(waits.order, waits.nodes + 1)
    own = np.arange(waits.nodes)
    before, after = np.concatenate((own, waits.before)), np.concatenate((own, waits.after))
    row = pad - np.concatenate((np.ones(waits.nodes, int), waits.lag))
    latency = np.concatenate((np.zeros(waits.nodes), waits.latency))
    # A node's wait for itself has no column of its own in `late`: the last column is zero.
    column = np.concatenate((np.full(waits.nodes, len(waits)), np.arange(len(waits))))
    found = []
    order = np.lexsort((after, shift[after], level[after]))
    key = level[after[order]] * (waits.nodes + 1) + shift[after[order]]
    for chosen in np.split(order, np.flatnonzero(np.diff(key)) + 1):
        nodes, starts = np.unique(after[chosen], return_index=True)
        index = row[chosen] * waits.nodes + before[chosen]
        late = None if waits.late is None else row[chosen] * (len(waits) + 1) + column[chosen]
        ahead = row[chosen] - pad if (row[chosen] > pad).any() else None
        found.append(Layer(nodes, int(shift[nodes[0]]), index, starts, latency[chosen], ahead, late))
    return found


def finish(waits: Waits, work: np.ndarray) -> np.ndarray:
    """When each node is done with each step, float [steps, nodes], each starting as soon as it may."""
    steps, nodes = work.shape
    if not work.size:
        return np.zeros_like(work)
    pad = int(max(1, waits.lag.max(initial=1)))
    table = np.full((pad + steps, nodes), -np.inf)
    flat, late = table.ravel(), None
    if waits.late is not None:
        late = np.zeros((pad + steps, len(waits) + 1), np.int64)
        late[pad:, :-1] = waits.late * nodes
        late = late.ravel()
    plan = layers(waits, pad)
    for time in range(steps + max(layer.shift for layer in plan)):
        for layer in plan:
            step = time - layer.shift
            if not 0 <= step < steps:
                continue
            # For what lies beyond the last step, the last one is waited for.
            row = step if layer.ahead is None else step - np.maximum(layer.ahead + step - (steps - 1), 0)
            index = layer.index + row * nodes
            if late is not None and layer.late is not None:
                index += late.take(layer.late + row * (len(waits) + 1))
            ready = flat.take(index)
            ready += layer.latency
            start = np.maximum(np.maximum.reduceat(ready, layer.starts), 0.0)
            table[pad + step, layer.nodes] = start + work[step, layer.nodes]
    return table[pad:]
