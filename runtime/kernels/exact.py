"""Ops whose kernels have the bits of what they mean: what runs where there is none."""

from collections.abc import Callable
from typing import Any

from ...dialects.exact import EXACT, ExactOp
from .registry import kernel


def meant(_: ExactOp) -> Callable[..., Any]:
    """What the op means."""
    return lambda meaning, *inputs: meaning(*inputs)


for each in EXACT:
    kernel(each.name)(meant)
