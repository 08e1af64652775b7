"""Buffers and arguments that a function writes: all are read before any is written.

    aten.update @previous, %current      current is a weight too, and updated next: its old value is what counts
    aten.update @current, %new
    func.return %previous                the value before

What shares memory with something written is copied first, and so is what backward may still need.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


def snapshot(weight: Tensor) -> Tensor:
    """A weight that will be written, as it is read: a copy where backward may want its old value."""
    return weight.clone() if torch.is_grad_enabled() else weight


def storage_of(value: Any) -> int:
    """Where the memory behind a dense tensor begins; 0 where there is none."""
    if not isinstance(value, Tensor) or value.layout is not torch.strided:
        return 0
    return value.untyped_storage().data_ptr()


def store(updates: Iterable[tuple[Tensor, Tensor]], assigns: Iterable[tuple[Tensor, Tensor]], results: list) -> list:
    """Write `updates` (weights: no gradient flows into them) and `assigns` (arguments). Gives `results`, unchanged."""
    updates, assigns = list(updates), list(assigns)
    written = {storage_of(target) for target, _ in (*updates, *assigns)} - {0}

    def kept(value: Any) -> Any:
        return value.clone() if storage_of(value) in written else value

    results = [kept(result) for result in results]
    updates = [(target, kept(value)) for target, value in updates]
    assigns = [(target, kept(value)) for target, value in assigns]
    with torch.no_grad():
        for target, value in updates:
            target.copy_(value)
    for target, value in assigns:
        target.copy_(value)
    return results
