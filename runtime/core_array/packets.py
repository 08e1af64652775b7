"""The same run packet by packet: links are shared, and hold few packets.

    core 0 --x--> tile 1 --x--> tile 2       XY routing; a link passes packets at its bandwidth
    core 1 --------^                         and blocks the link before it when `link_buffer` packets wait for it

Cores start by the same rules as in `waits`: when the last packet (or message) that tells of the step they need has
arrived. The packets of one step along one edge are a train: the first leaves while its core still computes, the last
when it is done. A link serves whatever train reaches it while it is idle, each for as long as its packets take.
With links that pass packets in no time this is the recurrence of `waits`, exactly. Packets that the host injects, and
regions in lockstep, are not part of it. Costs one event a core and step, and about 0.2 us a train and link.
"""

import heapq
import itertools
from bisect import bisect_right
from dataclasses import dataclass, replace

import numpy as np

from .machine import Machine
from .policy import Case, Execution

LINKS = 8
"""Of a tile: to four others, both ways."""
FORGET = 256
"""Events after which links drop what is past."""


class Links:
    """The links of a mesh, each with the times at which it is busy. `bandwidth` is times the machine's."""

    def __init__(self, machine: Machine, bandwidth: float):
        self.machine = machine
        width, height = machine.mesh
        count = 4 * width * height
        self.begins: list[list[float]] = [[] for _ in range(count)]
        self.ends: list[list[float]] = [[] for _ in range(count)]
        hops = machine.time.hop_x, machine.time.hop_x, machine.time.hop_y, machine.time.hop_y
        self.hop = [*hops] * (width * height)
        shared = machine.tile_bandwidth
        self.service = [(LINKS / shared if shared else hop) / bandwidth for hop in self.hop]
        self.known: dict[tuple[int, int], list[int]] = {}

    def route(self, source: int, target: int) -> list[int]:
        """The links from a place to a place: along x, then along y."""
        start, end = source // self.machine.cores_per_tile, target // self.machine.cores_per_tile
        if (start, end) not in self.known:
            width = self.machine.mesh[0]
            (y, x), (to_y, to_x) = divmod(start, width), divmod(end, width)
            path = []
            while x != to_x:
                path.append(4 * (y * width + x) + (to_x < x))
                x += 1 if to_x > x else -1
            while y != to_y:
                path.append(4 * (y * width + x) + 2 + (to_y < y))
                y += 1 if to_y > y else -1
            self.known[start, end] = path
        return self.known[start, end]

    def serve(self, link: int, first: float, needed: float) -> tuple[float, float]:
        """Take `needed` time of a link from `first` on, wherever it is idle: the first and last moment taken."""
        begins, ends = self.begins[link], self.ends[link]
        low = high = bisect_right(ends, first)
        start = begin = first
        if high < len(begins) and begins[high] <= first:
            begin = begins[high]
            while high < len(begins) and begins[high] <= start:
                start = ends[high]
                high += 1
        until = start
        while high < len(begins) and begins[high] - until < needed:
            needed -= begins[high] - until
            until = ends[high]
            high += 1
        until += needed
        begins[low:high] = [begin]
        ends[low:high] = [until]
        return start, until

    def forget(self, time: float) -> None:
        """Drop what lies before a time at which nothing can start any more."""
        for begins, ends in zip(self.begins, self.ends, strict=True):
            old = bisect_right(ends, time)
            del begins[:old], ends[:old]

    def send(self, path: list[int], first: float, last: float, packets: float) -> tuple[float, float]:
        """When the last of a train arrives whose first and last leave then, and until when its sender is blocked."""
        if not path:
            return last + self.machine.time.tile, 0.0
        hop, service, room, before = self.hop, self.service, self.machine.link_buffer, -1
        blocked = ended = 0.0
        for link in path:
            first, until = self.serve(link, first, packets * service[link])
            full = until - room * service[link]
            if before < 0:
                blocked = full
            elif full - hop[before] > ended:
                self.serve(before, ended, full - hop[before] - ended)
            last = max(last, until - service[link]) + hop[link]
            first += hop[link]
            before, ended = link, until
        return last + self.machine.time.tile, blocked


@dataclass(frozen=True)
class Lane:
    """What a node sends along one way: packets of an edge, or progress that a wait needs, or both (-1: none)."""

    target: int
    path: list[int]
    edge: int
    wait: int


