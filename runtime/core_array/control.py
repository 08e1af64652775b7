"""What cores tell each other beside spikes: that a step is finished.

    p --- spikes of step t, "these were all" ---> c        end of step: c may use them
    p <--------- "step t is behind me" ---------- c        credit: p may fill the slots of step t again

Both say the same, "step t is finished here", so one stream of progress from x to y serves as end of step (EOS) for the
edge x -> y and as credit for the edge y -> x. It rides on the last spike packet of a step where there is one. Else it
is a message, sent only when y would lack more than `batch` steps: those that it can spare without waiting, one less
than the lag of its wait. A core that only plays recorded inputs says at once how long it will be silent.
"""

from dataclasses import dataclass

import numpy as np

from .groups import Collectors, collectors_of
from .machine import Machine
from .mapping import NO_GROUP, Mapping, hops, latency
from .traffic import Traffic
from .waits import Waits

FOREVER = 2**30
"""A batch, or slots, that no run is long enough to fill."""


@dataclass(frozen=True)
class Progress:
    """The streams of progress of a mapping. `sends` int [steps, nodes] are control messages (in units of
    `Machine.control_bits`) that each node sends in each step; `links` are the (x, y) links they travel in all; `edge`
    int [waits] is the edge whose packets carry a wait's progress, or -1; `place` int [nodes] is where each node is.
    """

    waits: Waits
    sends: np.ndarray
    links: tuple[int, int]
    edge: np.ndarray
    place: np.ndarray

    @property
    def messages(self) -> int:
        return int(self.sends.sum())


@dataclass(frozen=True)
class Pairs:
    """Ordered pairs of cores of which the second waits for the first, sorted; `edge` is the edge along it, or -1."""

    source: np.ndarray
    target: np.ndarray
    lag: np.ndarray
    edge: np.ndarray


def pairs_of(mapping: Mapping, unlimited: bool = False) -> Pairs:
    """Who waits for whom through edges that speak for themselves; with unlimited slots nobody waits for room."""
    edges = mapping.edges
    own = np.flatnonzero((mapping.group == NO_GROUP) & ~mapping.barrier[edges.source])
    source, target = edges.source[own].astype(np.int64), edges.target[own].astype(np.int64)
    key, lag = source * mapping.cores + target, edges.dmin[own]
    if not unlimited:
        key = np.concatenate((key, target * mapping.cores + source))
        lag = np.concatenate((lag, (edges.slots - edges.dmax)[own]))
    pair, where = np.unique(key, return_inverse=True)
    least = np.full(len(pair), FOREVER, np.int64)
    np.minimum.at(least, where, lag)
    edge = np.full(len(pair), -1)
    edge[where[: len(own)]] = own
    return Pairs(pair // max(1, mapping.cores), pair % max(1, mapping.cores), least, edge)


def told(carried: np.ndarray, batch: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Which steps need a message, and how much later each step is made known, [steps, pairs] each.

    `carried`: the step has a packet to ride on; `known`: the sender knows all its steps in advance.
    """
    if not known.any() and (batch == 1).all():
        return ~carried, None
    most = np.where(known, FOREVER, batch).astype(np.int32)
    message, late = np.zeros_like(carried), np.zeros(carried.shape, np.int32)
    ahead = np.flatnonzero(known)
    # Row by row, which a cache holds, and not along columns.
    silent = np.zeros(len(known), np.int32)
    for step, rides in enumerate(carried):
        silent += 1
        np.copyto(silent, 0, where=rides)
        np.equal(silent, most, out=message[step])
        np.copyto(silent, 0, where=message[step])
        late[step, ahead] = -np.minimum(silent[ahead], step)
    if len(carried):
        message[0, ahead] = ~carried[0, ahead]
    lag = np.full(len(known), -1, np.int32)
    for step in reversed(range(len(carried))):
        lag += 1
        np.copyto(lag, 0, where=carried[step] | message[step])
        late[step] = np.where(known, late[step], lag) if len(ahead) else lag
    return message, late


def progress(
    mapping: Mapping,
    machine: Machine,
    traffic: Traffic,
    *,
    batch: int = FOREVER,
    unlimited: bool = False,
    known: np.ndarray | None = None,
) -> Progress:
    """The waits of a mapping and the messages behind them; `batch` bounds how many steps one message may cover."""
    steps, cores = traffic.active.shape
    pairs = pairs_of(mapping, unlimited)
    spread = np.clip(pairs.lag - 1, 1, max(1, batch))
    carried = np.zeros((steps, len(pairs.edge)), bool)
    carried[:, pairs.edge >= 0] = traffic.sent[:, pairs.edge[pairs.edge >= 0]] > 0
    ahead = np.zeros(cores, bool) if known is None else known
    message, late = told(carried, spread, ahead[pairs.source])
    sends = np.zeros((steps, cores), np.int64)
    talkers, starts = np.unique(pairs.source, return_index=True)
    if len(talkers) and steps:
        sends[:, talkers] = np.add.reduceat(message, starts, axis=1, dtype=np.int64)
    place = mapping.place
    x, y = hops(machine, place[pairs.source], place[pairs.target])
    each = message.sum(axis=0)
    links = int((each * x).sum()), int((each * y).sum())
    delay = latency(machine, place[pairs.source], place[pairs.target])
    slack = np.where(ahead[pairs.source], pairs.lag, pairs.lag - spread + 1)
    waits = Waits(cores, pairs.source, pairs.target, pairs.lag, delay, slack, late)
    return join(Progress(waits, sends, links, pairs.edge, place), collectors_of(mapping, machine, unlimited), steps)


def join(own: Progress, shared: Collectors, steps: int) -> Progress:
    """The streams between cores together with those through collectors, which are nodes after the cores."""
    waits, count = own.waits, shared.count
    before, after, lag, slack, delay = (
        np.concatenate(both)
        for both in (
            (waits.before, shared.before),
            (waits.after, shared.after),
            (waits.lag, shared.lag),
            (waits.slack, shared.lag),
            (waits.latency, shared.latency),
        )
    )
    near = lag < max(steps, 1)
    order = np.flatnonzero(near)
    late = waits.late
    if late is not None:
        late = np.concatenate((late, np.zeros((steps, len(shared.before)), late.dtype)), axis=1)[:, order]
    merged = Waits(waits.nodes + count, before[order], after[order], lag[order], delay[order], slack[order], late)
    sends = np.concatenate((own.sends, np.zeros((steps, count), np.int64)), axis=1) + shared.sends
    links = own.links[0] + steps * shared.links[0], own.links[1] + steps * shared.links[1]
    edge = np.concatenate((own.edge, np.full(len(shared.before), -1)))[order]
    return Progress(merged, sends, links, edge, np.concatenate((own.place, shared.place)))
