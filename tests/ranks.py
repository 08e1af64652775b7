"""Two processes that compute together.

with Ranks() as ranks:
    ranks(worker, ..)        worker(rank, ..) in each of two processes, which are a gloo group
"""

import multiprocessing
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist


class Ranks:
    """Two processes that are a gloo group, for as long as the block lasts."""

    def __init__(self, count: int = 2):
        self.count = count
        self.folder = tempfile.TemporaryDirectory()
        self.pipes: list[Connection] = []
        self.processes: list[BaseProcess] = []

    def __enter__(self) -> "Ranks":
        context = multiprocessing.get_context("spawn")
        for rank in range(self.count):
            ours, theirs = context.Pipe()
            store = str(Path(self.folder.name, "store"))
            process = context.Process(target=serve, args=(rank, self.count, store, theirs), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)
        return self

    def __call__(self, worker: Callable[..., Any], *args: Any) -> list[Any]:
        """Run `worker(rank, *args)` in each process, for what it returns; what one of them raises is raised here."""
        for pipe in self.pipes:
            pipe.send((worker, args))
        told = [pipe.recv() for pipe in self.pipes]
        assert not any(error for error, _ in told), "\n".join(error for error, _ in told)
        return [result for _, result in told]

    def __exit__(self, *_: object) -> None:
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.kill()
            process.join()
        self.folder.cleanup()


def serve(rank: int, count: int, store: str, pipe: Connection) -> None:
    """One of the processes: run what it is told to, and tell what that raised."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{store}", timedelta(minutes=2), rank=rank, world_size=count)
    with suppress(EOFError):
        while True:
            worker, args = pipe.recv()
            try:
                result = worker(rank, *args)
                dist.barrier()
                pipe.send(("", result))
            except BaseException:
                pipe.send((f"rank {rank}: {traceback.format_exc()}", None))
