"""Runs neurons of frameworks as they are and in their other form, and compares results and gradients; models of them,
and the networks that are made of these."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gossamer.compiler.frontends.adapters import adapted
from gossamer.compiler.snn import SpikingNetwork
from gossamer.dialects.snn import NetworkOp, RunOp
from gossamer.runtime.spiking.network import read_network
from gossamer.runtime.spiking.reference import run
from torch import Tensor, nn

Feed = Callable[[Any, Tensor], list[Tensor]]


def results(module: nn.Module, feed: Feed, x: Tensor) -> tuple[list[Tensor], list[Tensor | None]]:
    """All outputs, and the gradients of input and parameters of a loss that weighs each output differently."""
    x = x.clone().requires_grad_()
    outputs = feed(module, x)
    weighed = [(o * torch.linspace(0.3, 2, o.numel()).reshape(o.shape)).pow(2).sum() for o in outputs]
    loss = torch.stack(weighed).sum()
    learned = [x, *(p for p in module.parameters() if p.requires_grad)]
    return outputs, list(torch.autograd.grad(loss, learned, allow_unused=True))


def check(module: nn.Module, feed: Feed, *shape: int, spread: float = 1.5) -> None:
    """Outputs are equal to the bit on random inputs; gradients but for the order of their sums."""
    x = torch.randn(*shape) * spread
    expected, expected_gradients = results(module, feed, x)
    with adapted(module) as notes:
        found, gradients = results(module, feed, x)
    assert notes, f"{type(module).__name__} was not adapted"
    assert any(((o == 0) | (o == 1)).all() and o.any() for o in expected) or "LI" in type(module).__name__, "no spikes"
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one, other)
    for one, other in zip(expected_gradients, gradients, strict=True):
        if one is None or other is None:
            assert all(gradient is None or not gradient.any() for gradient in (one, other))
        else:
            torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5 * float(one.abs().max()))


def dyadic(model: nn.Module) -> nn.Module:
    """Weights and biases as multiples of 2^-6: sums of them are exact."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("weight", "bias", "weights", "V")):
                parameter.copy_((parameter * 64).round() / 64)
    return model


def execute(net: SpikingNetwork, x: Tensor) -> list[np.ndarray]:
    """What the network records, by the reference."""
    network = next(op for op in net.module.ops if isinstance(op, NetworkOp))
    records = next(op for op in net.module.walk() if isinstance(op, RunOp)).records
    arrays = {name: tensor.detach().numpy() for name, tensor in net.weights.items()}
    return run(read_network(network, arrays), [x.numpy()], [record.data for record in records])


def network_of(net: SpikingNetwork) -> str:
    """The text of the network."""
    return str(next(op for op in net.module.ops if isinstance(op, NetworkOp)))


def loop(model: nn.Module, x: Tensor) -> Tensor:
    """A model with hidden states, called step by step."""
    for module in model.modules():
        for name in ("reset_mem", "reset"):
            if hasattr(module, name):
                getattr(module, name)()
    return torch.stack([model(item) for item in x])


def leaky(beta: float | Tensor = 0.9, **how: Any) -> nn.Module:
    """Neurons of snnTorch that hold their states."""
    return pytest.importorskip("snntorch").Leaky(beta, init_hidden=True, threshold=0.5, **how)
