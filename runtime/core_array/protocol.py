"""A network run by messages: cores advance each at its own pace, and fire what they would have fired in step.

    core p, step t:  SPIKE(p, t, number, neuron, delay) ...  the last one also END(first..t, count)      -> core c
                     END alone where nothing was sent, and where c would lack more steps than it can spare
    a group:         every member tells a collector, which tells every member

A core starts step t when (R1) t - 1 is done, (R2) the spikes of step t - dmin of every source are complete, (R3) every
target has finished step t + dmax - K. Messages take any time, overtake each other, come twice: the result does not
change, because each slot sums what must act in its step, in whole numbers or in the order of synapses.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ..spiking.arrays import Raster, Synapses
from .control import FOREVER, pairs_of
from .groups import Stream, streams_of
from .inbox import End, Inbox, ProtocolError, Slots, Tally
from .lockstep import lockstep
from .mapping import NO_GROUP, Mapping
from .waits import DeadlockError
from .wiring import Update, Wiring, wiring_of


@dataclass(frozen=True)
class Spike:
    """The `number`-th spike of a step along an edge: what a packet says."""

    step: int
    number: int
    neuron: int


@dataclass(frozen=True)
class Faults:
    """What happens to messages: each takes 1 to `latency` units, and comes twice with probability `twice`. A step of a
    core takes 1 to `compute` units.
    """

    seed: int = 0
    latency: int = 50
    twice: float = 0.0
    compute: int = 50


@dataclass
class Statistics:
    """Of one run: messages sent by kind, duplicates dropped, and the most slots that one core had in use."""

    spikes: int = 0
    control: int = 0
    dropped: int = 0
    peak_slots: int = 0


@dataclass
class Core:
    """One core: its slots, what came from whom, and whom it tells what it has done.

    `inboxes` are of senders that speak for themselves, `apart` of those whose collectors do, `tallies` of collectors;
    `hears` says after how many silent steps another core must hear from this one, `told` what it was told last.
    """

    slots: Slots
    limits: dict[int, int]
    inboxes: dict[int, Inbox] = field(default_factory=dict)
    apart: dict[int, Inbox] = field(default_factory=dict)
    tallies: dict[int, Tally] = field(default_factory=dict)
    hears: dict[int, int] = field(default_factory=dict)
    told: dict[int, int] = field(default_factory=dict)
    streams: list[int] = field(default_factory=list)
    started: int = 0
    done: int = 0
    fired: np.ndarray = field(default_factory=lambda: np.zeros(0, int))


class Run:
    """The cores, and the messages under way."""

    def __init__(self, wiring: Wiring, update: Update, faults: Faults, batch: int):
        self.wiring, self.update, self.faults, self.batch = wiring, update, faults, batch
        self.random = np.random.default_rng(faults.seed)
        self.statistics = Statistics()
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.serial, self.now = 0, 0.0
        self.last = wiring.steps - 1
        self.fired: list[list[np.ndarray]] = [[] for _ in range(wiring.steps)]
        self.streams: list[Stream] = streams_of(wiring.mapping)
        self.finished: list[dict[int, dict[int, set[int]]]] = [{} for _ in self.streams]
        self.cores = [Core(wiring.slots(core), wiring.limits(core)) for core in range(wiring.mapping.cores)]
        self.connect()

    def connect(self) -> None:
        """Set up who waits for whom, and who tells whom how often."""
        mapping, edges = self.wiring.mapping, self.wiring.mapping.edges
        for edge, (source, target) in enumerate(zip(edges.source.tolist(), edges.target.tolist(), strict=True)):
            if mapping.group[edge] != NO_GROUP:
                self.cores[target].apart[source] = Inbox(source)
                continue
            self.cores[target].inboxes.setdefault(source, Inbox(source)).data = int(edges.dmin[edge])
            room = int(edges.slots[edge] - edges.dmax[edge])
            self.cores[source].inboxes.setdefault(target, Inbox(target)).room = room
        pairs = pairs_of(mapping)
        spread = np.clip(pairs.lag - 1, 1, max(1, self.batch))
        for source, target, steps in zip(pairs.source.tolist(), pairs.target.tolist(), spread.tolist(), strict=True):
            self.cores[source].hears[target] = steps
            self.cores[source].told[target] = -1
        for number, stream in enumerate(self.streams):
            for sender in stream.senders.tolist():
                self.cores[sender].streams.append(number)
            for receiver in stream.receivers.tolist():
                core = self.cores[receiver]
                mine = stream.edges[edges.target[stream.edges] == receiver]
                core.tallies[number] = Tally(stream.lag, [core.apart[s] for s in edges.source[mine].tolist()])

    def post(self, action: Callable[[], None]) -> None:
        """Let something arrive later, and perhaps once more."""
        for _ in range(1 + (self.random.random() < self.faults.twice)):
            self.after(self.faults.latency, action)

    def after(self, longest: int, action: Callable[[], None]) -> None:
        self.serial += 1
        heapq.heappush(self.queue, (self.now + float(self.random.integers(1, longest + 1)), self.serial, action))

    def lacking(self, core: Core) -> tuple[int, str] | None:
        """From whom a core lacks what to start its next step; -1: a collector."""
        for inbox in core.inboxes.values():
            if what := inbox.lacks(core.started, self.last):
                return inbox.source, what
        for tally in core.tallies.values():
            if what := tally.lacks(core.started, self.last):
                return -1, what
        return None

    def wake(self, number: int) -> None:
        """Start a core's next step where it may."""
        core = self.cores[number]
        if core.done < core.started or core.started > self.last or self.lacking(core):
            return
        step = core.started
        for synapses in self.wiring.injected(number, step):
            core.slots.add(step, synapses)
        self.statistics.peak_slots = max(self.statistics.peak_slots, core.slots.used)
        core.fired = np.asarray(self.update(number, step, core.slots.take(step)), bool)
        core.started += 1
        self.after(self.faults.compute, partial(self.finish, number, step))

    def finish(self, number: int, step: int) -> None:
        """End a step: send its spikes, and say that it is over."""
        core, sent = self.cores[number], dict[int, list[int]]()
        neurons = core.slots.neurons[core.fired]
        self.fired[step].append(neurons)
        core.done = step + 1
        for neuron in neurons.tolist():
            for target in self.wiring.reach.get(neuron, {}):
                if target == number:
                    self.deliver(neuron, target, step)
                else:
                    sent.setdefault(target, []).append(neuron)
        for target, firing in sent.items():
            alone = number not in self.cores[target].apart
            first = core.told[target] + 1 if alone else step
            for index, neuron in enumerate(firing):
                end = End(first, step, len(firing)) if index == len(firing) - 1 else None
                self.statistics.spikes += 1
                self.post(partial(self.take_spike, number, target, Spike(step, index, neuron), end))
            if alone:
                core.told[target] = step
        for target, spread in core.hears.items():
            if step - core.told[target] >= spread:
                self.statistics.control += 1
                self.post(partial(self.take_end, number, target, End(core.told[target] + 1, step, 0)))
                core.told[target] = step
        for stream in core.streams:
            self.statistics.control += 1
            self.post(partial(self.gather, stream, number, step, set(sent)))
        self.wake(number)

    def deliver(self, neuron: int, target: int, step: int) -> None:
        """Put a spike into the slots of the steps in which it acts."""
        for delay in self.wiring.reach[neuron][target]:
            if step + delay <= self.last:
                self.cores[target].slots.add(step + delay, self.wiring.behind[neuron, target, delay])

    def take_spike(self, source: int, target: int, spike: Spike, end: End | None) -> None:
        """A spike arrives: put it into the slots of its steps. Raises ProtocolError where one is past, or not there."""
        core = self.cores[target]
        inbox = core.apart.get(source) or core.inboxes[source]
        if not inbox.spike(spike.step, spike.number):
            self.statistics.dropped += 1
        else:
            delays = self.wiring.reach[spike.neuron][target]
            first, last = spike.step + delays[0], min(spike.step + delays[-1], self.last)
            if first <= last and first < core.started:
                raise ProtocolError(target, core.started, f"a spike of core {source} for step {first} came late")
            if last - core.started >= core.limits[source]:
                room = f"{core.limits[source]} slots"
                raise ProtocolError(target, core.started, f"a spike of core {source} for step {last} overflows {room}")
            self.deliver(spike.neuron, target, spike.step)
        if end is not None:
            inbox.end(end)
        self.settle(target, source)

    def take_end(self, source: int, target: int, end: End) -> None:
        self.cores[target].inboxes[source].end(end)
        self.settle(target, source)

    def settle(self, target: int, source: int) -> None:
        """See what has become complete on a core, and let it start."""
        core = self.cores[target]
        if source in core.inboxes:
            core.inboxes[source].settle()
        for tally in core.tallies.values():
            tally.settle()
        self.wake(target)

    def gather(self, number: int, sender: int, step: int, targets: set[int]) -> None:
        """A member tells its collector; when all have, that tells the receivers."""
        stream, heard = self.streams[number], self.finished[number].setdefault(step, {})
        if sender in heard:
            self.statistics.dropped += 1
            return
        heard[sender] = targets
        if len(heard) < len(stream.senders):
            return
        for receiver in stream.receivers.tolist():
            edges = self.wiring.mapping.edges
            mine = set(edges.source[stream.edges[edges.target[stream.edges] == receiver]].tolist())
            senders = sum(receiver in heard[source] for source in mine)
            self.statistics.control += 1
            self.post(partial(self.take_go, number, receiver, step, senders))

    def take_go(self, number: int, receiver: int, step: int, senders: int) -> None:
        tally = self.cores[receiver].tallies[number]
        tally.go(step, senders)
        tally.settle()
        self.wake(receiver)

    def run(self) -> Raster:
        for core in range(len(self.cores)):
            self.wake(core)
        while self.queue:
            self.now, _, action = heapq.heappop(self.queue)
            action()
        if any(core.done <= self.last for core in self.cores):
            raise self.deadlock()
        given = self.wiring.played()
        return Raster.stacked([np.sort(np.concatenate([*f, p])) for f, p in zip(self.fired, given, strict=True)])

    def deadlock(self) -> DeadlockError:
        """Who waits for whom."""
        details, blocked = [], {}
        for number, core in enumerate(self.cores):
            if core.done <= self.last and (lack := self.lacking(core)):
                who = f"core {lack[0]}" if lack[0] >= 0 else "a collector"
                details.append(f"core {number} waits in step {core.started} for {lack[1]} from {who}")
                blocked[number] = lack[0]
        path = [next(iter(blocked))] if blocked else []
        while path and (following := blocked.get(path[-1], -1)) >= 0 and following not in path:
            path.append(following)
        if path and (following := blocked.get(path[-1], -1)) in path:
            path = path[path.index(following) :]
        return DeadlockError(path, details)


def execute(
    synapses: Synapses,
    inputs: Raster,
    mapping: Mapping,
    update: Update,
    *,
    policy: str = "dependency",
    faults: Faults | None = None,
    batch: int = FOREVER,
) -> tuple[Raster, Statistics]:
    """Run a network by messages. `inputs` holds the spikes of neurons on no core, and says how many steps there are.

    The policy `dependency` takes the mapping's groups as they are; `barrier` runs all cores in lockstep.
    """
    wiring = wiring_of(synapses, inputs, mapping)
    chosen = faults or Faults()
    if policy == "barrier":
        random = np.random.default_rng(chosen.seed)
        raster, sent, dropped = lockstep(wiring, update, random, chosen.twice)
        return raster, Statistics(spikes=sent, dropped=dropped)
    run = Run(wiring, update, chosen, batch)
    return run.run(), run.statistics
