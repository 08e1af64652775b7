"""The host's memory as the second tier of a CUDA device: pinned buffers, and a stream that copies.

    send     on the copy stream, after what the current stream was given so far: device -> pinned
    fetch    the same, pinned -> device: what was given back to the allocator may still be read on the current stream
    sent, wait    the current stream waits for the copy

One stream serves both directions, so copies run one after another. The current stream, on which memory is taken and
given back, waits for each copy before that: the allocator needs to know nothing. Pinned buffers come from torch's
allocator of such memory, which keeps them until their copies are done.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from .tier import Layout


@dataclass
class Copied:
    """A copy under way; `wait` makes the current stream wait for it."""

    tier: "HostTier"
    event: torch.cuda.Event

    def wait(self) -> None:
        torch.cuda.current_stream(self.tier.device).wait_event(self.event)
        self.tier.held.pop(self.event, None)


class HostParcel:
    """A storage in pinned memory, or on its way there."""

    def __init__(self, tier: "HostTier", tensor: Tensor):
        self.tier, self.layout = tier, Layout.of(tensor)
        storage = tensor.untyped_storage()
        self.host = torch.empty(self.layout.size, dtype=torch.uint8, pin_memory=True).untyped_storage()
        self.copied = tier.copy(self.host, storage, storage)

    def sent(self) -> None:
        self.copied.wait()

    def fetch(self) -> tuple[Tensor, Copied]:
        storage = torch.empty(self.layout.size, dtype=torch.uint8, device=self.tier.device).untyped_storage()
        return self.layout.over(storage), self.tier.copy(storage, self.host, storage)


class HostTier:
    """Copies of one device. `held` keeps device memory that a copy uses, should nobody come to wait for it."""

    def __init__(self, device: torch.device):
        self.device, self.stream = device, torch.cuda.Stream(device)
        self.held: dict[torch.cuda.Event, torch.UntypedStorage] = {}

    def send(self, tensor: Tensor) -> HostParcel:
        """Begin to copy the storage of `tensor`."""
        return HostParcel(self, tensor)

    def copy(self, to: torch.UntypedStorage, source: torch.UntypedStorage, held: torch.UntypedStorage) -> Copied:
        """Begin a copy after all that the current stream was given."""
        self.held = {event: storage for event, storage in self.held.items() if not event.query()}
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            to.copy_(source, non_blocking=True)
            event = torch.cuda.Event()
            event.record(self.stream)
        self.held[event] = held
        return Copied(self, event)


@cache
def host_tier(device: torch.device) -> HostTier:
    """The tier of a device."""
    return HostTier(device)
