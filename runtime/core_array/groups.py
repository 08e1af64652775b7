"""Collectors: where many cores wait for many, each tells one place, and that place tells the others.

    m senders x n receivers: m * n streams   ->   m + n through a collector

A sender's message says to which receivers it sent packets, one bit each; the collector counts, and tells each receiver
how many senders it has packets to expect from. Receivers then wait for the last of the senders, not for theirs alone.
Pays where blocks are dense and mostly silent: the streams within ride on spikes elsewhere.
"""

from dataclasses import dataclass

import numpy as np

from .machine import Machine
from .mapping import NO_GROUP, Mapping, hops, latency

HEADER_BITS = 16
"""Of a control message: type, stream and step. What is left holds the bits of a sender's receivers."""


@dataclass(frozen=True)
class Stream:
    """Progress of `senders` to `receivers` through one collector: these wait for step t - lag of all of those.

    `edges` are those whose spikes receivers wait for too: none where it is room alone that is told of.
    """

    senders: np.ndarray
    receivers: np.ndarray
    lag: int
    edges: np.ndarray

    def seat(self, place: np.ndarray, machine: Machine) -> int:
        """The place of the collector: the sender's from which the farthest member is nearest."""
        members = np.union1d(self.senders, self.receivers)
        x, y = hops(machine, place[self.senders][:, None], place[members][None, :])
        return int(place[self.senders[int((x + y).max(axis=1).argmin())]])


@dataclass(frozen=True)
class Collectors:
    """The waits and messages of all collectors: nodes numbered after the cores, at `place`. `sends` int [nodes] are
    messages a step, `links` the (x, y) links they travel a step.
    """

    place: np.ndarray
    before: np.ndarray
    after: np.ndarray
    lag: np.ndarray
    latency: np.ndarray
    sends: np.ndarray
    links: tuple[int, int]

    @property
    def count(self) -> int:
        return len(self.place)


def streams_of(mapping: Mapping, unlimited: bool = False) -> list[Stream]:
    """The streams of each group: ends of steps one way, credits the other; one for both where all hear all."""
    edges, found = mapping.edges, []
    grouped = (mapping.group != NO_GROUP) & ~mapping.barrier[edges.source]
    for group in np.unique(mapping.group[grouped]):
        inside = grouped & (mapping.group == group)
        sources, targets = np.unique(edges.source[inside]), np.unique(edges.target[inside])
        shortest, room = int(edges.dmin[inside].min()), int((edges.slots - edges.dmax)[inside].min())
        spikes, none = np.flatnonzero(inside), np.zeros(0, int)
        if unlimited:
            found.append(Stream(sources, targets, shortest, spikes))
        elif np.array_equal(sources, targets):
            found.append(Stream(sources, targets, min(shortest, room), spikes))
        else:
            found += [Stream(sources, targets, shortest, spikes), Stream(targets, sources, room, none)]
    return found


def collectors_of(mapping: Mapping, machine: Machine, unlimited: bool = False) -> Collectors:
    """The collectors that the groups of a mapping need."""
    streams = streams_of(mapping, unlimited)
    sends, links = np.zeros(mapping.cores + len(streams), np.int64), np.zeros(2, np.int64)
    place = np.array([stream.seat(mapping.place, machine) for stream in streams], np.int32)
    before, after, lag, delay = [[np.zeros(0, int)] for _ in range(4)]
    for node, stream in enumerate(streams, mapping.cores):
        seat = place[node - mapping.cores]
        flits = -(-len(stream.receivers) // max(1, machine.control_bits - HEADER_BITS))
        sends[stream.senders] += flits
        sends[node] += len(stream.receivers)
        here = np.full(len(stream.senders), node), np.full(len(stream.receivers), node)
        before += [stream.senders, here[1]]
        after += [here[0], stream.receivers]
        lag += [np.zeros(len(stream.senders), int), np.full(len(stream.receivers), stream.lag)]
        for members, weight in ((stream.senders, flits), (stream.receivers, 1)):
            delay.append(latency(machine, mapping.place[members], seat))
            links += weight * np.array([axis.sum() for axis in hops(machine, mapping.place[members], seat)])
    whole = [np.concatenate(part) for part in (before, after, lag, delay)]
    return Collectors(place, whole[0], whole[1], whole[2], whole[3], sends, (int(links[0]), int(links[1])))


def dense_blocks(mapping: Mapping) -> np.ndarray:
    """A group for each edge: cores that reach the same cores at the same delay, where a collector saves messages.

    All m * n edges of a block are there (but those from a core to itself), and 2 m n > 4 (m + n).
    """
    edges, group = mapping.edges, np.full(len(mapping.edges), NO_GROUP, np.int32)
    blocks: dict[tuple, list[np.ndarray]] = {}
    key = edges.source.astype(np.int64) * (int(edges.dmin.max(initial=0)) + 1) + edges.dmin
    order = np.argsort(key, kind="stable")
    fans = np.split(order, np.flatnonzero(np.diff(key[order])) + 1) if len(order) else []
    for fan in fans:
        delay, source = int(edges.dmin[fan[0]]), int(edges.source[fan[0]])
        closed = np.union1d(edges.target[fan], source)
        blocks.setdefault((delay, True, closed.tobytes()), []).append(fan)
        blocks.setdefault((delay, False, edges.target[fan].tobytes()), []).append(fan)
    for number, members in enumerate(sorted(blocks.values(), key=len, reverse=True)):
        inside = np.concatenate(members)
        inside = inside[group[inside] == NO_GROUP]
        m, n = len(np.unique(edges.source[inside])), len(np.unique(edges.target[inside]))
        if m and 2 * m * n > 4 * (m + n):
            group[inside] = number
    return group
