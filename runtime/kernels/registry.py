"""Which function executes an op on which device.

    @kernel("sparse.gather")                    for every device, in plain torch
    @kernel("sparse.gather", device="cuda")     better, on that one

A kernel is a maker: given the op it reads the attributes once, and returns what runs. That function takes the op's
operands: required ones in order, optional ones by name. It returns the result, or a tuple of several.
"""

from collections.abc import Callable
from typing import Any

from xdsl.ir import Operation

ANY = "any"
"""The device type of kernels that run everywhere."""

Maker = Callable[[Any], Callable[..., Any]]
KERNELS: dict[tuple[str, str], Maker] = {}
"""Makers by op name and device type."""


def kernel(op_name: str, device: str = ANY) -> Callable[[Maker], Maker]:
    """Register a maker for the op `op_name` on devices of type `device`; the latest one counts."""

    def register(maker: Maker) -> Maker:
        KERNELS[op_name, device] = maker
        return maker

    return register


def bind(op: Operation, device: str) -> Callable[..., Any] | None:
    """What runs `op` on a device of type `device`; None when nothing does."""
    maker = KERNELS.get((op.name, device)) or KERNELS.get((op.name, ANY))
    return maker and maker(op)
