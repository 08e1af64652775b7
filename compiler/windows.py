"""How long each collective of a step takes on the wire, and how much of that time other work can use.

    %p = comm.all_reduce ..   ->   %p = comm.all_reduce .. {comm.seconds = 2.0e-02 : f64, comm.efficiency = 0.93 : f64}

Each kind of collective runs some times alone, then with matrix products that take as long between start and wait: what
is saved over one after the other is hidden. All ranks take part, and count with the worst of them.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import distributed as dist
from xdsl.dialects.func import FuncOp

from ..dialects.aten import dims
from ..dialects.comm import Start, set_window
from ..dialects.diagnostics import UserError, place_of
from ..passes.split_random_ops import device_of
from ..runtime.dtypes import DTYPES
from ..runtime.kernels import bind
from ..runtime.kernels.collectives import process_group
from .ranks import starts

RUNS, WIDTH = 9, 192
"""How often something is timed, and the width of the square matrices multiplied meanwhile."""


def measure_windows(function: FuncOp) -> None:
    """Write on each start of `function` what its collective takes, and what of that other work can use."""
    device = torch.device(device_of(function))
    known: dict[tuple[object, ...], tuple[float, float]] = {}
    for start in starts(function):
        key = (start.name, *start.properties.items(), start.value.type)
        if key not in known:
            known[key] = Bench(start, device).window()
        set_window(start, *known[key])


class Bench:
    """Runs one collective, alone and beside other work, with the other ranks of its group."""

    def __init__(self, start: Start, device: torch.device):
        element = DTYPES[start.tensor.element_type]
        sizes = [size for size in dims(start.tensor) if isinstance(size, int)]
        if len(sizes) != len(dims(start.tensor)):
            raise UserError(f"the bytes of {start.tensor} are not known", place=place_of(start))
        send, land = bind(start, device.type), bind(start.wait, device.type)
        assert send is not None
        assert land is not None
        self.send, self.land, self.device, self.group = send, land, device, process_group(start.group.data)
        self.given = torch.zeros(sizes, dtype=element, device=device)
        self.matrix = torch.ones(WIDTH, WIDTH, device=device)

    @torch.no_grad()
    def window(self) -> tuple[float, float]:
        """Seconds on the wire, and the share of them hidden behind work that takes as long."""
        alone = self.seconds(lambda: self.land(self.send(self.given)))
        count = max(1, round(alone / self.seconds(lambda: self.work(1))))
        busy = self.seconds(lambda: self.work(count))
        together = self.seconds(lambda: self.both(count))
        hidden = (alone + busy - together) / min(alone, busy)
        return float(f"{alone:.1e}"), round(min(1.0, max(0.0, hidden)), 2)

    def work(self, count: int) -> None:
        """Products that read and write next to nothing."""
        for _ in range(count):
            torch.mm(self.matrix, self.matrix)

    def both(self, count: int) -> None:
        """The collective with products in between."""
        pending = self.send(self.given)
        self.work(count)
        self.land(pending)

    def seconds(self, run: Callable[[], Any]) -> float:
        """Seconds of a run that all ranks begin together: the median of the faster half, on the slowest rank."""
        found: list[float] = []
        for _ in range(RUNS):
            dist.barrier(self.group)
            self.finish()
            start = time.perf_counter()
            run()
            self.finish()
            found.append(time.perf_counter() - start)
        slowest = torch.tensor(median(sorted(found)[: (RUNS + 1) // 2]), dtype=torch.float64, device=self.device)
        dist.all_reduce(slowest, dist.ReduceOp.MAX, group=self.group)
        return slowest.item()

    def finish(self) -> None:
        """Return when the device has nothing to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
