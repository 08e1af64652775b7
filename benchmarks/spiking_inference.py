"""Spiking networks on the CPU: a hundred steps of three networks, by batch and by how many neurons fire.

| network   | layers                                               |
|-----------|------------------------------------------------------|
| mlp       | 784 - 512 - 256 - 10                                 |
| recurrent | 700 - 256, each with all of them a step later - 20   |
| conv      | 2x32x32 - 8 channels, 3x3, stride 2 - 16 - 11        |

The part of inputs that spike is the activity asked for. Weights are normal, of mean 0.2 and deviation 1 over the root
of the fan in; each threshold is then searched so that the layer's neurons fire as often as the inputs do.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from gossamer.compiler.context import make_context, parse_text
from gossamer.passes.lower_kernels import LowerKernels
from gossamer.passes.lower_networks import LowerNetworks
from gossamer.runtime.executor import Program
from torch import Tensor
from torch.nn.functional import conv2d, linear
from xdsl.dialects.builtin import ModuleOp

from .peers import trial
from .spiking_peers import DECAY, PEERS, Layer
from .timing import Rounds, interleaved

STEPS = 100
ACTIVITIES = (0.02, 0.05, 0.13)
HIGH = (0.5, 1.0)
"""Where dense sums pay."""
BATCHES = (1, 64)
GOALS = {1: 5.0, 64: 2.0}
"""Times as fast as the best peer, by batch."""
PEAK = 2 * 8 * 3e9
"""Weights added in a second, if two cores at 3 GHz read 32 bytes a cycle from their second-level caches."""
COLUMNS = ("network", "batch", "fires", "ms", *PEERS, "x best", "events/s", "of the limit", "differs")


@dataclass(frozen=True)
class Net:
    """The shape of the input, and of each layer: its map as text, its weight, and whether it has a loop."""

    name: str
    shape: tuple[int, ...]
    layers: tuple[tuple[tuple[int, ...], tuple[int, ...], bool], ...]

    def weights(self) -> dict[str, Tensor]:
        """Random weights by symbol."""
        torch.manual_seed(0)
        found: dict[str, Tensor] = {}
        for place, (shape, weight, loop) in enumerate(self.layers):
            fan = math.prod(weight[1:])
            found[f"w{place}"] = (torch.randn(weight) + 0.2) / fan**0.5
            found[f"t{place}"] = torch.ones(1)
            if loop:
                found[f"r{place}"] = torch.randn(shape[0], shape[0]) / (4 * shape[0] ** 0.5)
        return found

    def text(self, weights: Mapping[str, Tensor]) -> str:
        """The program."""
        lines = [
            f'aten.weight constant @{name} : tensor<{"".join(f"{n}x" for n in w.shape)}f32> digest ""'
            for name, w in weights.items()
        ]
        lines += ["snn.network @net dt 1.0e-3 {", f"snn.input @l <{', '.join(map(str, self.shape))}>"]
        before = "l"
        for place, (shape, weight, loop) in enumerate(self.layers):
            numbers = f"{{decay = {DECAY} : f32, leak = 0.0 : f32, gain = 1.0 : f32, threshold = @t{place}}}"
            lines.append(f"snn.population @l{place} <{', '.join(map(str, shape))}> : f32 lif exponential {numbers} "
                         "fires ge reset zero now")  # fmt: skip
            dense = f"snn.dense @w{place}"
            conv = f"snn.conv @w{place} stride <2, 2> padding <1, 1> dilation <1, 1> groups 1"
            lines.append(f"snn.projection @{before} to @l{place} {{ {conv if len(weight) == 4 else dense} }}")
            if loop:
                lines.append(f"snn.projection @l{place} to @l{place} delay 1 {{ snn.dense @r{place} }}")
            before = f"l{place}"
        kinds = [f"tensor<?x?x{''.join(f'{n}x' for n in shape)}f32>" for shape in (self.shape, self.layers[-1][0])]
        taken, made = kinds
        lines += [
            f"}} func.func @forward(%x: {taken}) -> {made} {{",
            f'%z = snn.run @net(%x) records ["{before}"] : ({taken}) -> {made} func.return %z : {made} }}',
        ]
        return "\n".join(lines)

    def peer_layers(self, weights: Mapping[str, Tensor]) -> list[Layer]:
        """What the libraries are given."""
        found = []
        for place, (_, shape, _) in enumerate(self.layers):
            weight = weights[f"w{place}"]
            conv = len(shape) == 4
            own = weights.get(f"r{place}")
            found.append(Layer(convolved(weight) if conv else product(weight), weights[f"t{place}"].item(), own))
        return found

    def events(self, fired: list[float]) -> float:
        """Weights that spikes bring in a step, from the part of each layer that fires, the input's first."""
        total = 0.0
        for place, (made, weight, loop) in enumerate(self.layers):
            each = math.prod(made) * math.prod(weight[1:]) if len(weight) == 4 else math.prod(weight)
            total += fired[place] * each + (fired[place + 1] * made[0] ** 2 if loop else 0)
        return total


