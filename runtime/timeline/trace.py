"""A training step as a trace that Perfetto (ui.perfetto.dev) and chrome://tracing open: a row and a curve a device.

device 0  [F0][F1][rebuild 0][B0]..          memory 0  ___/--\\__
"""

from collections.abc import Iterator, Sequence
from typing import Any

from .orders import Kind
from .simulator import Event, Timeline

NAMES = {Kind.FORWARD: "forward", Kind.BACKWARD: "backward", Kind.WEIGHTS: "weights"}


def events_of(timeline: Timeline, static: Sequence[int]) -> Iterator[dict[str, Any]]:
    """What each device does when, and its bytes of memory, `static` ones among them."""
    for device, (events, memory) in enumerate(zip(timeline.events, timeline.memory, strict=True)):
        yield {"name": "thread_name", "ph": "M", "pid": 0, "tid": device, "args": {"name": f"device {device}"}}
        for event in events:
            yield from spans(device, event)
        for time, size in memory:
            yield {"name": f"memory {device}", "ph": "C", "pid": 0, "ts": time * 1e6,
                   "args": {"GiB": round((static[device] + size) / 2**30, 4)}}  # fmt: skip


def spans(device: int, event: Event) -> Iterator[dict[str, Any]]:
    """A task, and before it what it rebuilt in a stall just then."""
    task, row = event.task, {"ph": "X", "pid": 0, "tid": device}
    told = {"micro-batch": task.batch, "chunk": task.chunk}
    for start, end in event.stalls:
        yield row | {"name": f"rebuild {task.batch}", "cat": "rebuild", "ts": start * 1e6, "dur": (end - start) * 1e6,
                     "args": told}  # fmt: skip
    if task.kind is Kind.BACKWARD:
        told |= {
            "recomputed here, s": event.exposed,
            "in stalls, s": event.rebuilt,
            "in forward windows, s": event.hosted,
        }
    yield row | {"name": f"{task.kind}{task.batch}", "cat": NAMES[task.kind], "ts": event.start * 1e6,
                 "dur": (event.end - event.start) * 1e6, "args": told}  # fmt: skip
