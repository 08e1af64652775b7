"""Random small networks of all neuron models, in numbers whose sums are exact, and what they do in plain torch.

Weights and parameters are multiples of a power of two: a few steps of them fit a float64, whatever the order of sums.
"""

from dataclasses import dataclass

import numpy as np
import torch
from gossamer.runtime.core_array.protocol import Faults, execute
from gossamer.runtime.spiking.arrays import Raster
from gossamer.runtime.spiking.network import Network
from gossamer.runtime.spiking.reference import run
from gossamer.tests.runtime.core_array.networks import Network as Layers
from gossamer.tests.runtime.spiking import plain
from gossamer.tests.runtime.spiking.networks import Example, population
from torch import Tensor

EXACT = {
    "threshold euler": {"threshold": 0.5},
    "if euler": {"r": 0.75, "threshold": 1.5},
    "if shift": {"floor": -7, "threshold": 3},
    "lif euler": {"rate": 0.25, "leak": -0.125, "r": 3.0, "threshold": 0.5},
    "lif exponential": {"decay": 0.75, "leak": 0.125, "gain": 0.5, "threshold": 0.5},
    "lif quotient": {"tau": 2.0, "leak": 0.125, "threshold": 0.5},
    "lif shift": {"shift": 2, "floor": -7, "threshold": 3},
    "cuba_lif euler": {"rate": 0.25, "rate_syn": 0.5, "leak": 0.125, "r": 1.5, "w_in": 0.75, "threshold": 0.25},
    "cuba_lif exponential": {"decay": 0.75, "decay_syn": 0.5, "leak": 0.125, "gain": 0.5, "w_in": 0.75,
                             "threshold": 0.5},
    "alif exponential": {"decay": 0.75, "decay_adapt": 0.5, "leak": 0.125, "gain": 0.75, "beta": 0.25, "step": 1.0,
                         "threshold": 0.5},
    "izhikevich euler": {"dt": 0.5, "a": 0.02, "b": 0.2, "d": 2.0, "threshold": 30.0},
}  # fmt: skip
"""Every model that fires. Izhikevich's squares are rounded: by the same equation, in the same order."""
FIRES = [
    (c, r, w) for c in ("gt", "ge") for r in ("none", "zero", "subtract", "value") for w in ("now", "next", "before")
]


@dataclass(frozen=True)
class Layer:
    """Neurons of one kind; `fires` as the text has it."""

    size: int
    kind: str
    fires: str
    refractory: int
    parameters: dict[str, float]

    @property
    def whole(self) -> bool:
        return self.kind.endswith("shift")

    def text(self, number: int) -> str:
        element = "i64" if self.whole else "f64"
        more = f"refractory {self.refractory}" if self.refractory else ""
        return population(f"p{number}", str(self.size), self.kind, element=element, fires=self.fires, more=more,
                          **self.parameters)  # fmt: skip


@dataclass(frozen=True)
class Wire:
    """From one layer to another, 0 being the input: `weight` and `delay` are [target, source]; 0 is no synapse."""

    source: int
    target: int
    weight: np.ndarray
    delay: np.ndarray


@dataclass(frozen=True)
class Models:
    """Layers after an input whose spikes are `given`, bool [steps, neurons]."""

    given: np.ndarray
    layers: tuple[Layer, ...]
    wires: tuple[Wire, ...]

    def network(self) -> Network:
        """By the text of the dialect."""
        lines = [f"snn.input @p0 <{self.given.shape[1]}>", *(p.text(i) for i, p in enumerate(self.layers, 1))]
        weights: dict[str, np.ndarray] = {}
        for number, wire in enumerate(self.wires):
            whole = self.layers[wire.target - 1].whole
            weights[f"w{number}"] = wire.weight.astype(np.int64 if whole else np.float64)
            weights[f"d{number}"] = wire.delay.astype(np.int32)
            reach = f"from {wire.delay.min()} to {wire.delay.max()}"
            lines.append(f"snn.projection @p{wire.source} to @p{wire.target} delays @d{number} {reach} "
                         f"{{ snn.dense @w{number} }}")  # fmt: skip
        return Example("\n".join(lines), weights).network()

    def in_torch(self) -> Raster:
        """One step after the other, by textbook."""
        sizes = [self.given.shape[1], *(p.size for p in self.layers)]
        fired = [torch.zeros(len(self.given), size, dtype=torch.bool) for size in sizes]
        fired[0] = torch.from_numpy(self.given)
        dtypes = [torch.int64 if p.whole else torch.float64 for p in self.layers]
        neurons = [plain.Neurons(p.kind, torch.zeros(p.size, dtype=dtype),
                                 {name: torch.tensor(value, dtype=dtype) for name, value in p.parameters.items()},
                                 p.fires, p.refractory)
                   for p, dtype in zip(self.layers, dtypes, strict=True)]  # fmt: skip
        for step in range(len(self.given)):
            for number, advance in enumerate(neurons, 1):
                x = torch.zeros(sizes[number], dtype=torch.float64)
                for wire in self.wires:
                    x += brought(wire, fired[wire.source], step) if wire.target == number else 0
                _, spikes = advance(x.to(dtypes[number - 1]))
                assert spikes is not None
                fired[number][step] = spikes
        return Raster.of(torch.cat(fired, dim=1).numpy())


