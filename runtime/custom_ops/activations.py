"""What stands between the two products of an expert, by name, each with its derivative.

| name            | of the up projection x                                                   |
|-----------------|--------------------------------------------------------------------------|
| `silu`, ..      | f(x)                                                                     |
| `silu_gated`, .. | f(gate) * up, where x = gate beside up                                   |
| `clamped_swiglu` | (up + 1) * gate * sigmoid(alpha * gate), interleaved, both clamped (gpt-oss) |

Derivatives are written as autograd computes them, so that gradients are the same to the bit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

aten = torch.ops.aten
Tensor = torch.Tensor


@dataclass(frozen=True)
class Activation:
    """A function of `(x, *parameters)`, and of `(gradient, x, *parameters)` its derivative."""

    forward: Callable[..., Tensor]
    backward: Callable[..., Tensor]


PLAIN: dict[str, Activation] = {
    "relu": Activation(functional.relu, lambda g, x: aten.threshold_backward(g, x, 0)),
    "silu": Activation(functional.silu, aten.silu_backward),
    "gelu": Activation(functional.gelu, aten.gelu_backward),
    "gelu_tanh": Activation(
        lambda x: functional.gelu(x, approximate="tanh"), lambda g, x: aten.gelu_backward(g, x, approximate="tanh")
    ),
}
"""Functions of one number."""


def gated(plain: Activation) -> Activation:
    """f(gate) * up, of gate beside up."""

    def forward(x: Tensor) -> Tensor:
        gate, up = x.chunk(2, dim=-1)
        return plain.forward(gate) * up

    def backward(g: Tensor, x: Tensor) -> Tensor:
        gate, up = x.chunk(2, dim=-1)
        return torch.cat([plain.backward(g * up, gate), g * plain.forward(gate)], dim=-1)

    return Activation(forward, backward)


def clamped_swiglu(x: Tensor, alpha: float, limit: float) -> Tensor:
    """(up + 1) * gate * sigmoid(alpha * gate), of gate and up interleaved and clamped."""
    gate, up = x[..., ::2].clamp(max=limit), x[..., 1::2].clamp(min=-limit, max=limit)
    return (up + 1) * (gate * torch.sigmoid(gate * alpha))


def clamped_swiglu_backward(g: Tensor, x: Tensor, alpha: float, limit: float) -> Tensor:
    """The derivative of `clamped_swiglu`; a clamp lets the gradient through at its limit."""
    gate, up = x[..., ::2].clamp(max=limit), x[..., 1::2].clamp(min=-limit, max=limit)
    slope = torch.sigmoid(gate * alpha)
    inner = g * (up + 1)
    result = torch.empty_like(x)
    along_gate = inner * slope + aten.sigmoid_backward(inner * gate, slope) * alpha
    result[..., ::2] = along_gate.where(x[..., ::2] <= limit, 0)
    result[..., 1::2] = (g * (gate * slope)).where((x[..., 1::2] >= -limit) & (x[..., 1::2] <= limit), 0)
    return result


ACTIVATIONS: dict[str, Activation] = {
    **PLAIN,
    **{f"{name}_gated": gated(plain) for name, plain in PLAIN.items()},
    "clamped_swiglu": Activation(clamped_swiglu, clamped_swiglu_backward),
}
"""All of them; an op names one."""
