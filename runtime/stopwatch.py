"""How long each op of a program takes where it stands: its operands are as warm as what ran before left them.

    seconds(module, weights, args, "step", runs=9)  ->  {op: 0.00123, ..}

The program runs several times; of the half of the runs that was fastest in all, each op's median counts. So a pause of
the machine spoils one run and not the figures. On CUDA the stream's own clock is read.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from .devices import run_device
from .executor import Program

WARM_UP = 1
"""Runs that are not counted: kernels are chosen, memory is taken from the system."""
FEWEST, LONG = 3, 10.0
"""Runs that are counted at least, and seconds after which no more are begun."""


@dataclass
class Stopwatch:
    """An observer that times ops. `mark` notes a time, and `between` gives the seconds from one mark to another."""

    mark: Callable[[], Any]
    between: Callable[[Any, Any], float]
    running: list[Any] = field(default_factory=list)
    marks: list[tuple[Operation, Any, Any]] = field(default_factory=list)

    def begin(self, op: Operation, /) -> None:
        self.running.append(self.mark())

    def end(self, op: Operation, results: Sequence[Any], operands: Sequence[Any], /) -> None:
        stop = self.mark()
        self.marks.append((op, self.running.pop(), stop))

    def read(self) -> list[tuple[Operation, float]]:
        """Every op that ran with its seconds; the watch starts anew."""
        found = [(op, self.between(start, stop)) for op, start, stop in self.marks]
        self.marks.clear()
        return found


def stopwatch(device: torch.device | None) -> Stopwatch:
    """The watch of a device."""
    if device is None or device.type != "cuda":
        return Stopwatch(time.perf_counter, lambda start, stop: stop - start)

    def mark() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(device))
        return event

    def between(start: torch.cuda.Event, stop: torch.cuda.Event) -> float:
        stop.synchronize()
        return start.elapsed_time(stop) / 1000

    return Stopwatch(mark, between)


@torch.no_grad()
def seconds(
    module: ModuleOp,
    weights: Mapping[str, Tensor],
    args: Sequence[Any],
    function: str,
    runs: int = 9,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> dict[Operation, float]:
    """Seconds of each op of `function`; `progress(done, of)` is told of every run.

    Nothing is written, and the random streams are as before.
    """
    watch = stopwatch(run_device(weights, None))
    program = Program.build(module, weights, function, observer=watch)
    laps: list[list[tuple[Operation, float]]] = []
    start = time.monotonic()
    with torch.random.fork_rng():
        for run in range(WARM_UP + runs):
            if run >= WARM_UP + FEWEST and time.monotonic() - start > LONG:
                break
            program(args)
            laps.append(watch.read())
            progress(run + 1, WARM_UP + runs)
    counted = laps[WARM_UP:]
    quiet = sorted(counted, key=lambda lap: sum(taken for _, taken in lap))[: (len(counted) + 1) // 2]
    found: dict[Operation, list[float]] = {}
    for lap in quiet:
        for op, taken in lap:
            found.setdefault(op, []).append(taken)
    return {op: median(times) for op, times in found.items()}
