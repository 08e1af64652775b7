"""A slow wire between ranks, for demonstrations and tests on one machine: what was sent lands no sooner than it would.

    with wire(latency=0.02, bandwidth=10e9):
        step(x, y)                            each collective takes 20 ms and what its bytes take, and then is there

Data goes through the process group as ever, and so do results. A wire brings one collective after another. The time
counts from the start on this rank, and the wait sleeps for what of it is left: work in between is hidden as it would be
behind a network card, but for the processor time that gloo itself takes. Nothing is slowed down outside the block.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from ..dialects.diagnostics import UserError


@dataclass
class Wire:
    """`latency` seconds for each collective and `bandwidth` bytes a second; `free` from when on; what `lands` when."""

    latency: float
    bandwidth: float
    free: float = 0.0
    lands: dict[int, float] = field(default_factory=dict)

    def send(self, tensor: torch.Tensor, size: float) -> None:
        """`tensor` is on its way from now on, as `size` bytes."""
        self.free = max(self.free, time.perf_counter()) + self.latency + size / self.bandwidth
        self.lands[id(tensor)] = self.free

    def receive(self, tensor: torch.Tensor) -> None:
        """Return when `tensor` has landed."""
        while (left := self.lands.get(id(tensor), 0.0) - time.perf_counter()) > 0:
            time.sleep(left)
        self.lands.pop(id(tensor), None)


CURRENT: list[Wire] = []
"""The wires that are in force, the last one counts."""


@contextmanager
def wire(latency: float = 0.0, bandwidth: float = float("inf")) -> Iterator[Wire]:
    """Let the collectives of compiled programs on this rank run over such a wire."""
    if latency < 0 or not bandwidth > 0:
        raise UserError(f"a wire has a latency from 0 on and a bandwidth above 0, got {latency} and {bandwidth}")
    CURRENT.append(Wire(latency, bandwidth))
    try:
        yield CURRENT[-1]
    finally:
        CURRENT.pop()
