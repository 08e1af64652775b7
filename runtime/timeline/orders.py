"""In which order each device works on which part of which micro-batch.

1f1b, 3 devices, 4 micro-batches         interleaved: device d has chunks d, d + devices, ..
0   F0 F1 F2 B0 F3 B1 B2 B3              zb-v: device d has chunks d and 2 devices - 1 - d
1   F0 F1 B0 F2 B1 F3 B2 B3
2   F0 B0 F1 B1 F2 B2 F3 B3              gpipe: all F, then all B
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The parts of a micro-batch's work on a chunk: forward, backward, and of a split backward pass what can wait."""

    FORWARD = "F"
    BACKWARD = "B"
    WEIGHTS = "W"


@dataclass(frozen=True)
class Task:
    """One part of the work of a micro-batch on a chunk. Chunks are numbered in the model's order."""

    kind: Kind
    batch: int
    chunk: int


def source_of(task: Task, chunks: int) -> Task | None:
    """The task that makes what this one reads; None for the first of a micro-batch."""
    if task.kind is Kind.WEIGHTS:
        return Task(Kind.BACKWARD, task.batch, task.chunk)
    if task.kind is Kind.FORWARD:
        return Task(Kind.FORWARD, task.batch, task.chunk - 1) if task.chunk else None
    if task.chunk + 1 == chunks:
        return Task(Kind.FORWARD, task.batch, task.chunk)
    return Task(Kind.BACKWARD, task.batch, task.chunk + 1)


@dataclass(frozen=True)
class Plan:
    """The tasks of each device in order, and the device of each chunk."""

    orders: tuple[tuple[Task, ...], ...]
    place: tuple[int, ...]
    split: bool = False

    @property
    def devices(self) -> int:
        return len(self.orders)

    def in_flight(self, device: int) -> int:
        """So many (micro-batch, chunk) pairs are at most between their first part and their last, both included."""
        last, most, now = Kind.WEIGHTS if self.split else Kind.BACKWARD, 0, 0
        for task in self.orders[device]:
            now += task.kind is Kind.FORWARD
            most = max(most, now)
            now -= task.kind is last
        return most


def forwards(order: Iterator[tuple[int, int]]) -> Iterator[Task]:
    return (Task(Kind.FORWARD, batch, chunk) for batch, chunk in order)


def backwards(order: Iterator[tuple[int, int]]) -> Iterator[Task]:
    return (Task(Kind.BACKWARD, batch, chunk) for batch, chunk in order)


def alternating(ahead: int, first: list[Task], second: list[Task]) -> tuple[Task, ...]:
    """`ahead` of the first, then one of each in turns, then what is left of the second."""
    order = first[:ahead]
    for forward, backward in zip(first[ahead:], second, strict=False):
        order += [forward, backward]
    return (*order, *second[len(first) - ahead :])


def gpipe(devices: int, batches: int) -> Plan:
    """All forward passes, then all backward passes."""
    pairs = range(batches)
    orders = tuple((*forwards((k, d) for k in pairs), *backwards((k, d) for k in pairs)) for d in range(devices))
    return Plan(orders, tuple(range(devices)))


def one_forward_one_backward(devices: int, batches: int) -> Plan:
    """As many forward passes as devices follow, then one backward for one forward."""
    orders = []
    for d in range(devices):
        pairs = [(k, d) for k in range(batches)]
        orders.append(alternating(min(devices - 1 - d, batches), [*forwards(iter(pairs))], [*backwards(iter(pairs))]))
    return Plan(tuple(orders), tuple(range(devices)))


def interleaved(devices: int, batches: int, chunks: int) -> Plan:
    """1F1B over `chunks` parts of the model on each device, micro-batches in groups of as many as devices."""
    if batches % devices:
        raise ValueError(f"interleaving takes micro-batches in groups of {devices}: {batches} are no multiple of that")
    total = batches * chunks
    orders = []
    for d in range(devices):
        first = [
            (k // (devices * chunks) * devices + k % devices, k % (devices * chunks) // devices) for k in range(total)
        ]
        forward = [*forwards((batch, chunk * devices + d) for batch, chunk in first)]
        backward = [*backwards((batch, (chunks - 1 - chunk) * devices + d) for batch, chunk in first)]
        ahead = min(2 * (devices - d - 1) + (chunks - 1) * devices, total)
        orders.append(alternating(ahead, forward, backward))
    return Plan(tuple(orders), tuple(range(devices)) * chunks)


FIXED: dict[str, Callable[[int, int], Plan]] = {"gpipe": gpipe, "1f1b": one_forward_one_backward}
"""Schedules that do not depend on how long tasks take."""
