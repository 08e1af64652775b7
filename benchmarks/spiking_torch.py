"""Spiking networks as one would write them in torch: a dense weight for each delay, layer after layer of each step.

    due[t + d] += weight[d][who fired in t]          who fires in t = neurons(due[t])

It shares nothing with what runs, maps and times networks: what those fire is held to it.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from gossamer.runtime.spiking.arrays import Raster, Synapses
from torch import Tensor

from .spiking_workloads import FLOOR, Workload

Neurons = Callable[[slice, Tensor], Tensor]
"""(a layer, what arrives at each of its neurons) -> which of them fire. It holds their state."""


def dense(synapses: Synapses) -> dict[int, Tensor]:
    """By delay, the sum of the weights from each neuron to each other, [neurons, neurons]."""
    size = (synapses.neurons, synapses.neurons)
    ends = torch.from_numpy(np.stack([synapses.source, synapses.target]).astype(np.int64))
    weight, delay = torch.from_numpy(synapses.weight), torch.from_numpy(synapses.delay.astype(np.int64))
    return {
        int(d): torch.zeros(size, dtype=weight.dtype).index_put_(
            (ends[0, delay == d], ends[1, delay == d]), weight[delay == d], accumulate=True
        )
        for d in delay.unique()
    }


def fires(
    weights: dict[int, Tensor], layers: Sequence[slice], inputs: Tensor, steps: Tensor, neurons: Neurons
) -> Tensor:
    """Who fires, bool [steps, neurons]. `steps` holds the spikes of `inputs` (bool [neurons]); `layers` are all others,
    in an order in which nothing acts in its own step on what is before it.
    """
    wide = torch.int64 if not any(w.is_floating_point() for w in weights.values()) else torch.float64
    fired = steps & inputs
    due = torch.zeros(len(steps) + max(weights, default=0) + 1, len(inputs), dtype=wide)

    def send(step: int, who: Tensor, delays: Sequence[int]) -> None:
        for delay in delays:
            due[step + delay] += weights[delay][who].sum(0, dtype=wide)

    now, later = [d for d in weights if d == 0], [d for d in weights if d > 0]
    for step in range(len(steps)):
        send(step, fired[step].nonzero()[:, 0], now)
        for layer in layers:
            fired[step, layer] = neurons(layer, due[step, layer])
            send(step, fired[step, layer].nonzero()[:, 0] + layer.start, now)
        send(step, fired[step].nonzero()[:, 0], later)
    return fired


def layers_of(load: Workload) -> list[slice]:
    """The populations of a workload but its inputs, in the order of the text."""
    layers = [slice(p.lo, p.hi) for p in load.populations if p.kind != "input"]
    number = np.searchsorted([p.lo for p in load.populations], np.arange(load.neurons), side="right")
    now = load.synapses.delay == 0
    assert (number[load.synapses.source] < number[load.synapses.target])[now].all(), "layers are out of order"
    return layers


def leaky(load: Workload) -> Neurons:
    """The neurons of a workload: v + I - floor(v / 2^leak); v >= threshold fires and takes it off."""
    v = torch.zeros(load.neurons, dtype=torch.int64)
    threshold, divisor = torch.from_numpy(load.threshold), 2 ** torch.from_numpy(load.leak).long()

    def neurons(layer: slice, current: Tensor) -> Tensor:
        held = v[layer] + current - torch.div(v[layer], divisor[layer], rounding_mode="floor")
        fired = held >= threshold[layer]
        v[layer] = torch.clamp(held - threshold[layer] * fired, min=FLOOR)
        return fired

    return neurons


def run_in_torch(load: Workload) -> Raster:
    """Every spike of a workload."""
    told = torch.from_numpy(load.inputs.dense(load.neurons))
    inputs = torch.from_numpy(load.is_input)
    return Raster.of(fires(dense(load.synapses), layers_of(load), inputs, told, leaky(load)).numpy())
