"""Spiking networks, for every device: see `runtime/spiking/runner.py`, which is loaded where a program has one."""

from collections.abc import Callable
from typing import Any

from ...dialects.snn import RunOp
from .registry import kernel


@kernel("snn.run")
def run(op: RunOp) -> Callable[..., Any]:
    """The records of a network over the steps of its inputs"""
    from ..spiking.runner import Runner

    return Runner(op)
