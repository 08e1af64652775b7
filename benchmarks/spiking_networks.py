"""The wiring and the input of the spiking workloads: layers, convolutions, a sheet, a column of cortex.

Synthetic, in whole numbers, the same for the same seed. Weights are drawn at random, of a size that gives rates of one
to thirteen spikes a hundred steps; no network is trained.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np


class Population(NamedTuple):
    """Neurons from `lo` to `hi`; `kind` is "input" or "lif"."""

    name: str
    lo: int
    hi: int
    kind: str


class SharedKernel(NamedTuple):
    """Synapses of one convolution: all of a kernel's copies have its weights. `weight` is [out, in, rows, columns]."""

    source: str
    target: str
    weight: np.ndarray
    stride: int
    padding: int


@dataclass
class Wiring:
    """A network while it is put together: populations in order, blocks of synapses between neurons."""

    populations: list[Population] = field(default_factory=list)
    kernels: list[SharedKernel] = field(default_factory=list)
    blocks: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)

    def add(self, name: str, size: int, kind: str = "lif") -> Population:
        """A population after those that are there."""
        lo = self.populations[-1].hi if self.populations else 0
        self.populations.append(Population(name, lo, lo + size, kind))
        return self.populations[-1]

    def connect(
        self, source: np.ndarray, target: np.ndarray, weight: np.ndarray | int, delay: np.ndarray | int
    ) -> None:
        """Synapses between neurons, numbered over the network."""
        shape = source.shape
        self.blocks.append((source, target, np.broadcast_to(weight, shape), np.broadcast_to(delay, shape)))

    def dense(self, pre: Population, post: Population, scale: float, delay: int, rng: np.random.Generator) -> None:
        """Every neuron to every other, weights normal about 0.15 of their spread."""
        source, target = np.divmod(np.arange((pre.hi - pre.lo) * (post.hi - post.lo)), post.hi - post.lo)
        self.connect(source + pre.lo, target + post.lo, weights(scale, len(source), rng), delay)

    def convolution(self, pre: Population, post: Population, kernel: np.ndarray, rows: int) -> None:
        """Kernels of 3 x 3 over [channels, rows, rows], stride 2, a border of one: to [kernels, rows / 2, rows / 2]."""
        half = rows // 2
        out, y, x, channel, a, b = (axis.ravel() for axis in np.indices((len(kernel), half, half, *kernel.shape[1:])))
        above, left = 2 * y + a - 1, 2 * x + b - 1
        inside = (above >= 0) & (above < rows) & (left >= 0) & (left < rows)
        source = pre.lo + (channel * rows + above) * rows + left
        target = post.lo + (out * half + y) * half + x
        self.connect(source[inside], target[inside], kernel[out, channel, a, b][inside], 0)
        self.kernels.append(SharedKernel(pre.name, post.name, kernel, 2, 1))

    def synapses(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Source, target, weight and delay of every synapse."""
        source, target, weight, delay = (np.concatenate(parts) for parts in zip(*self.blocks, strict=True))
        return source, target, weight, delay


def weights(scale: float, shape: int | tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return np.round(rng.normal(0.15 * scale, scale, shape)).astype(np.int32)


def layered(sizes: list[int], steps: int, rng: np.random.Generator, gain: float = 1) -> tuple[Wiring, np.ndarray]:
    """Dense layers within one step, and inputs of rates that rise and fall together."""
    wiring = Wiring()
    layers = [wiring.add(name, size) for name, size in named(sizes)]
    for before, after in pairwise(layers):
        wiring.dense(before, after, 36 * gain / np.sqrt(0.1 * (before.hi - before.lo)), 0, rng)
    wave = 0.16 * (1 + np.sin(np.arange(steps) / 8))
    return as_input(wiring), rng.random((steps, sizes[0])) < np.outer(wave, rng.random(sizes[0]))


def recurrent(sizes: list[int], steps: int, rng: np.random.Generator, gain: float = 1) -> tuple[Wiring, np.ndarray]:
    """Dense layers, the hidden ones also to themselves a step later, and an input that chirps over its channels."""
    wiring = Wiring()
    layers = [wiring.add(name, size) for name, size in named(sizes)]
    for before, after in pairwise(layers):
        wiring.dense(before, after, 30 * gain / np.sqrt(0.08 * (before.hi - before.lo)), 0, rng)
    for layer in layers[1:-1]:
        wiring.dense(layer, layer, 12 * gain / np.sqrt(0.1 * (layer.hi - layer.lo)), 1, rng)
    channels = sizes[0]
    centre = np.arange(steps)[:, None] * 3 % channels
    rate = 0.25 * np.exp(-(((np.arange(channels) - centre) / (channels * 60 / 700)) ** 2)) + 0.005
    return as_input(wiring), rng.random((steps, channels)) < rate


def convolutional(rows: int, steps: int, rng: np.random.Generator) -> tuple[Wiring, np.ndarray]:
    """Two convolutions and a dense read-out of 11, and the events of a blob that goes round."""
    wiring = Wiring()
    image = wiring.add("input", 2 * rows**2, "input")
    first, second = wiring.add("conv1", 8 * (rows // 2) ** 2), wiring.add("conv2", 16 * (rows // 4) ** 2)
    readout = wiring.add("output", 11)
    wiring.convolution(image, first, weights(120, (8, 2, 3, 3), rng), rows)
    wiring.convolution(first, second, weights(64, (16, 8, 3, 3), rng), rows // 2)
    wiring.dense(second, readout, 48, 0, rng)
    y, x = np.mgrid[0:rows, 0:rows]
    angle = np.arange(steps)[:, None, None] / 12
    far = (y - rows / 2 - rows / 3 * np.sin(angle)) ** 2 + (x - rows / 2 - rows / 3 * np.cos(angle)) ** 2
    blob = np.exp(-far / (2 * (rows / 10) ** 2)).reshape(steps, -1)
    return wiring, rng.random((steps, 2 * rows**2)) < np.concatenate([0.5 * blob, 0.35 * blob], axis=1) + 0.002


def sheet(side: int, fan: int, steps: int, rng: np.random.Generator, rate: float = 0.03) -> tuple[Wiring, np.ndarray]:
    """A torus of neurons, four in five excitatory, each to `fan` near it; further is later, 1 to 6 steps."""
    wiring, neurons = Wiring(), side**2
    driven = drive(wiring, neurons, rate, steps, rng)
    local = wiring.add("sheet", neurons)
    source = np.repeat(np.arange(neurons), fan)
    dy, dx = np.round(rng.normal(0, 3, (2, neurons * fan))).astype(np.int64)
    target = (source // side + dy) % side * side + (source % side + dx) % side
    weight = np.where(rng.random(neurons)[source] < 0.8, 14, -60) + rng.integers(-3, 4, len(source))
    weight = np.round(weight * 0.55).astype(np.int32)
    wiring.connect(source + local.lo, target + local.lo, weight, np.clip(1 + np.hypot(dy, dx) // 3, 1, 6).astype(int))
    return wiring, driven


CORTEX = {"L23E": 20683, "L23I": 5834, "L4E": 21915, "L4I": 5479, "L5E": 4850, "L5I": 1065, "L6E": 14395, "L6I": 2948}
"""Neurons of the populations of Potjans and Diesmann, Cerebral Cortex 24(3), 2014, Table 5."""
CONNECTED = np.array([
    [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0000, 0.0076, 0.0000],
    [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0000, 0.0042, 0.0000],
    [0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0000],
    [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0000, 0.1057, 0.0000],
    [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0000],
    [0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0000],
    [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
    [0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443],
])  # fmt: skip
"""The chance of a synapse to a population (row) from another (column), of the same table."""


def cortex(share: float, steps: int, rng: np.random.Generator) -> tuple[Wiring, np.ndarray]:
    """A share of a column of cortex: excitation after 8 to 23 steps, inhibition after 4 to 11, four times as strong."""
    wiring = Wiring()
    sizes = [max(int(neurons * share), 6) for neurons in CORTEX.values()]
    driven = drive(wiring, sum(sizes), 0.08, steps, rng)
    populations = [wiring.add(name, size) for name, size in zip(CORTEX, sizes, strict=True)]
    excitation = round(10 * min(1, 0.05 / share))
    for row, post in enumerate(populations):
        for column, pre in enumerate(populations):
            joined = rng.random((sizes[column], sizes[row])) < CONNECTED[row, column]
            source, target = np.nonzero(joined)
            excites = column % 2 == 0
            delay = rng.integers(*((8, 24) if excites else (4, 12)), len(source))
            wiring.connect(source + pre.lo, target + post.lo, excitation if excites else -4 * excitation, delay)
    return wiring, driven


def drive(wiring: Wiring, neurons: int, rate: float, steps: int, rng: np.random.Generator) -> np.ndarray:
    """A tenth as many inputs as neurons, each to 16 of them a step later: rates uneven, rising and falling together."""
    outside = wiring.add("drive", neurons // 10, "input")
    source = np.repeat(np.arange(outside.hi), 16)
    wiring.connect(source, rng.integers(0, neurons, len(source)) + outside.hi, 120, 1)
    wave = 1 + 0.8 * np.sin(2 * np.pi * np.arange(steps) / 80)
    return rng.random((steps, outside.hi)) < np.outer(rate * wave, rng.gamma(1, 1, outside.hi))


def named(sizes: list[int]) -> list[tuple[str, int]]:
    names = ["input", *(f"hidden{number}" for number in range(1, len(sizes) - 1)), "output"]
    return list(zip(names, sizes, strict=True))


def as_input(wiring: Wiring) -> Wiring:
    """The first population spikes as it is told."""
    wiring.populations[0] = wiring.populations[0]._replace(kind="input")
    return wiring
