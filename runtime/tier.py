"""A second tier of memory, to which storages go and from which they come back while a program computes.

    parcel = folder_tier("/scratch").send(x)       x may be read, not written
    parcel.sent()                                  returns when its bytes are there: x may go
    y, arriving = parcel.fetch()                   takes memory
    arriving.wait()                                returns when y is what x was, laid out as x was

On a CPU the second tier is a file without a name, read and written by a thread of its own, one storage after another:
it is gone with the last program that uses it, however the process ends. On CUDA it is the host's memory (`tier_cuda`).
"""

import ctypes
import os
import tempfile
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, BinaryIO, NamedTuple, Protocol

import torch
from torch import Tensor

from ..dialects.diagnostics import UserError


class Wait(Protocol):
    """Something that ends."""

    def wait(self) -> None: ...


class Layout(NamedTuple):
    """How a tensor lies in a storage of `size` bytes."""

    size: int
    dtype: torch.dtype
    offset: int
    shape: torch.Size
    stride: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> "Layout":
        storage = tensor.untyped_storage()
        return cls(storage.nbytes(), tensor.dtype, int(tensor.storage_offset()), tensor.shape, tensor.stride())

    def over(self, storage: torch.UntypedStorage) -> Tensor:
        """A tensor that lies so in `storage`."""
        empty = torch.empty(0, dtype=self.dtype, device=storage.device)
        return empty.set_(storage, self.offset, self.shape, self.stride)  # pyright: ignore[reportArgumentType]


@dataclass(eq=False)
class Job:
    """Bytes of a storage that a thread writes to a file, or reads from it. It holds the storage until it is done."""

    storage: torch.UntypedStorage | None
    size: int
    offset: int
    copy: Callable[[int, list[memoryview], int], int]
    folder: str
    done: threading.Event = field(default_factory=threading.Event)
    error: OSError | None = None

    def run(self, file: int) -> None:
        assert self.storage is not None
        try:
            self.move(file, self.storage.data_ptr())
        except OSError as error:
            self.error = error
        self.storage = None
        self.done.set()

    def move(self, file: int, address: int) -> None:
        """Copy all bytes, in as many parts as the system takes."""
        bytes = memoryview((ctypes.c_char * self.size).from_address(address)).cast("B")
        at = 0
        while at < self.size:
            moved = self.copy(file, [bytes[at:]], self.offset + at)
            if not moved:
                raise OSError("the file is shorter than what was written to it")
            at += moved

    def wait(self) -> None:
        """Return when it is done. Raises UserError where the file could not be written or read."""
        self.done.wait()
        if self.error is not None:
            message = f"{self.size:,} bytes could not be moved to or from '{self.folder}': {self.error.strerror}"
            hint = "give `offload` a folder with more room, or leave it out; weights and gradients are as before"
            raise UserError(message, hint=hint) from self.error


class Parcel:
    """A storage in a file, or on its way there; its place in the file serves others when nobody has this any more."""

    def __init__(self, tier: "FolderTier", tensor: Tensor):
        self.tier, self.layout = tier, Layout.of(tensor)
        self.offset = tier.take(self.layout.size)
        weakref.finalize(self, tier.unused[self.layout.size].append, self.offset).atexit = False
        self.job = self.put(tensor.untyped_storage(), os.pwritev)

    def put(self, storage: torch.UntypedStorage, copy: Callable[[int, list[memoryview], int], int]) -> Job:
        job = Job(storage, self.layout.size, self.offset, copy, self.tier.folder)
        self.tier.queue.put(job)
        return job

    def sent(self) -> None:
        self.job.wait()

    def fetch(self) -> tuple[Tensor, Wait]:
        tensor = self.layout.over(torch.UntypedStorage(self.layout.size))
        return tensor, self.put(tensor.untyped_storage(), os.preadv)


class FolderTier:
    """A file in `folder`, and the thread that serves it. Raises UserError where none can be made there."""

    def __init__(self, folder: str):
        self.folder, self.end = folder, 0
        self.unused: defaultdict[int, list[int]] = defaultdict(list)
        self.lock, self.queue = threading.Lock(), SimpleQueue[Job | None]()
        try:
            file: Any = tempfile.TemporaryFile(prefix="gossamer-", dir=folder, buffering=0)  # noqa: SIM115 (`serve` closes)
        except OSError as error:
            message = f"no file can be made in '{folder}': {error.strerror}"
            raise UserError(message, hint="offload= names a folder that can be written") from error
        threading.Thread(target=serve, args=(self.queue, file), name="gossamer-offload", daemon=True).start()
        weakref.finalize(self, self.queue.put, None)

    def take(self, size: int) -> int:
        """Where in the file `size` bytes can go. Whoever had the place before is done when the thread comes to it."""
        try:
            return self.unused[size].pop()
        except IndexError:
            with self.lock:
                self.end += size
                return self.end - size

    def send(self, tensor: Tensor) -> Parcel:
        """Begin to write the storage of `tensor`."""
        return Parcel(self, tensor)


def serve(queue: SimpleQueue, file: BinaryIO) -> None:
    """Do jobs in their order, until there is None."""
    with file:
        while (job := queue.get()) is not None:
            job.run(file.fileno())
            del job


TIERS: weakref.WeakValueDictionary[str, FolderTier] = weakref.WeakValueDictionary()


def folder_tier(folder: str) -> FolderTier:
    """The tier of a folder: one for all programs of this process."""
    tier = TIERS.get(folder)
    if tier is None:
        tier = TIERS[folder] = FolderTier(folder)
    return tier