def product(weight: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: linear(x.flatten(1), weight)


def convolved(weight: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: conv2d(x, weight, None, 2, 1)


NETS = {
    "mlp": Net("mlp", (784,), (((512,), (512, 784), False), ((256,), (256, 512), False), ((10,), (10, 256), False))),
    "recurrent": Net("recurrent", (700,), (((256,), (256, 700), True), ((20,), (20, 256), False))),
    "conv": Net(
        "conv", (2, 32, 32),
        (((8, 16, 16), (8, 2, 3, 3), False), ((16, 8, 8), (16, 8, 3, 3), False), ((11,), (11, 1024), False)),
    ),
}  # fmt: skip


def lowered(text: str) -> ModuleOp:
    """A program with its kernels."""
    module = parse_text(text)
    for step in (LowerNetworks(), LowerKernels()):
        step.apply(make_context(), module)
    return module


def settle_thresholds(net: Net, weights: Mapping[str, Tensor], x: Tensor, activity: float) -> list[float]:
    """Search each threshold, layer by layer; gives the part of each layer that fires, the input's first."""
    fired = [x.mean().item()]
    for place, layer in enumerate(net.peer_layers(weights)):
        low, high, level = 0.0, 50.0, 0.0
        arrived = layer.map(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        spikes = arrived
        for _ in range(18):
            level = (low + high) / 2
            v, z, found = torch.zeros_like(arrived[0]), torch.zeros_like(arrived[0]), []
            for step in arrived:
                v = DECAY * v + (step if layer.own is None else step + linear(z, layer.own))
                z = (v >= level).float()
                v = torch.where(z > 0, 0.0, v)
                found.append(z)
            spikes = torch.stack(found)
            low, high = (level, high) if spikes.mean() > activity else (low, level)
        weights[f"t{place}"].fill_(level)
        fired.append(spikes.mean().item())
        x = spikes
    return fired


@torch.inference_mode()
def measure(
    net: Net, activity: float, batch: int, rounds: int, budget: float, inductor: float, program: ModuleOp, steps: int
) -> tuple[float, tuple[str, ...]]:
    """How many times as fast as the best peer, and a row of the table."""
    with torch.inference_mode(False):
        weights = net.weights()
    x = (torch.rand(steps, batch, *net.shape, generator=torch.Generator().manual_seed(1)) < activity).float()
    fired = settle_thresholds(net, weights, x, activity)
    own = Program.build(program, weights)
    runs: dict[str, Callable[[], Tensor]] = {"gossamer": lambda: own([x])[0]}
    notes: dict[str, str] = {}
    for name, make in PEERS.items():
        try:
            run = make(net.peer_layers(weights))
        except ImportError:
            notes[name] = "not installed"
            continue
        limit = inductor if name == "torch.compile" else 60.0
        notes[name] = ("left out" if limit <= 0 else trial(lambda run=run: run(x), limit)) or ""
        if not notes[name]:
            runs[name] = lambda run=run: run(x)
    results = {name: run() for name, run in runs.items()}
    times = interleaved(runs, rounds=rounds, budget=budget)
    return row(net, batch, fired, times, notes, results, steps)


def row(
    net: Net, batch: int, fired: list[float], times: Rounds, notes: Mapping[str, str], results: Mapping[str, Tensor],
    steps: int,
) -> tuple[float, tuple[str, ...]]:  # fmt: skip
    """One row, and how many times as fast as the best peer."""
    peers = [name for name in PEERS if name in times.seconds]
    best = min((times.ratio("gossamer", to=name) for name in peers), default=float("nan"))
    shown = [notes.get(name) or f"{times.median(name) * 1e3:.1f}" for name in PEERS]
    rate = net.events(fired) * batch * steps / times.median("gossamer")
    apart = max(((results[name] != results["gossamer"]).float().mean().item() for name in peers), default=0.0)
    title = (net.name, str(batch), " ".join(f"{part:.1%}" for part in fired), f"{times.median('gossamer') * 1e3:.2f}")
    return best, (*title, *shown, f"{best:.1f}", f"{rate / 1e9:.2f} G", f"{rate / PEAK:.0%}", f"{apart:.1%}")
