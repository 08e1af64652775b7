"""Spiking networks through their libraries, each by its best practice for inference: no gradients, the product of an
input of all steps at once, neurons over all steps in one call where the library has that.

| peer         | a step of a neuron                                                             |
|--------------|--------------------------------------------------------------------------------|
| snnTorch     | `Leaky`, reset to zero at once, step by step                                   |
| Norse        | `LIFBoxCell`, step by step; it multiplies its input by dt / tau, weights by tau / dt |
| SpikingJelly | `LIFNode` of all steps (`step_mode="m"`); step by step where a layer has a loop |
| compiled     | the equations in plain torch through `torch.compile`, a step at a time         |

All have v = 0.9 v + x, spike and reset to 0. A layer is what is done with its input, its own recurrent weight if it
has one, and its threshold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

DECAY = 0.9
Neuron = Callable[[Tensor, "Tensor | None"], tuple[Tensor, Tensor]]
"""(x, v or None) -> spikes, v"""


@dataclass(frozen=True)
class Layer:
    """A map of the input (scaled by its caller), a weight from its own last spikes, and a threshold."""

    map: Callable[[Tensor], Tensor]
    threshold: float
    own: Tensor | None = None


def over_time(layer: Layer, x: Tensor, neuron: Neuron, scale: float = 1.0) -> Tensor:
    """A layer step by step; its product is of all steps at once. x and what comes out are [steps, batch, ..]."""
    arrived = layer.map(x.flatten(0, 1)).unflatten(0, x.shape[:2]) * scale
    found: list[Tensor] = []
    v = None
    for step in arrived:
        if layer.own is not None and found:
            step = step + scale * linear(found[-1], layer.own)
        spikes, v = neuron(step, v)
        found.append(spikes)
    return torch.stack(found)


def snntorch(layers: Sequence[Layer]) -> Callable[[Tensor], Tensor]:
    """snnTorch."""
    import snntorch as library

    neurons = [library.Leaky(DECAY, layer.threshold, reset_mechanism="zero", reset_delay=False) for layer in layers]

    def run(x: Tensor) -> Tensor:
        for layer, leaky in zip(layers, neurons, strict=True):
            x = over_time(layer, x, lambda x, v, leaky=leaky: leaky(x, leaky.reset_mem() if v is None else v))
        return x

    return run


def norse(layers: Sequence[Layer]) -> Callable[[Tensor], Tensor]:
    """Norse."""
    from norse.torch import LIFBoxCell, LIFBoxParameters

    rate = (1 - DECAY) / 0.001
    cells = [
        LIFBoxCell(LIFBoxParameters(tau_mem_inv=torch.tensor(rate), v_th=torch.tensor(layer.threshold)))
        for layer in layers
    ]

    def run(x: Tensor) -> Tensor:
        for layer, cell in zip(layers, cells, strict=True):
            x = over_time(layer, x, cell, 1 / (1 - DECAY))
        return x

    return run


def spikingjelly(layers: Sequence[Layer]) -> Callable[[Tensor], Tensor]:
    """SpikingJelly."""
    from spikingjelly.activation_based import functional, neuron

    def nodes(mode: str) -> list[nn.Module]:
        return [
            neuron.LIFNode(1 / (1 - DECAY), decay_input=False, v_threshold=layer.threshold, step_mode=mode).eval()
            for layer in layers
        ]

    many, single = nodes("m"), nodes("s")

    def run(x: Tensor) -> Tensor:
        for layer, together, alone in zip(layers, many, single, strict=True):
            functional.reset_net(together)
            functional.reset_net(alone)
            if layer.own is None:
                x = together(layer.map(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
            else:
                x = over_time(layer, x, lambda x, v, alone=alone: (alone(x), x))
        return x

    return run


def compiled(layers: Sequence[Layer]) -> Callable[[Tensor], Tensor]:
    """Plain torch through torch.compile."""

    @torch.compile(dynamic=False)
    def neuron(x: Tensor, v: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        v = DECAY * v + x
        fired = v >= threshold
        return fired.to(x.dtype), torch.where(fired, 0.0, v)

    def run(x: Tensor) -> Tensor:
        for layer in layers:
            level = layer.threshold
            x = over_time(layer, x, lambda x, v, level=level: neuron(x, torch.zeros_like(x) if v is None else v, level))
        return x

    return run


PEERS: dict[str, Callable[[Sequence[Layer]], Callable[[Tensor], Tensor]]] = {
    "snnTorch": snntorch,
    "Norse": norse,
    "SpikingJelly": spikingjelly,
    "torch.compile": compiled,
}
"""Who makes a network of layers."""
