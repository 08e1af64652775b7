"""Five spiking networks to map onto core arrays, smaller and bigger ones of the same kinds, and what they do.

| workload | network                                                                       | steps |
|----------|-------------------------------------------------------------------------------|-------|
| `mlp`    | 784-512-256-10, layer after layer within a step                               | 100   |
| `srnn`   | 700-256-256-20, the hidden layers also to themselves a step later             | 250   |
| `conv`   | 2 x 32 x 32, two convolutions of 3 x 3 with stride 2, 11                      | 100   |
| `sheet`  | 64 x 64 neurons, each to 64 near it, 1 to 6 steps later                       | 400   |
| `pd`     | 5 % of the column of cortex of Potjans and Diesmann, 4 to 23 steps later      | 400   |

Neurons leak, add up and fire in whole numbers, so that every order of addition gives the same spikes:
v += I - (v >> leak); v >= threshold fires and takes the threshold off; v stays above -2**20.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gossamer.passes.solvers.neuron_graph import levels
from gossamer.runtime.spiking.arrays import Raster, Synapses

from .spiking_networks import (
    Population,
    SharedKernel,
    Wiring,
    convolutional,
    cortex,
    layered,
    recurrent,
    sheet,
)

FLOOR = -(1 << 20)
NO_LEAK = 63
"""A leak that takes nothing, of negative numbers too."""


@dataclass(frozen=True)
class Workload:
    """A network, its input and its neurons' numbers. `inputs` has spikes of input neurons alone.

    `levels`, `threshold` and `leak` are int32 [neurons]; the level of a neuron is the longest path of zero-delay
    synapses to it.
    """

    name: str
    synapses: Synapses
    populations: tuple[Population, ...]
    kernels: tuple[SharedKernel, ...]
    levels: np.ndarray
    inputs: Raster
    threshold: np.ndarray
    leak: np.ndarray

    @property
    def neurons(self) -> int:
        return self.synapses.neurons

    @property
    def steps(self) -> int:
        return self.inputs.steps

    @property
    def is_input(self) -> np.ndarray:
        """Which neurons are told when to spike, bool [neurons]."""
        told = np.zeros(self.neurons, bool)
        for population in self.populations:
            told[population.lo : population.hi] = population.kind == "input"
        return told

    def rate(self, raster: Raster) -> float:
        """Spikes a step of a neuron that is no input."""
        own = ~self.is_input
        return float(own[raster.neuron].sum() / (own.sum() * self.steps))


Build = Callable[[np.random.Generator], tuple[Wiring, np.ndarray]]
NETWORKS: dict[str, Build] = {
    "mlp": lambda rng: layered([784, 512, 256, 10], 100, rng),
    "srnn": lambda rng: recurrent([700, 256, 256, 20], 250, rng),
    "conv": lambda rng: convolutional(32, 100, rng),
    "sheet": lambda rng: sheet(64, 64, 400, rng),
    "pd": lambda rng: cortex(0.05, 400, rng),
    "mlp-small": lambda rng: layered([40, 32, 24, 5], 20, rng, gain=3),
    "srnn-small": lambda rng: recurrent([30, 24, 24, 5], 25, rng, gain=5),
    "conv-small": lambda rng: convolutional(8, 20, rng),
    "sheet-small": lambda rng: sheet(12, 12, 30, rng, rate=0.3),
    "pd-small": lambda rng: cortex(0.004, 60, rng),
    "sheet-large": lambda rng: sheet(128, 64, 400, rng),
    "pd-large": lambda rng: cortex(0.10, 400, rng),
}
WORKLOADS = ("mlp", "srnn", "conv", "sheet", "pd")


def workload(name: str, seed: int = 0) -> Workload:
    """One of `NETWORKS`, the same for the same seed."""
    wiring, told = NETWORKS[name](np.random.default_rng(seed))
    neurons = wiring.populations[-1].hi
    synapses = Synapses.of(neurons, *wiring.synapses())
    return Workload(
        name=name,
        synapses=synapses,
        populations=tuple(wiring.populations),
        kernels=tuple(wiring.kernels),
        levels=levels(synapses.offsets, synapses.target, synapses.delay),
        inputs=Raster.of(told),
        threshold=np.full(neurons, 256, np.int32),
        leak=np.full(neurons, 4, np.int32),
    )


def run(load: Workload) -> Raster:
    """Every spike, step after step and level after level within a step."""
    synapses, slots = load.synapses, int(load.synapses.delay.max(initial=0)) + 1
    own = ~load.is_input
    groups = [np.flatnonzero(own & (load.levels == level)) for level in range(load.levels.max(initial=0) + 1)]
    constants = [(group, load.threshold[group].astype(np.int64), load.leak[group]) for group in groups]
    due = np.zeros((slots, load.neurons), np.int64)
    potential = np.zeros(load.neurons, np.int64)
    steps = []
    for step in range(load.steps):
        fired = [load.inputs.at(step)]
        deliver(synapses, fired[0], step, due)
        for group, threshold, leak in constants:
            v, spikes = advance(potential[group], due[step % slots, group], threshold, leak)
            potential[group] = v
            fired.append(group[spikes].astype(np.int32))
            deliver(synapses, fired[-1], step, due)
        due[step % slots] = 0
        steps.append(np.sort(np.concatenate(fired)))
    return Raster.stacked(steps)


def advance(
    v: np.ndarray, current: np.ndarray, threshold: np.ndarray, leak: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One step of neurons: their potentials after it, and which of them fired."""
    v = v + current - np.where(leak < NO_LEAK, v >> leak, 0)
    spikes = v >= threshold
    return np.maximum(np.where(spikes, v - threshold, v), FLOOR), spikes


def deliver(synapses: Synapses, fired: np.ndarray, step: int, due: np.ndarray) -> None:
    """Add the weights of what fired to what its targets are due."""
    first, last = synapses.offsets[fired], synapses.offsets[fired + 1]
    lengths = last - first
    ends = np.cumsum(lengths)
    if not len(ends) or not ends[-1]:
        return
    reached = np.arange(ends[-1]) + np.repeat(first - ends + lengths, lengths)
    slot = (step + synapses.delay[reached].astype(np.int64)) % len(due)
    np.add.at(
        due.reshape(-1), slot * due.shape[1] + synapses.target[reached], synapses.weight[reached].astype(np.int64)
    )
