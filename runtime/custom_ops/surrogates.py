"""Surrogate gradients: what stands for the derivative of a spike, which is 0 or infinite.

| name                                | gradient g becomes, x = v - level                    | of           |
|-------------------------------------|------------------------------------------------------|--------------|
| `none`                              | 0                                                    | all          |
| `straight_through`                  | g                                                    | snnTorch     |
| `heaviside`                         | g where it fired                                     | snnTorch     |
| `atan a`                            | g a/2 / (1 + (pi/2 a x)^2)                            | snnTorch, SJ |
| `fast_sigmoid k`                    | g / (k abs(x) + 1)^2; SuperSpike where k = 1          | snnTorch, N  |
| `sigmoid k`                         | g k exp(-k x) / (exp(-k x) + 1)^2                     | snnTorch     |
| `sparse_fast_sigmoid k b`           | `fast_sigmoid` where x > b                           | snnTorch     |
| `triangular t`                      | g t where x < 0, else -g t                           | snnTorch     |
| `spike_rate_escape b k`             | g k exp(-b abs(x - 1))                               | snnTorch     |
| `triangle a`, `tanh a`, `circ a`, `erfc a` | those of norse.torch.functional.threshold     | N            |
| `logistic a`, `piecewise_quadratic a`, `piecewise_exp a`, `soft_sign a`, `super_spike a`, `erf a` | | SJ |

N is Norse, SJ SpikingJelly. Each is written in the order of arithmetic of its source.
"""

import math
from collections.abc import Callable
from typing import Any

import torch

Tensor = torch.Tensor


def sigmoid(g: Tensor, x: Tensor, slope: float) -> Tensor:
    """snnTorch's."""
    return g * slope * torch.exp(-slope * x) / ((torch.exp(-slope * x) + 1) ** 2)


def logistic(g: Tensor, x: Tensor, alpha: float) -> Tensor:
    """SpikingJelly's sigmoid."""
    s = torch.sigmoid(alpha * x)
    return g * ((1 - s) * s * alpha)


def circ(g: Tensor, x: Tensor, alpha: float) -> Tensor:
    """x / sqrt(x^2 + alpha^2)"""
    slope = -(x.pow(2) / (2 * (alpha**2 + x.pow(2)).pow(1.5))) + 1 / (2 * (alpha**2 + x.pow(2)).sqrt())
    return g * slope * 2 * alpha


SURROGATES: dict[str, Callable[..., Tensor]] = {
    "none": lambda g, x: torch.zeros_like(g),
    "straight_through": lambda g, x: g.clone(),
    "heaviside": lambda g, x: g * (x > 0).to(g.dtype),
    "atan": lambda g, x, alpha: alpha / 2 / (1 + (torch.pi / 2 * alpha * x).pow(2)) * g,
    "fast_sigmoid": lambda g, x, slope: g / (slope * torch.abs(x) + 1.0) ** 2,
    "sigmoid": sigmoid,
    "sparse_fast_sigmoid": lambda g, x, slope, b: g / (slope * torch.abs(x) + 1.0) ** 2 * (x > b).to(g.dtype),
    "triangular": lambda g, x, threshold: torch.where(x >= 0, -(g * threshold), g * threshold),
    "spike_rate_escape": lambda g, x, beta, slope: g * slope * torch.exp(-beta * torch.abs(x - 1)),
    "triangle": lambda g, x, alpha: g * alpha * torch.relu(1 - x.abs()),
    "tanh": lambda g, x, alpha: g * (1 - (x * alpha).tanh().pow(2)),
    "circ": circ,
    "erfc": lambda g, x, alpha: (2 * torch.exp(-(alpha * x).pow(2))) / math.sqrt(math.pi) * g,
    "logistic": logistic,
    "piecewise_quadratic": lambda g, x, alpha: g * (alpha - alpha * alpha * x.abs()).clamp_min(0),
    "piecewise_exp": lambda g, x, alpha: g * ((alpha / 2) * torch.exp(-alpha * x.abs())),
    "soft_sign": lambda g, x, alpha: g * (1 / (2 * alpha * (1 / alpha + x.abs()) * (1 / alpha + x.abs()))),
    "super_spike": lambda g, x, alpha: g * (alpha / ((1 + x.abs()) * (1 + x.abs()))),
    "erf": lambda g, x, alpha: g * ((alpha / math.sqrt(math.pi)) * torch.exp(-(alpha * x) * (alpha * x))),
}
"""Of a gradient, x and the numbers of the table; by name."""


class Spike(torch.autograd.Function):
    """1 where v is at its level, with the surrogate's gradient: `Spike.apply(x, fired, "atan 2.0")`, x = v - level."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, fired: Tensor, surrogate: str) -> Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return fired.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        name, *numbers = ctx.surrogate.split()
        return SURROGATES[name](gradients[0], x, *map(float, numbers)), None, None
