"""A spiking network from a file to a core array: the third part of `make demo`.

    net = gossamer.snn.load("net.nir", dt=1e-3)
    found = gossamer.simulate(net, spikes, machine="loihi1")

A NIR file is written with random weights, read, run against the equations in float64, and mapped onto a core array; the
report says how long the run takes there under each policy, and why.
"""

import argparse
import tempfile
from itertools import pairwise
from pathlib import Path

import gossamer
import nir
import numpy as np

DT = 1e-3


def main() -> None:
    arguments = parse()
    generator = np.random.default_rng(0)
    sizes = (40, 32, 10) if arguments.quick else (784, 512, 10)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.nir"
        nir.write(path, graph(sizes, generator))
        net = gossamer.snn.load(path, dt=DT)
    print(net.summary(), "\n")
    spikes = (generator.random((arguments.steps, 1, sizes[0])) < 0.1).astype(np.float32)
    fired, apart = net(spikes), by_hand(net.weights, sizes, spikes)
    assert np.array_equal(fired[:, 0], apart), "fires otherwise than its equations"
    print(f"{int(fired.sum())} output spikes, equal to the equations in float64\n")
    print(gossamer.simulate(net, spikes[:, 0], machine=arguments.machine, cores=arguments.cores))


def parse() -> argparse.Namespace:
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--machine", default="loihi1", help="see `gossamer list machines`")
    known.add_argument("--steps", type=int, default=100)
    known.add_argument("--cores", type=int, help="how many to use; as many as pay if left out")
    known.add_argument("--quick", action="store_true", help="a tiny network")
    return known.parse_args()


def graph(sizes: tuple[int, int, int], generator: np.random.Generator) -> nir.NIRGraph:
    """Two layers of LIF neurons. Weights are multiples of 2^-6, so that every order of addition gives the same sum."""
    first, second = (np.round(generator.normal(0.3, 4.0, (o, i)) * 64 / i**0.5) / 64 for i, o in pairwise(sizes))
    nodes = {
        "input": nir.Input({"input": np.array([sizes[0]])}),
        "fc1": nir.Linear(first.astype(np.float32)),
        "hidden": neurons(sizes[1]),
        "fc2": nir.Linear(second.astype(np.float32)),
        "out": neurons(sizes[2]),
        "output": nir.Output({"output": np.array([sizes[2]])}),
    }
    return nir.NIRGraph(nodes, list(pairwise(nodes)))


def neurons(size: int) -> nir.LIF:
    """decay 1/2, threshold 1: exact in floating point."""
    decay = 0.5
    return nir.LIF(
        tau=np.full(size, -DT / np.log(decay)),
        r=np.full(size, 1 / (1 - decay)),
        v_leak=np.zeros(size),
        v_threshold=np.ones(size),
    )


def by_hand(weights, sizes: tuple[int, int, int], spikes: np.ndarray) -> np.ndarray:
    """The same network in float64, as its equations say: bool [steps, out]."""
    first, second = (np.asarray(w, np.float64) for w in weights.values() if np.ndim(w) == 2)
    hidden, out, fired = np.zeros(sizes[1]), np.zeros(sizes[2]), []
    for now in spikes[:, 0]:
        hidden = 0.5 * hidden + first @ now
        z = hidden > 1
        hidden[z] = 0
        out = 0.5 * out + second @ z
        fired.append(out > 1)
        out[fired[-1]] = 0
    return np.array(fired)


if __name__ == "__main__":
    main()
