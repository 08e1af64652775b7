"""Spiking networks, for every device: see `runtime/spiking/runner.py`."""

from collections.abc import Callable
from typing import Any

from ...dialects.snn import RunOp
from ..spiking.runner import Runner
from .registry import kernel


@kernel("snn.run")
def run(op: RunOp) -> Callable[..., Any]:
    """The records of a network over the steps of its inputs"""
    return Runner(op)