class Delivery:
    """The state of a run: what is done, what has been told, and what each node still waits for."""

    def __init__(self, case: Case, run: Execution, bandwidth: float):
        self.case, self.run, self.links = case, run, Links(case.machine, bandwidth)
        self.waits = waits = run.progress.waits
        self.steps, self.nodes = run.work.shape
        self.mine = [np.flatnonzero(waits.after == node) for node in range(self.nodes)]
        self.arrived = np.zeros((self.steps + 1, len(waits) + 1))
        self.told = np.full(len(waits), -1)
        self.wanted = [-1] * len(waits)
        self.missing = [0] * self.nodes
        self.step = [0] * self.nodes
        self.free = [0.0] * self.nodes
        self.finish = np.zeros((self.steps, self.nodes))
        self.events: list[tuple[float, int]] = []
        self.lanes = self.lanes_of()
        self.plain = self.plain_of()

    def lanes_of(self) -> list[list[Lane]]:
        """The lanes out of each node: every wait's, and every edge's that carries no progress."""
        edges, streams = self.case.mapping.edges, self.run.progress
        lanes: list[list[Lane]] = [[] for _ in range(self.nodes)]
        ends = zip(self.waits.before, self.waits.after, streams.edge, strict=True)
        for wait, (source, target, edge) in enumerate(ends):
            path = self.links.route(int(streams.place[source]), int(streams.place[target]))
            lanes[source].append(Lane(int(target), path, int(edge), wait))
        for edge in np.setdiff1d(np.arange(len(edges)), streams.edge):
            source, target = int(edges.source[edge]), int(edges.target[edge])
            path = self.links.route(int(streams.place[source]), int(streams.place[target]))
            lanes[source].append(Lane(target, path, int(edge), -1))
        return lanes

    def plain_of(self) -> list[list[int]]:
        """The edges into each node whose ends of steps come through a collector."""
        edges = self.case.mapping.edges
        found: list[list[int]] = [[] for _ in range(self.nodes)]
        for edge in np.setdiff1d(np.arange(len(edges)), self.run.progress.edge):
            found[int(edges.target[edge])].append(int(edge))
        self.landed = {edge: [0.0] * self.steps for edges in found for edge in edges}
        return found

    def prepare(self, node: int) -> None:
        """Count what a node lacks for its next step; start it where that is nothing."""
        step, waits, mine = self.step[node], self.waits, self.mine[node]
        if step == self.steps:
            return
        rows = np.minimum(step - waits.lag[mine], self.steps - 1)
        if waits.late is not None:
            rows = np.where(rows >= 0, rows + waits.late[np.maximum(rows, 0), mine], rows)
        for wait, row in zip(mine.tolist(), rows.tolist(), strict=True):
            self.wanted[wait] = row
        self.missing[node] = int((rows > self.told[mine]).sum())
        if not self.missing[node]:
            self.start(node)

    def start(self, node: int) -> None:
        """Compute a step: everything that it needs has a time of arrival."""
        step, mine, ready = self.step[node], self.mine[node], self.free[node]
        if len(mine):
            rows = np.array([self.wanted[wait] for wait in mine.tolist()])
            heard = self.arrived[rows, mine][rows >= 0]
            ready = max(ready, float(heard.max(initial=0.0)))
        for edge in self.plain[node]:
            before = step - int(self.case.mapping.edges.dmin[edge])
            if before >= 0:
                ready = max(ready, self.landed[edge][before])
        done = ready + float(self.run.work[step, node])
        self.finish[step, node] = done
        heapq.heappush(self.events, (done, node))

    def emit(self, node: int, done: float) -> None:
        """Send what a step has to send, and wake who waited for it."""
        step, machine, free = self.step[node], self.case.machine, done
        sent, late = self.case.traffic.sent[step], self.waits.late
        out = float(self.case.traffic.packets_out[step, node]) if node < self.case.mapping.cores else 0.0
        lead = out * machine.time.packet_out
        share = machine.control_bits / machine.packet_bits
        for lane in self.lanes[node]:
            packets = int(sent[lane.edge]) if lane.edge >= 0 else 0
            tells = lane.wait >= 0 and (late is None or late[step, lane.wait] == 0)
            last = 0.0
            if packets or tells:
                first = done - lead if packets > 1 else done
                last, blocked = self.links.send(lane.path, first, done, packets or share)
                free = max(free, blocked)
            if lane.wait < 0:
                self.land(lane.edge, step, last)
            elif tells:
                self.tell(lane, step, last)
        self.free[node] = free

    def land(self, edge: int, step: int, last: float) -> None:
        """Note when the packets of an edge up to a step have arrived."""
        landed = self.landed[edge]
        landed[step] = max(last, landed[step - 1] if step else 0.0)

    def tell(self, lane: Lane, step: int, time: float) -> None:
        """Let the node at the end of a lane know of a step from then on."""
        self.arrived[step, lane.wait] = time
        before, self.told[lane.wait] = self.told[lane.wait], step
        if before < self.wanted[lane.wait] <= step:
            self.missing[lane.target] -= 1
            if not self.missing[lane.target]:
                self.start(lane.target)

    def run_all(self) -> np.ndarray:
        """When each node is done with each step."""
        for node in range(self.nodes):
            self.prepare(node)
        lead = float(self.case.traffic.packets_out.max(initial=0)) * self.case.machine.time.packet_out
        for count in itertools.count():
            if not self.events:
                break
            done, node = heapq.heappop(self.events)
            if count % FORGET == 0:
                self.links.forget(done - lead)
            self.emit(node, done)
            self.step[node] += 1
            self.prepare(node)
        return self.finish


def deliver(case: Case, run: Execution, bandwidth: float = 1.0) -> Execution:
    """A run again, packet by packet, over links of `bandwidth` times the machine's."""
    done = Delivery(case, run, bandwidth).run_all()
    cores = np.flatnonzero(run.mapping.barrier)
    done[:, cores] = run.finish[:, cores]
    return replace(run, finish=done)
