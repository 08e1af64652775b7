"""Random small networks on random mappings, and what they do step by step."""

import os
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from gossamer.benchmarks.spiking_torch import dense, fires
from gossamer.runtime.core_array.groups import dense_blocks
from gossamer.runtime.core_array.machine import Costs, Limits, Machine
from gossamer.runtime.core_array.mapping import NO_GROUP, Mapping
from gossamer.runtime.spiking.arrays import Raster, Synapses

CAMPAIGN = int(os.environ.get("GOSSAMER_PROTOCOL_CASES", "200"))
"""Networks to run; 10,000 take about four minutes."""
THRESHOLD = 64
FLOOR = -(2**12)


def machine(cores: int = 16, **time: float) -> Machine:
    """A mesh of four tiles a row, two cores each."""
    costs = {"step": 20.0, "update": 5.3, "synapse": 3.5, "packet_in": 16.0, "spike": 30.0, "packet_out": 5.1}
    costs |= {"update_active": 3.1, "control": 5.1, "hop_x": 4.1, "hop_y": 6.5, "tile": 2.1} | time
    energy = Costs(1.0, 52.0, 29.0, 23.6, 0.5, 69.3, 111.0, 2.0, 3.0, 4.0, 1.7)
    mesh = (4, max(1, -(-cores // 8)))
    barrier, cheap = ((1, 600.0), (2, 1000.0), (29, 1800.0)), ((1, 113.0), (32, 465.0))
    return Machine("toy", "A toy", mesh, 2, Limits(), Costs(**costs), energy, 0.8e-3, barrier, cheap)


@dataclass(frozen=True)
class Network:
    """Integer LIF neurons in layers; the first `hosts` are inputs, whose spikes are `given`."""

    synapses: Synapses
    level: np.ndarray
    inputs: np.ndarray
    given: np.ndarray
    steps: int


def network(seed: int, *, steps: int = 16, zero_delay: bool = True, floats: bool = False) -> Network:
    """Layers with synapses of no delay between neighbours, and delayed ones anywhere, some of them double."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 12, int(rng.integers(2, 5)))
    ends = np.concatenate(([0], np.cumsum(sizes)))
    neurons = int(ends[-1])
    source, target, delay = [], [], []
    for (low, middle), (_, high) in pairwise(pairwise(ends)):
        here, there = np.nonzero(rng.random((middle - low, high - middle)) < 0.6)
        source.append(here + low)
        target.append(there + middle)
        delay.append(np.zeros(len(here), int) if zero_delay else rng.integers(1, 4, len(here)))
    extra = int(rng.integers(0, 3 * neurons))
    source.append(rng.integers(0, neurons, extra))
    target.append(rng.integers(sizes[0], neurons, extra))
    delay.append(rng.integers(1, 7, extra))
    ends_of = np.concatenate(source), np.concatenate(target)
    weight = rng.integers(-40, 60, len(ends_of[0])).astype(np.int32)
    weights = rng.normal(10.0, 30.0, len(weight)).astype(np.float32) if floats else weight
    level = np.repeat(np.arange(len(sizes)), sizes)
    given = rng.random((steps, sizes[0])) < rng.choice([0.0, 0.1, 0.5, 1.0])
    inputs = np.arange(neurons) < sizes[0]
    return Network(Synapses.of(neurons, *ends_of, weights, np.concatenate(delay)), level, inputs, given, steps)


def mapped(net: Network, seed: int, *, host: bool = True, slack: int = 2) -> Mapping:
    """Neurons of each layer on a few cores of their own; inputs on none where `host` plays them."""
    rng = np.random.default_rng(seed)
    core, used = np.zeros(len(net.level), np.int64), 0
    for level in np.unique(net.level):
        here = net.level == level
        if level == 0 and host:
            core[here] = -1
            continue
        core[here] = rng.integers(0, 4, here.sum()) + used
        used += 4
    _, dense = np.unique(core, return_inverse=True)
    core = dense - (1 if host else 0)
    place = rng.permutation(16)[: core.max() + 1]
    return Mapping.of(net.synapses, core, place, slack)


def grouped(mapping: Mapping, seed: int) -> Mapping:
    """With some edges in groups at random: any edges may share a collector that only delays them."""
    rng = np.random.default_rng(seed)
    blocks = dense_blocks(mapping)
    if (blocks == NO_GROUP).all():
        # A collector for edges of one delay and level adds no cycle of no delay.
        chosen = (mapping.edges.dmin > 0) & (rng.random(len(mapping.edges)) < 0.5)
        blocks = np.where(chosen, mapping.edges.dmin, NO_GROUP).astype(np.int32)
    return replace(mapping, group=blocks)


class Neurons:
    """The state of integer (or float) LIF neurons: v += current - v / 16; fires at the threshold, and loses it."""

    def __init__(self, net: Network):
        self.net = net
        self.voltage = np.zeros(len(net.level), net.synapses.weight.dtype)

    def advance(self, where: np.ndarray, step: int, current: np.ndarray) -> np.ndarray:
        held = self.voltage[where]
        held = held + current - (held // 16)
        fired = held >= THRESHOLD
        self.voltage[where] = np.maximum(np.where(fired, held - THRESHOLD, held), FLOOR)
        return np.where(self.net.inputs[where], self.net.given[step][np.where(self.net.inputs[where], where, 0)], fired)


def reference(net: Network) -> Raster:
    """Step by step, layer by layer, and within a neuron synapse by synapse."""
    state, fired = Neurons(net), np.zeros((net.steps, len(net.level)), bool)
    arrives = np.zeros((net.steps + 10, len(net.level)), net.synapses.weight.dtype)
    kept: dict[tuple[int, int], list[tuple[int, float]]] = {}
    exact = np.issubdtype(arrives.dtype, np.integer)
    for step in range(net.steps):
        for level in np.unique(net.level):
            here = np.flatnonzero(net.level == level)
            if not exact:
                for neuron in here:
                    for _, weight in sorted(kept.pop((step, int(neuron)), []), key=lambda entry: entry[0]):
                        arrives[step, neuron] += np.float32(weight)
            fired[step, here] = state.advance(here, step, arrives[step, here])
            for neuron in here[fired[step, here]]:
                for one in range(net.synapses.offsets[neuron], net.synapses.offsets[neuron + 1]):
                    when, target = step + int(net.synapses.delay[one]), int(net.synapses.target[one])
                    if exact:
                        arrives[when, target] += net.synapses.weight[one]
                    else:
                        kept.setdefault((when, target), []).append((one, float(net.synapses.weight[one])))
    return Raster.of(fired)


def in_torch(net: Network) -> Raster:
    """The same by dense weights, for whole numbers."""
    voltage = torch.zeros(len(net.level), dtype=torch.int64)
    given = torch.zeros(net.steps, len(net.level), dtype=torch.bool)
    given[:, net.inputs] = torch.from_numpy(net.given)
    ends = np.searchsorted(net.level, np.arange(1, net.level.max() + 2))

    def neurons(layer: slice, current: torch.Tensor) -> torch.Tensor:
        held = voltage[layer] + current - torch.div(voltage[layer], 16, rounding_mode="floor")
        fired = held >= THRESHOLD
        voltage[layer] = torch.clamp(held - THRESHOLD * fired, min=FLOOR)
        return fired

    layers = [slice(low, high) for low, high in pairwise(ends.tolist())]
    return Raster.of(fires(dense(net.synapses), layers, torch.from_numpy(net.inputs), given, neurons).numpy())
