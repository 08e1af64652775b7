"""A run as a trace that Perfetto (ui.perfetto.dev) and chrome://tracing open: one row a core.

    core 0  [step 0][step 1]        [step 2]
    core 1          [step 0][waits for core 0][step 1]

Events are written as they are made, so a trace may be larger than memory; what was written is valid JSON even if the
run that writes it ends early. Times are microseconds, as the format wants.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import numpy as np

from .paths import ITSELF, causes
from .waits import Waits

Event = dict[str, Any]


def events_of(
    waits: Waits, work: np.ndarray, finish: np.ndarray, names: Sequence[str], lockstep: np.ndarray
) -> Iterator[Event]:
    """The rows of nodes, then step by step what each computed, and what it waited for before that.

    `lockstep` bool: nodes, from the first on, that wait for a barrier.
    """
    steps, nodes = finish.shape
    for node in range(nodes):
        yield {"name": "thread_name", "ph": "M", "pid": 0, "tid": node, "args": {"name": names[node]}}
    cause = causes(waits, finish)
    before = np.concatenate((np.zeros((1, nodes)), finish[:-1])) if steps else finish
    start = finish - work
    for step in range(steps):
        for node in range(nodes):
            begin, gap = float(start[step, node]), float(start[step, node] - before[step, node])
            row = {"ph": "X", "pid": 0, "tid": node}
            if gap > 1e-6:
                wait = int(cause[step, node])
                met = "the barrier" if node < len(lockstep) and lockstep[node] else "links"
                reason = "waits for " + (met if wait == ITSELF else names[int(waits.before[wait])])
                yield row | {"name": reason, "cat": "wait", "ts": (begin - gap) / 1000, "dur": gap / 1000}
            took = float(work[step, node]) / 1000
            yield row | {
                "name": f"step {step}",
                "cat": "compute",
                "ts": begin / 1000,
                "dur": took,
                "args": {"step": step},
            }


def write_trace(out: TextIO, events: Iterator[Event]) -> int:
    """Write events as a JSON array, one a line; how many there were. The array is closed whatever happens."""
    count, separator = 0, "\n"
    out.write("[")
    try:
        for event in events:
            out.write(separator + json.dumps(event, separators=(",", ":")))
            separator = ",\n"
            count += 1
    finally:
        out.write("\n]\n")
    return count
