"""Where the storages of a training step may go when memory is short, and what that takes on this machine.

    offload="/scratch"  on a CPU     ->   Link("/scratch", out=1.1e9, back=2.3e9, latency=4.0e-05, efficiency=0.8)
    offload=True        on CUDA      ->   Link("host", ..)

On a CPU the device is the host, and the second tier a file in a folder that the user names. Storages of two sizes go
and come back some times, alone and beside matrix products that take as long; figures are kept per machine, as
`machine.py` keeps its rates. A file system that keeps what was written in memory is measured so.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..dialects.diagnostics import UserError
from ..dialects.tier import Link
from ..runtime.tier import folder_tier
from ..runtime.tier_cuda import host_tier
from .machine import cache_file, kept

HOST = "host"
SMALL, LARGE = 1 << 12, 1 << 23
RUNS, WIDTH, TOGETHER = 9, 192, 4
"""How often something is timed, the width of the matrices multiplied meanwhile, and how many storages move then."""


def link_to(offload: bool | str | Path | None, device: torch.device) -> Link | None:
    """The way that `offload` asks for, measured once; None for none. Raises UserError as `place_of_tier` does."""
    place = place_of_tier(offload, device)
    if place is None:
        return None
    tier: Any = host_tier(device) if place == HOST else folder_tier(place)
    name = hashlib.sha256(f"{place} {device}".encode()).hexdigest()[:8]
    rates = kept(cache_file(f"tier-{name}"), Link._fields[1:], Bench(tier, device).rates)
    return Link(place, **rates)


def place_of_tier(offload: bool | str | Path | None, device: torch.device) -> str | None:
    """The place of the second tier of `device`. Raises UserError where it has none of that kind."""
    if offload is None or offload is False:
        return None
    if not isinstance(offload, bool | str | Path):
        message = f"offload is a {type(offload).__name__}, expected True or a folder"
        raise UserError(message, hint="offload=True on a GPU, offload='/scratch' on a CPU")
    if device.type == "cuda":
        if offload is not True:
            raise UserError(f"what a GPU holds goes to its host, not to '{offload}'", hint="write offload=True")
        return HOST
    if device.type != "cpu":
        raise UserError(f"there is no second tier for a device of type '{device.type}'", hint="leave offload out")
    if offload is True:
        raise UserError(
            "on a CPU the device is the host: there is nowhere to go but into a file",
            hint="name a folder for it: offload='/scratch', --offload /scratch",
        )
    folder = Path(offload).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"offload names no folder: '{folder}'", hint="make it, or name another")
    return str(folder)


class Bench:
    """Moves storages of a device, alone and beside other work."""

    def __init__(self, tier: Any, device: torch.device):
        self.tier, self.device = tier, device
        self.matrix = torch.ones(WIDTH, WIDTH, device=device)

    @torch.no_grad()
    def rates(self) -> dict[str, float]:
        """Bytes a second out and back, seconds that each move takes more, and the share of speed of other work."""
        few, many = self.one(SMALL), self.one(LARGE)
        found = {
            "out": (LARGE - SMALL) / max(many[0] - few[0], 1e-9),
            "back": (LARGE - SMALL) / max(many[1] - few[1], 1e-9),
            "latency": max(few),
            "efficiency": self.efficiency(),
        }
        return {name: float(f"{value:.1e}") for name, value in found.items()}

    def one(self, size: int) -> tuple[float, float]:
        """Seconds of one storage out, and back, at the fastest."""
        given = torch.ones(size, dtype=torch.uint8, device=self.device)
        out, back = list[float](), list[float]()
        for _ in range(RUNS):
            start = self.now()
            parcel = self.tier.send(given)
            parcel.sent()
            middle = self.now()
            _, arriving = parcel.fetch()
            arriving.wait()
            end = self.now()
            out.append(middle - start)
            back.append(end - middle)
        return min(out), min(back)

    def efficiency(self) -> float:
        """The share of its speed at which other work runs beside moves."""
        given = [torch.ones(LARGE, dtype=torch.uint8, device=self.device) for _ in range(TOGETHER)]
        alone = self.seconds(lambda: self.both(given, 0))
        count = max(1, round(alone / self.seconds(lambda: self.work(10)) * 10))
        busy = self.seconds(lambda: self.work(count))
        together = self.seconds(lambda: self.both(given, count))
        return min(1.0, max(0.0, (alone + busy - together) / min(alone, busy)))

    def work(self, count: int) -> None:
        """Products that read and write next to nothing."""
        for _ in range(count):
            torch.mm(self.matrix, self.matrix)

    def both(self, given: list[torch.Tensor], count: int) -> None:
        """Storages go and come back, with products meanwhile."""
        parcels = [self.tier.send(tensor) for tensor in given]
        self.work(count // 2)
        for parcel in parcels:
            parcel.sent()
        coming = [parcel.fetch() for parcel in parcels]
        self.work(count - count // 2)
        for _, arriving in coming:
            arriving.wait()

    def seconds(self, run: Callable[[], object]) -> float:
        """Seconds of the fastest of some runs."""
        found = list[float]()
        for _ in range(RUNS):
            start = self.now()
            run()
            found.append(self.now() - start)
        return min(found)

    def now(self) -> float:
        """The time when the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
