"""`snn.run` on torch's tensors.

    run = Runner(op)
    run({"w": w, ..}, x)            the network's weights by name, and its inputs

By kernels where the network has them, else step by step. Weights are packed once, and again when one was written. It
runs on the CPU: tensors that lie elsewhere are moved there and back. There is no gradient: asking for one is an error.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...dialects.diagnostics import UserError, place_of
from ...dialects.snn import RunOp
from ..versions import Version
from .engine import Engine
from .network import Network, read_network
from .reference import run as run_by_step


class Runner:
    """One op, and its network as it was packed for the last weights."""

    def __init__(self, op: RunOp):
        network = op.find()
        if network is None:
            raise UserError(f"there is no network {op.network}", place=place_of(op))
        self.op, self.network_op = op, network
        self.records = [record.data for record in op.records]
        self.versions: dict[str, Version | None] = {}
        self.ready: Engine | Network | None = None

    def __call__(self, weights: Mapping[str, Tensor], *inputs: Tensor) -> Any:
        outputs = Detached.apply(self, weights, *inputs, *weights.values())
        return outputs if len(self.records) > 1 else outputs[0]

    def run(self, weights: Mapping[str, Tensor], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The records, without gradients."""
        device = inputs[0].device
        given = [x.detach().cpu().numpy() for x in inputs]
        ready = self.prepared(weights)
        try:
            found = ready.run(given, self.records) if isinstance(ready, Engine) else quiet(ready, given, self.records)
        except ValueError as error:
            raise UserError(str(error), place=place_of(self.op)) from None
        return tuple(torch.from_numpy(value).to(device) for value in found)

    def prepared(self, weights: Mapping[str, Tensor]) -> Engine | Network:
        """The engine, or the network where there is none, for these weights."""
        known = self.versions
        if self.ready is None or any(
            (seen := known.get(name)) is None or not seen.is_of(w) for name, w in weights.items()
        ):
            arrays = {name: weight.detach().cpu().numpy() for name, weight in weights.items()}
            network = read_network(self.network_op, arrays)
            self.ready = Engine.build(self.network_op, network) or network
            self.versions = {name: Version.of(weight) for name, weight in weights.items()}
        return self.ready


def quiet(network: Network, inputs: list[np.ndarray], records: list[str]) -> list[np.ndarray]:
    """Step by step, without numpy's warnings of what overflows."""
    with np.errstate(all="ignore"):
        return run_by_step(network, inputs, records)


class Detached(torch.autograd.Function):
    """A run, which says so when it is asked for a gradient."""

    @staticmethod
    def forward(ctx: Any, runner: Runner, weights: Mapping[str, Tensor], *tensors: Tensor) -> tuple[Tensor, ...]:
        return runner.run(weights, tensors[: len(runner.op.inputs)])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise UserError("snn.run has no gradient: train the model that it was made of")
