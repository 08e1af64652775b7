"""Orders that split the backward pass, so that gradients of weights fill what would be stalls.

    zb-h1   the memory of 1F1B        zb-h2   nearly twice as much        zb-v   two chunks a device, down and up again

H1 and H2 keep the order of 1F1B, with more forward passes ahead in H2, and put gradients of weights where the next
task is not ready or has no room (Qi et al., Zero Bubble Pipeline Parallelism, arXiv 2401.10241). V does so with the
order of that paper's section 6, which has no stalls where all tasks take equally long. Where they do not, it may be
beaten by a greedy order, in which each device takes the best task that is ready, by one of a few rules: the best of
all is taken.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from .orders import Kind, Plan, Task, alternating, source_of

NOW = 1e-12
"""Times nearer than this are one."""


@dataclass(frozen=True)
class Durations:
    """Seconds of the parts of a micro-batch's work on a chunk, and between devices."""

    forward: Sequence[float]
    backward: Sequence[float]
    weights: Sequence[float]
    transfer: float = 0.0

    def of(self, task: Task) -> float:
        return {Kind.FORWARD: self.forward, Kind.BACKWARD: self.backward, Kind.WEIGHTS: self.weights}[task.kind][
            task.chunk
        ]


def zero_bubble_h1(devices: int, batches: int, durations: Durations) -> Plan:
    """As many forward passes ahead of their backward passes as 1F1B has: devices - d."""
    base = [in_turns(devices - d, d, batches) for d in range(devices)]
    return filled(base, range(devices), devices, durations)[1]


def zero_bubble_h2(devices: int, batches: int, durations: Durations) -> Plan:
    """Forward passes up to 2 (devices - d) - 1 ahead of their backward passes."""
    base = [in_turns(2 * (devices - d) - 1, d, batches) for d in range(devices)]
    return filled(base, range(devices), 2 * devices - 1, durations)[1]


def in_turns(ahead: int, chunk: int, batches: int) -> list[Task]:
    """`ahead` forward passes, then one backward for one forward."""
    forward, backward = ([Task(kind, k, chunk) for k in range(batches)] for kind in (Kind.FORWARD, Kind.BACKWARD))
    return [*alternating(min(ahead, batches) - 1, forward, backward)]


def down_and_up(device: int, devices: int, batches: int) -> list[Task]:
    """The published order of V without gradients of weights: a micro-batch runs down the devices and up again."""
    down, up = device, 2 * devices - 1 - device
    f_down, f_up, b_down, b_up = ((kind, chunk) for kind in (Kind.FORWARD, Kind.BACKWARD) for chunk in (down, up))
    after, rounds = devices - device, max(batches - up, device)
    order = [f_down] * (2 * after - 1) + [f_up, f_down] * device + [f_up, b_up] * after
    order += [f_down, b_down, f_up, b_up] * rounds
    order += [b_down, f_up, b_up] * (after - 1) + [b_down, b_up] * device + [b_down] * after
    counts, tasks = Counter[tuple[Kind, int]](), list[Task]()
    for kind, chunk in order:
        tasks.append(Task(kind, counts[kind, chunk], chunk))
        counts[kind, chunk] += 1
    return [task for task in tasks if task.batch < batches]


def filled(base: Sequence[list[Task]], place: Sequence[int], held: int, durations: Durations) -> tuple[float, Plan]:
    """A base order of each device, and gradients of weights between; the longest time from first to last on a device.

    At most `held` pairs of micro-batch and chunk are between their forward pass and the gradients of weights on one.
    """
    devices = [Filling(order, place, held, durations) for order in base]
    done: dict[Task, float] = {}
    while sum(device.advance(done) for device in devices):
        pass
    plan = Plan(tuple(tuple(device.found) for device in devices), tuple(place), split=True)
    return max(device.span(done) for device in devices), plan


@dataclass
class Filling:
    """A device: what of its base order is left, gradients of weights that wait, what was taken."""

    left: list[Task]
    place: Sequence[int]
    held: int
    durations: Durations
    waiting: list[Task] = field(default_factory=list)
    found: list[Task] = field(default_factory=list)
    free: float = 0.0
    holds: int = 0

    def span(self, done: dict[Task, float]) -> float:
        """Seconds from the first task to the last; infinite where not all could be taken."""
        if self.left:
            return float("inf")
        return self.free - done[self.found[0]] + self.durations.of(self.found[0]) if self.found else 0.0

    def advance(self, done: dict[Task, float]) -> bool:
        """Take tasks while it is known what comes next; whether there were any."""
        before = len(self.found)
        while (task := self.next(done)) is not None:
            self.take(task)
            done[task] = self.free
        return len(self.found) > before

    def next(self, done: dict[Task, float]) -> Task | None:
        """The next task of the base order if it is ready, else gradients; None while nobody knows when it will be."""
        first = self.waiting[0] if self.waiting else None
        if not self.left or (self.left[0].kind is Kind.FORWARD and self.holds == self.held):
            return first
        task = self.left[0]
        source = source_of(task, len(self.place))
        if source is not None and source not in done:
            return None
        arrived = 0.0
        if source is not None:
            moved = self.place[source.chunk] != self.place[task.chunk]
            arrived = done[source] + self.durations.transfer * moved
        if first is not None and arrived > self.free + NOW:
            return first
        self.free = max(self.free, arrived)
        return task

    def take(self, task: Task) -> None:
        self.free += self.durations.of(task)
        self.found.append(task)
        self.holds += {Kind.FORWARD: 1, Kind.BACKWARD: 0, Kind.WEIGHTS: -1}[task.kind]
        (self.waiting if task.kind is Kind.WEIGHTS else self.left).remove(task)
        if task.kind is Kind.BACKWARD:
            self.waiting.append(Task(Kind.WEIGHTS, task.batch, task.chunk))


