"""What torch's allocator gives out while a program runs: the true peak, and what each op needs beside its results.

    found = allocations(module, weights, args, "step")
    found.peak             bytes at most, beyond what was there before
    found.workspace[op]    bytes at most inside the op, beyond what is there when it ends

On the CPU the profiler reports every allocation in order, and an allocation of a size of its own marks where each op
begins and ends. On CUDA the allocator keeps a peak itself; it counts blocks of 512 bytes. What libraries take past
torch's allocator (oneDNN's and cuBLAS's own scratch) is seen by neither. Nor is what gloo takes for a collective beside
its result, and gives back when its threads come to it: no two runs would be alike.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from ..dialects.comm import Start
from .devices import run_device
from .executor import Program

MARK = 1_048_583
"""Bytes of an allocation that marks a place: a prime, so that no tensor of wide elements is taken for one."""


@dataclass(frozen=True)
class Change:
    """Bytes that a thread was given at an address, or, negative, has given back."""

    size: int
    address: int
    thread: int


@dataclass
class Allocations:
    """Bytes at most, and in each op."""

    peak: int = 0
    workspace: dict[Operation, int] = field(default_factory=dict)


@dataclass
class Marker:
    """An observer that marks in the stream of allocations where ops begin and end."""

    marks: list[tuple[Operation, bool]] = field(default_factory=list)
    pending: dict[Operation, int] = field(default_factory=dict)

    def begin(self, op: Operation, /) -> None:
        self.mark(op, False)

    def end(self, op: Operation, results: Sequence[Any], operands: Sequence[Any], /) -> None:
        if isinstance(op, Start):
            self.pending[op] = results[0].untyped_storage().data_ptr()
        self.mark(op, True)

    def mark(self, op: Operation, ends: bool) -> None:
        self.marks.append((op, ends))
        torch.empty(MARK, dtype=torch.uint8)

    def read(self, changes: Sequence[Change]) -> Allocations:
        """What `changes`, in order, were in each op."""
        found, marks, live = Allocations(), iter(self.marks), 0
        inside: list[tuple[Operation, int]] = []
        scratch: set[int] = set()
        changes = list(of_one_thread(changes)) if self.pending else changes
        steps = iter(zip(changes, (*changes[1:], None), strict=True))
        for change, following in steps:
            if change.size == MARK and following and following.size == -MARK:
                next(steps)
                op, ends = next(marks)
                if not ends:
                    inside.append((op, live))
                    continue
                _, most = inside.pop()
                found.workspace[op] = max(found.workspace.get(op, 0), most - live)
                inside = [(other, max(above, most)) for other, above in inside]
                continue
            pending = self.pending.get(inside[-1][0]) if inside else None
            if not is_aside(change, scratch, pending is not None and pending != change.address):
                live += change.size
                inside = [(other, max(most, live)) for other, most in inside]
                found.peak = max(found.peak, live)
        return found


def of_one_thread(changes: Sequence[Change]) -> Iterator[Change]:
    """The changes of memory that the thread which marks was given."""
    thread = next(change.thread for change in changes if change.size == MARK)
    others: set[int] = set()
    return (change for change in changes if not is_aside(change, others, change.thread != thread))


def is_aside(change: Change, aside: set[int], here: bool) -> bool:
    """Is the memory of `change` left aside: given out where `here` says so, or given back of what was? `aside` are its
    addresses."""
    known = change.address in aside
    aside.discard(change.address)
    if change.size > 0 and here:
        aside.add(change.address)
    return here if change.size > 0 else known


@dataclass
class CudaMarker:
    """An observer that asks CUDA's allocator for its peak in each op."""

    found: Allocations = field(default_factory=Allocations)
    before: int = field(default_factory=torch.cuda.memory_allocated)

    def begin(self, op: Operation, /) -> None:
        torch.cuda.reset_peak_memory_stats()

    def end(self, op: Operation, results: Sequence[Any], operands: Sequence[Any], /) -> None:
        most, live = torch.cuda.max_memory_allocated(), torch.cuda.memory_allocated()
        self.found.peak = max(self.found.peak, most - self.before)
        self.found.workspace[op] = max(self.found.workspace.get(op, 0), most - live)


@torch.no_grad()
def allocations(module: ModuleOp, weights: Mapping[str, Tensor], args: Sequence[Any], function: str) -> Allocations:
    """What one run takes, after one that is not counted. Nothing is written, and the random streams are as before."""
    device = run_device(weights, None)
    on_cuda = device is not None and device.type == "cuda"
    with torch.random.fork_rng():
        Program.build(module, weights, function, observer=Marker())(args)
        if on_cuda:
            watch = CudaMarker()
            Program.build(module, weights, function, observer=watch)(args)
            return watch.found
        marker = Marker()
        program = Program.build(module, weights, function, observer=marker)
        return marker.read(all_changes(lambda: program(args)))


def changes(run: Callable[[], object]) -> list[int]:
    """The bytes that `run` has given out and taken back by torch's allocator of CPU memory, in order."""
    return [change.size for change in all_changes(run)]


def all_changes(run: Callable[[], object]) -> list[Change]:
    """What `run` has given out and taken back by torch's allocator of CPU memory, in order."""
    with quiet_profiler(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        kept = run()
    results = profiler.profiler and profiler.profiler.kineto_results
    assert results is not None
    del kept
    found = sorted(allocated(results.experimental_event_tree()), key=itemgetter(0))
    return [change for _, change in found]


def allocated(events: Iterable[Any]) -> Iterator[tuple[int, Change]]:
    """When memory was given out and taken back in `events` of the profiler and within them."""
    waiting = list(events)
    while waiting:
        event = waiting.pop()
        waiting += event.children
        if event.tag == _EventType.Allocation:
            memory = event.extra_fields
            yield event.start_time_ns, Change(memory.alloc_size, memory.ptr, event.start_tid)


@contextmanager
def quiet_profiler() -> Iterator[None]:
    """The profiler's library writes what it does to stderr, unless this is set as it starts."""
    name = "KINETO_LOG_LEVEL"
    before = os.environ.get(name)
    os.environ[name] = before or "6"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
