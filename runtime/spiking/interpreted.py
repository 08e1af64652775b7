"""`snn.run` for the oracle: step by step, whatever kernels there are."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls

from ...dialects.snn import RunOp


@register_impls
@dataclass
class SpikingFunctions(InterpreterFunctions):
    """Runs of networks with these weights."""

    weights: Mapping[str, torch.Tensor]

    @impl(RunOp)
    def run(self, _: Interpreter, op: RunOp, args: PythonValues) -> PythonValues:
        from .network import read_network
        from .runner import quiet

        network = op.find()
        assert network is not None
        arrays = {name: self.weights[name].detach().cpu().numpy() for name in network.weights()}
        inputs = [x.detach().cpu().numpy() for x in args]
        found = quiet(read_network(network, arrays), inputs, [record.data for record in op.records])
        return tuple(map(torch.from_numpy, found))