def brought(wire: Wire, fired: Tensor, step: int) -> Tensor:
    """What a wire brings in a step: for each delay, its weights times who fired so long ago."""
    weight, delay = torch.from_numpy(wire.weight).double(), torch.from_numpy(wire.delay)
    total = torch.zeros(len(weight), dtype=torch.float64)
    for d in range(min(int(delay.max()), step) + 1):
        total += torch.where(delay == d, weight, 0.0) @ fired[step - d].double()
    return total


def models(seed: int) -> Models:
    """Some layers of random kinds; each hears the one before it, and random others later."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 4))
    sizes = rng.integers(1, 9, count + 1)
    layers = []
    for size in sizes[1:]:
        kind = str(rng.choice(list(EXACT)))
        compare, reset, when = FIRES[rng.integers(len(FIRES))]
        parameters = dict(EXACT[kind])
        if reset == "value":
            parameters["reset"] = -2 if kind.endswith("shift") else -65.0 if "izh" in kind else -0.25
        layers.append(Layer(int(size), kind, f"{compare} reset {reset} {when}", int(rng.integers(0, 3)), parameters))
    forward = [(number, number + 1, int(rng.integers(0, 2))) for number in range(count)]
    back = [(int(rng.integers(0, count + 1)), int(rng.integers(1, count + 1)), 1) for _ in range(rng.integers(0, 4))]
    wires = tuple(wire(rng, layers, sizes, *ends) for ends in forward + back)
    steps = int(rng.integers(1, 16))
    return Models(rng.random((steps, sizes[0])) < rng.choice([0.1, 0.4, 0.8]), tuple(layers), wires)


def wire(
    rng: np.random.Generator, layers: list[Layer], sizes: np.ndarray, source: int, target: int, least: int
) -> Wire:
    """Random weights, many of them 0, and delays of at least so many steps."""
    shape, layer = (int(sizes[target]), int(sizes[source])), layers[target - 1]
    weight = rng.integers(-3, 6, shape) * (rng.random(shape) < 0.7)
    scale = 1 if layer.whole else 8.0 if "izh" in layer.kind else 0.25
    return Wire(source, target, weight * scale, rng.integers(least, least + rng.integers(1, 4), shape))


def by_step(net: Models, network: Network) -> Raster:
    """By the reference of the dialect."""
    names = [f"p{number}" for number in range(1, len(net.layers) + 1)]
    with np.errstate(all="ignore"):
        found = run(network, [net.given[:, None].astype(np.float32)], names)
    return Raster.of(np.concatenate([net.given, *(spikes[:, 0] != 0 for spikes in found)], axis=1))


def layered(net: Models, network: Network) -> Layers:
    """The same as the mappings of these tests know it: a layer is a level."""
    level = np.repeat(np.arange(len(network.populations)), [p.size for p in network.populations])
    return Layers(network.synapses(), level, level == 0, net.given, len(net.given))


class Cores:
    """The states of neurons on cores, each with neurons of one layer, by the equations of the dialect."""

    def __init__(self, net: Models, network: Network, core: np.ndarray):
        self.net, self.network = net, network
        self.held = [np.flatnonzero(core == number) for number in range(core.max(initial=-1) + 1)]
        self.of = [next(p for p in network.populations if p.first <= held[0] < p.last) for held in self.held]
        self.states = [
            {name: value[:, held - p.first] for name, value in p.start(1).items()}
            for held, p in zip(self.held, self.of, strict=True)
        ]

    def advance(self, core: int, step: int, current: np.ndarray) -> np.ndarray:
        population = self.of[core]
        if population.step is None:
            return self.net.given[step][self.held[core]]
        x = current[None].astype(population.dtype)
        with np.errstate(all="ignore"):
            return population.step(self.states[core], population.parameters or {}, x, np.where)[0]


def by_messages(net: Models, network: Network, mapping, policy: str, faults: Faults) -> Raster:
    """By cores that tell each other what fired."""
    given = np.zeros((len(net.given), network.neurons), bool)
    given[:, : net.given.shape[1]] = net.given
    cores = Cores(net, network, mapping.core)
    return execute(network.synapses(), Raster.of(given), mapping, cores.advance, policy=policy, faults=faults)[0]
