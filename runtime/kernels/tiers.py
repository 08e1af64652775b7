"""Storages that go to a second tier and come back. What is pending is the tensor with what it waits for."""

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor

from ...dialects.tier import FetchedOp, FetchOp, OffloadedOp, OffloadOp
from ..tier import Wait, folder_tier
from ..tier_cuda import host_tier
from .registry import kernel

Arriving: TypeAlias = tuple[Tensor, Wait]


@kernel("tier.offload")
def offload(op: OffloadOp) -> Callable[[Tensor], Any]:
    return folder_tier(op.place.data).send


@kernel("tier.offload", device="cuda")
def offload_to_host(op: OffloadOp) -> Callable[[Tensor], Any]:
    return lambda tensor: host_tier(tensor.device).send(tensor)


@kernel("tier.offloaded")
def offloaded(op: OffloadedOp) -> Callable[[Any, Tensor], None]:
    return lambda parcel, tensor: parcel.sent()


@kernel("tier.fetch")
def fetch(op: FetchOp) -> Callable[[Any], Arriving]:
    return lambda parcel: parcel.fetch()


@kernel("tier.fetched")
def fetched(op: FetchedOp) -> Callable[[Arriving], Tensor]:
    def land(pending: Arriving) -> Tensor:
        tensor, arriving = pending
        arriving.wait()
        return tensor

    return land
