"""Starts and waits of collectives, as torch's functional collectives have them: asynchronous, on the group's own thread
(gloo) or stream (NCCL). A pending value is the tensor that is being received.

Under a `wire` (see `wire.py`) it lands later.
"""

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch import distributed as dist

from ...dialects.comm import AllGatherOp, AllReduceOp, AllToAllOp, BroadcastOp, ReduceScatterOp, Start, WaitOp
from ...dialects.diagnostics import UserError, place_of
from ..wire import CURRENT
from .registry import kernel

Run: TypeAlias = Callable[[Tensor], Tensor]

PATIENCE = 1000
"""How often other threads are let run; gloo's needs to once."""


def functional() -> Any:
    """The ops; importing their module registers them for all devices."""
    import_module("torch.distributed._functional_collectives")
    return torch.ops._c10d_functional


def process_group(name: str) -> Any:
    """The group of that name. Raises RuntimeError where there is none."""
    return torch._C._distributed_c10d._resolve_process_group(name)  # pyright: ignore[reportAttributeAccessIssue]


def known_group(op: Start) -> str:
    """The name of the group that `op` runs in. Raises UserError where this process is in none of that name."""
    name = op.group.data
    try:
        process_group(name)
    except (RuntimeError, AttributeError) as error:
        hint = "start it first: torch.distributed.init_process_group(..)"
        message = f"this process belongs to no process group '{name}'"
        raise UserError(message, place=place_of(op), hint=hint) from error
    return name


def share(op: Start) -> float:
    """How many times the bytes that it gives, a rank sends in the usual rings."""
    ranks = dist.get_world_size(process_group(op.group.data))
    if isinstance(op, AllReduceOp):
        return 2 * (ranks - 1) / ranks
    return ranks - 1 if isinstance(op, AllGatherOp) else (ranks - 1) / ranks


def over_wire(op: Start, run: Run) -> Run:
    """`run`, whose result lands when a wire brings it."""
    times = share(op)

    def start(value: Tensor) -> Tensor:
        pending = run(value)
        if CURRENT:
            CURRENT[-1].send(pending, value.nbytes * times)
        return pending

    return start


CALLS: dict[type[Start], tuple[str, Callable[[Any], tuple[Any, ...]]]] = {
    AllReduceOp: ("all_reduce", lambda op: (op.reduction.data.value,)),
    AllGatherOp: ("all_gather_into_tensor", lambda op: (op.ranks.value.data,)),
    ReduceScatterOp: ("reduce_scatter_tensor", lambda op: (op.reduction.data.value, op.ranks.value.data)),
    AllToAllOp: ("all_to_all_single", lambda op: (list(op.takes.get_values()), list(op.sends.get_values()))),
    BroadcastOp: ("broadcast", lambda op: (op.source.value.data,)),
}
"""Of each start: torch's functional collective, and what that takes between the tensor and the group."""


def begin(op: Start) -> Run:
    """What starts a collective."""
    name, between_of = CALLS[type(op)]
    call, between, group = getattr(functional(), name).default, between_of(op), known_group(op)
    return over_wire(op, lambda value: call(value, *between, group))


for collective in CALLS:
    kernel(collective.name)(begin)


def let_go(value: Tensor) -> None:
    """Return when gloo's thread, which tells that it is done a moment before, holds `value` no more: else its memory
    would be there longer than the program says."""
    for _ in range(PATIENCE if value.device.type == "cpu" else 0):
        if value._use_count() <= 1:  # pyright: ignore[reportAttributeAccessIssue]
            return
        time.sleep(0)


@kernel("comm.wait")
def wait(op: WaitOp) -> Run:
    call = functional().wait_tensor.default

    def land(pending: Tensor, held: Tensor | None = None) -> Tensor:
        value = call(pending)
        let_go(value)
        if held is not None:
            let_go(held)
        if CURRENT:
            CURRENT[-1].receive(pending)
        return value

    return land
