"""What a device has for a step: `memory_budget="device"`.

    CUDA    free on the device, or held by torch for nothing     \\
    CPU     available, or left of the control group's limit      / less a tenth, and what weights and batch hold already

Ranks that run on one device, or on the processors of one machine, share it evenly; all count with the least.
"""

import socket
from pathlib import Path

import torch

from ..dialects.diagnostics import UserError

DEVICE = "device"
"""The budget of this name."""
RESERVE = 0.1
"""The share of what is free that is left to others, and to what no allocator tells of."""


def place(device: torch.device) -> str:
    """What ranks share that have the same."""
    found = f"{socket.gethostname()} {device.type}"
    return f"{found} {torch.cuda.get_device_properties(device).uuid}" if device.type == "cuda" else found


def free_bytes(device: torch.device) -> int:
    """Bytes that a step may take now beyond what is there. Raises UserError where nothing tells."""
    if device.type == "cuda":
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return usable(torch.cuda.mem_get_info(device)[0] + idle)
    if device.type != "cpu":
        raise UserError(f"what is free on '{device}' is not known", hint='memory_budget="8GiB"')
    return usable(available())


def usable(free: int) -> int:
    """What is free, less the reserve."""
    return int(free * (1 - RESERVE))


def available(root: Path = Path("/")) -> int:
    """Bytes of main memory that this process can get: of the machine's, and within the limits of its control groups."""
    lines = [line.split() for line in text(root / "proc/meminfo").splitlines()]
    found = [int(words[1]) * 1024 for words in lines if words[:1] == ["MemAvailable:"]]
    found += [left for folder in control_groups(root) if (left := left_of(folder)) is not None]
    if not found:
        raise UserError("how much memory is available is not known on this system", hint='memory_budget="8GiB"')
    return max(0, min(found))


def control_groups(root: Path) -> list[Path]:
    """The folders of this process's control groups of memory, and of those around them."""
    found: list[Path] = []
    for line in text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
            own = top / path.lstrip("/")
            found += [own, *(folder for folder in own.parents if folder.is_relative_to(top))]
    return found


def left_of(folder: Path) -> int | None:
    """What a control group leaves of its limit, with files that can be dropped; None where it has none."""
    for limit, usage, key in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        most, now = text(folder / limit).strip(), text(folder / usage).strip()
        if most.isdigit() and now.isdigit():
            stat = dict(line.split()[:2] for line in text(folder / "memory.stat").splitlines())
            return int(most) - int(now) + int(stat.get(key, 0))
    return None


def text(path: Path) -> str:
    """What a file holds; nothing where there is none."""
    try:
        return path.read_text()
    except OSError:
        return ""