Rule = Callable[[Task], tuple[int, ...]]
"""The task with the least goes first."""


def rules() -> list[Rule]:
    """Backward, forward or neither first; later chunks first, or earlier ones of all but forward passes."""

    def by(first: Kind | None, turn: int) -> Rule:
        kinds = {Kind.BACKWARD: 1, Kind.FORWARD: 1, Kind.WEIGHTS: 2} | ({} if first is None else {first: 0})
        return lambda t: (kinds[t.kind], (-1 if t.kind is Kind.FORWARD else turn) * t.chunk, t.batch)

    return [by(first, turn) for first in (Kind.BACKWARD, Kind.FORWARD, None) for turn in (-1, 1)]


def zero_bubble_v(devices: int, batches: int, durations: Durations) -> Plan:
    """Device d has chunks d and 2 devices - 1 - d, and holds at most `devices` micro-batches of both."""
    place = (*range(devices), *reversed(range(devices)))
    base = [down_and_up(d, devices, batches) for d in range(devices)]
    plans = [filled(base, place, 2 * devices, durations)]
    for rule in rules():
        for enters in (1, 2):
            run = Greedy(devices, batches, durations, rule, enters)
            plans.append((run.run(), Plan(tuple(map(tuple, run.found)), place, split=True)))
    return min(plans, key=itemgetter(0))[1]


@dataclass
class Greedy:
    """The state of all devices: what each could do from when on, when it is free, what it holds.

    A micro-batch that enters a device takes room there for `enters` of its two chunks, and leaves room for the other.
    """

    devices: int
    batches: int
    durations: Durations
    rule: Rule
    enters: int

    def __post_init__(self):
        self.found: list[list[Task]] = [[] for _ in range(self.devices)]
        self.ready: list[dict[Task, float]] = [{} for _ in range(self.devices)]
        self.holds, self.free = [0] * self.devices, [0.0] * self.devices
        self.ready[0] = {Task(Kind.FORWARD, batch, 0): 0.0 for batch in range(self.batches)}

    def run(self) -> float:
        """Take all tasks. The longest time from the first to the last on a device."""
        now, starts = 0.0, [float("inf")] * self.devices
        while True:
            for d in range(self.devices):
                while self.free[d] <= now + NOW and (task := self.choose(d, now)):
                    starts[d] = min(starts[d], now)
                    self.take(d, task, now)
            times = [*self.free, *(time for ready in self.ready for time in ready.values())]
            later = [time for time in times if time > now + NOW]
            if not later:
                left = any(self.ready)
                return float("inf") if left else max(e - s for e, s in zip(self.free, starts, strict=True))
            now = min(later)

    def choose(self, device: int, now: float) -> Task | None:
        ready = [t for t, since in self.ready[device].items() if since <= now + NOW and self.fits(device, t)]
        return min(ready, key=self.rule, default=None)

    def fits(self, device: int, task: Task) -> bool:
        """Whether memory has room for what a forward pass keeps and, where a micro-batch enters, for the rest of it."""
        if task.kind is not Kind.FORWARD:
            return True
        entering = task.chunk < self.devices
        reserved = 2 if entering else 2 - self.enters
        return self.holds[device] + reserved <= 2 * self.devices

    def take(self, device: int, task: Task, now: float) -> None:
        """Run a task: what it makes ready, here and elsewhere, and what it holds or gives back."""
        end = self.free[device] = max(self.free[device], now) + self.durations.of(task)
        self.found[device].append(task)
        del self.ready[device][task]
        last = 2 * self.devices - 1
        if task.kind is Kind.FORWARD:
            down = task.chunk < self.devices
            self.holds[device] += self.enters if down else 2 - self.enters
            kind, chunk = (Kind.FORWARD, task.chunk + 1) if task.chunk < last else (Kind.BACKWARD, last)
            self.offer(device, Task(kind, task.batch, chunk), end)
        elif task.kind is Kind.BACKWARD:
            self.offer(device, Task(Kind.WEIGHTS, task.batch, task.chunk), end)
            if task.chunk:
                self.offer(device, Task(Kind.BACKWARD, task.batch, task.chunk - 1), end)
        else:
            self.holds[device] -= 1

    def offer(self, device: int, task: Task, end: float) -> None:
        """A task can start at `end`, later where what it reads travels."""
        there = min(task.chunk, 2 * self.devices - 1 - task.chunk)
        self.ready[there][task] = end + self.durations.transfer * (there != device)
