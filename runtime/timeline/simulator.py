"""When each device works on what, how long all takes, and what memory holds meanwhile.

    device 1   F0 F1 [rebuilds for 0] B0 F2 [waits] B1 ..

A task starts when its device is free and what it reads has arrived. While a device waits, and in the windows of a
forward pass that a backward pass follows, it rebuilds what the next backward pass would recompute, as far as there is
memory: see `passes/solvers/recompute_stage.py`, whose costs these are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .orders import Kind, Plan, Task, source_of


class Early(Protocol):
    """A first part of what is recomputed, run early; see `passes/solvers/recompute_stage.py`."""

    @property
    def seconds(self) -> float: ...
    @property
    def backward(self) -> float: ...
    @property
    def held(self) -> int: ...
    @property
    def peak(self) -> int: ...


class Work(Protocol):
    """What a micro-batch costs on a chunk; see `passes/solvers/recompute_stage.py`."""

    @property
    def forward(self) -> float: ...
    @property
    def recompute(self) -> float: ...
    @property
    def kept(self) -> int: ...
    @property
    def forward_peak(self) -> int: ...
    @property
    def early(self) -> Sequence[Early]: ...
    @property
    def hosted(self) -> int: ...
    @property
    def hosting(self) -> float: ...
    @property
    def weights(self) -> float: ...
    @property
    def deferred(self) -> int: ...
    @property
    def weights_peak(self) -> int: ...


@dataclass(frozen=True)
class Event:
    """A task on a device. In `stalls`, from when to when, its values were rebuilt; `exposed` seconds of the task are
    recomputation, and `hosted` seconds of it were hidden in a forward pass before."""

    task: Task
    start: float
    end: float
    stalls: tuple[tuple[float, float], ...] = ()
    exposed: float = 0.0
    hosted: float = 0.0

    @property
    def rebuilt(self) -> float:
        """Seconds of recomputation in stalls."""
        return sum(end - start for start, end in self.stalls)


@dataclass(frozen=True)
class Timeline:
    """The events of each device in order, and its memory: (time, bytes from then on), static ones not among them."""

    plan: Plan
    events: tuple[tuple[Event, ...], ...]
    memory: tuple[tuple[tuple[float, int], ...], ...]

    @property
    def makespan(self) -> float:
        """Seconds from the first start to the last end."""
        return max((events[-1].end for events in self.events if events), default=0.0)

    @property
    def period(self) -> float:
        """Seconds from one step to the next where devices need not wait for each other between: the longest span."""
        return max((events[-1].end - events[0].start for events in self.events if events), default=0.0)

    def peak(self, device: int) -> int:
        """The most bytes of activations and gradients."""
        return max((size for _, size in self.memory[device]), default=0)


@dataclass
class Device:
    """The state of one device while tasks are placed.

    Of the backward pass that comes next, the first part `early` is rebuilt, some in `stalls`, some `hosted`.
    """

    limit: float
    free: float = 0.0
    held: int = 0
    at: int = 0
    early: int = 0
    stalls: tuple[tuple[float, float], ...] = ()
    hosted: float = 0.0
    events: list[Event] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])


def simulate(
    plan: Plan, work: Sequence[Work], *, transfer: float = 0.0, limits: Sequence[float] = (), fill: bool = True,
    host: bool = True,
) -> Timeline:  # fmt: skip
    """Run a plan: `work` of each chunk, `transfer` seconds between devices, `limits` bytes for activations on each.

    `fill`: stalls rebuild what the next backward pass recomputes; `host`: windows of forward passes do. What does not
    fit in memory is not rebuilt early; whether the plan itself fits is told by `Timeline.peak`.
    """
    run = Run(plan, work, transfer, [Device(limit) for limit in limits or [float("inf")] * plan.devices], fill, host)
    while any(run.advance(d) for d in range(plan.devices)):
        pass
    stuck = [d for d, device in enumerate(run.devices) if device.at < len(plan.orders[d])]
    if stuck:
        task = plan.orders[stuck[0]][run.devices[stuck[0]].at]
        raise ValueError(f"device {stuck[0]} waits for ever: nobody makes what {task} reads")
    return Timeline(plan, tuple(tuple(d.events) for d in run.devices), tuple(tuple(d.memory) for d in run.devices))


@dataclass
class Run:
    """A simulation under way: when each task was done."""

    plan: Plan
    work: Sequence[Work]
    transfer: float
    devices: list[Device]
    fill: bool
    host: bool
    done: dict[Task, float] = field(default_factory=dict)

    def advance(self, number: int) -> bool:
        """Place tasks of a device while what they read is known; whether there were any."""
        device, order = self.devices[number], self.plan.orders[number]
        before = device.at
        while device.at < len(order) and (arrived := self.arrival(order[device.at])) is not None:
            task = order[device.at]
            following = order[device.at + 1] if device.at + 1 < len(order) else None
            {Kind.FORWARD: self.forward, Kind.BACKWARD: self.backward, Kind.WEIGHTS: self.weights}[task.kind](
                device, task, arrived, following
            )
            self.done[task] = device.free
            device.at += 1
        return device.at > before

    def arrival(self, task: Task) -> float | None:
        """When all that a task reads is there; None where it is not known yet."""
        source = source_of(task, len(self.work))
        if source is None:
            return 0.0
        made = self.done.get(source)
        if made is None:
            return None
        return made + self.transfer * (self.plan.place[source.chunk] != self.plan.place[task.chunk])

    def forward(self, device: Device, task: Task, arrived: float, following: Task | None) -> None:
        """A forward pass. The backward pass that follows is prepared before, in a stall, and in its windows."""
        work, start, extra, ahead = self.work[task.chunk], max(device.free, arrived), 0.0, 0
        if following and following.kind is Kind.BACKWARD and self.is_begun(following):
            own, room = self.work[following.chunk], device.limit - device.held - work.forward_peak
            if self.fill:
                self.prepare(device, own, start - device.free, room)
            if self.host and own.hosted > device.early and own.early[own.hosted].held <= room:
                device.hosted = own.early[own.hosted].seconds - own.early[device.early].seconds
                device.early, extra = own.hosted, own.hosting
            ahead = own.early[device.early].held
        end = start + work.forward + extra
        device.memory.append((start, device.held + ahead + work.forward_peak))
        device.held += work.kept
        device.memory.append((end, device.held + ahead))
        device.events.append(Event(task, start, end))
        device.free = end

    def is_begun(self, task: Task) -> bool:
        """Whether the forward pass of what a backward pass reads is over."""
        return Task(Kind.FORWARD, task.batch, task.chunk) in self.done

    def prepare(self, device: Device, work: Work, gap: float, room: float) -> None:
        """Rebuild in a stall of `gap` seconds as much as it and `room` bytes allow."""
        fit = (n for n, early in enumerate(work.early) if early.seconds <= gap and early.held <= room)
        device.early = max(fit, default=0)
        if device.early:
            device.stalls = ((device.free, device.free + work.early[device.early].seconds),)

    def backward(self, device: Device, task: Task, arrived: float, following: Task | None) -> None:
        """A backward pass, and as much of its recomputation before the gradient is there as makes it end first."""
        work, at = self.work[task.chunk], device.early
        others, spent = device.held - work.kept, work.early[at].seconds
        choices = [at]
        if self.fill and arrived > device.free:
            choices += [n for n in range(at + 1, len(work.early)) if others + work.early[n].peak <= device.limit]

        def end_of(n: int) -> float:
            return max(arrived, device.free + work.early[n].seconds - spent) + work.early[n].backward

        best = min(choices, key=end_of)
        early, ran = work.early[best], work.early[best].seconds - spent
        start, end = max(arrived, device.free + ran), end_of(best)
        if ran:
            device.memory.append((start - ran, device.held + early.held))
            device.stalls += ((start - ran, start),)
        exposed = early.backward - (work.early[0].backward - work.recompute)
        device.events.append(Event(task, start, end, device.stalls, exposed, device.hosted))
        device.early, device.stalls, device.hosted = 0, (), 0.0
        device.memory.append((start, others + early.peak))
        device.held = others + (work.deferred if self.plan.split else 0)
        device.memory.append((end, device.held))
        device.free = end

    def weights(self, device: Device, task: Task, arrived: float, following: Task | None) -> None:
        """The gradients of weights that a split backward pass left."""
        work = self.work[task.chunk]
        others, start = device.held - work.deferred, max(device.free, arrived)
        device.memory.append((start, others + work.weights_peak))
        device.held, device.free = others, start + work.weights
        device.memory.append((device.free, others))
        device.events.append(Event(task, start, device.free))
