"""What a core keeps of what reaches it: slots of steps to come, and how far each sender is.

    slot     t+0  t+1  t+2  ...  K - 1     a spike of step s and delay d goes to slot (s + d) mod K
    from p   spikes of step s: 3 of 5      complete: up to step s - 1      finished: up to step s

A step of a sender is complete when its end was announced and as many distinct spikes came as that says: messages may
overtake each other, and may come twice.
"""

from dataclasses import dataclass, field

import numpy as np


class ProtocolError(Exception):
    """A rule of the protocol was broken: the mapping promised what its synapses do not keep."""

    def __init__(self, core: int, step: int, message: str):
        self.core, self.step = core, step
        super().__init__(f"core {core}, step {step}: {message}")


@dataclass(frozen=True)
class End:
    """Steps `first` to `last` of a sender are finished: `count` spikes in `last`, none in those before it."""

    first: int
    last: int
    count: int


@dataclass
class Inbox:
    """From one sender: `data` and `room` are the lags of what a core waits for, None where it does not."""

    source: int
    data: int | None = None
    room: int | None = None
    complete: int = -1
    finished: int = -1
    ends: dict[int, End] = field(default_factory=dict)
    came: dict[int, set[int]] = field(default_factory=dict)

    def spike(self, step: int, number: int) -> bool:
        """Take a spike; False where it came before."""
        if step <= self.complete or number in self.came.get(step, ()):
            return False
        self.came.setdefault(step, set()).add(number)
        return True

    def end(self, end: End) -> None:
        self.finished = max(self.finished, end.last)
        if end.last > self.complete:
            self.ends[end.first] = end

    def settle(self) -> None:
        """Advance over the steps of which everything is here."""
        while (end := self.ends.get(self.complete + 1)) and len(self.came.get(end.last, ())) == end.count:
            del self.ends[end.first]
            self.came.pop(end.last, None)
            self.complete = end.last

    def lacks(self, step: int, last: int) -> str:
        """What a core lacks from here to start a step of a run whose last step is `last`; nothing: ""."""
        if self.data is not None and self.complete < min(step - self.data, last):
            return f"spikes of step {step - self.data}"
        if self.room is not None and self.finished < min(step - self.room, last):
            return f"slots that step {min(step - self.room, last)} frees"
        return ""


@dataclass
class Tally:
    """From a collector: how many senders have spikes in each step, and how far all of them are."""

    lag: int
    inboxes: list[Inbox]
    expected: dict[int, int] = field(default_factory=dict)
    complete: int = -1

    def go(self, step: int, senders: int) -> None:
        if step > self.complete:
            self.expected[step] = senders

    def settle(self) -> None:
        """Advance over the steps that all senders finished and all of whose spikes are here."""
        while (step := self.complete + 1) in self.expected:
            whole = 0
            for inbox in self.inboxes:
                end = inbox.ends.get(step)
                whole += end is not None and len(inbox.came.get(step, ())) == end.count
            if self.inboxes and whole < self.expected[step]:
                return
            for inbox in self.inboxes:
                inbox.ends.pop(step, None)
                inbox.came.pop(step, None)
                inbox.complete = step
            del self.expected[step]
            self.complete = step

    def lacks(self, step: int, last: int) -> str:
        wanted = min(step - self.lag, last)
        return f"step {wanted} of all senders" if self.complete < wanted else ""


class Slots:
    """Currents of the steps to come, one slot a step. Integers are summed as they come; floats in synapse order."""

    def __init__(self, neurons: np.ndarray, place: np.ndarray, target: np.ndarray, weight: np.ndarray, slots: int):
        self.neurons, self.place, self.target, self.weight = neurons, place, target, weight
        self.exact = np.issubdtype(weight.dtype, np.integer)
        self.widen(slots)

    def widen(self, slots: int) -> None:
        """Have so many slots, all empty."""
        self.slots = slots
        self.sums = np.zeros((slots, len(self.neurons)), np.int64 if self.exact else self.weight.dtype)
        self.kept: list[list[np.ndarray]] = [[] for _ in range(slots)]

    def add(self, step: int, synapses: np.ndarray) -> None:
        """Let synapses act in a step."""
        self.kept[step % self.slots].append(synapses)
        if self.exact:
            np.add.at(self.sums[step % self.slots], self.place[self.target[synapses]], self.weight[synapses])

    def take(self, step: int) -> np.ndarray:
        """The current of each neuron in a step; its slot is free again."""
        slot = step % self.slots
        current = self.sums[slot].copy()
        if not self.exact and self.kept[slot]:
            synapses = np.sort(np.concatenate(self.kept[slot]))
            np.add.at(current, self.place[self.target[synapses]], self.weight[synapses])
        self.sums[slot] = 0
        self.kept[slot].clear()
        return current

    @property
    def used(self) -> int:
        return sum(map(bool, self.kept))
