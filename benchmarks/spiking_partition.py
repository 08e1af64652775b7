"""`python -m benchmarks.spiking_partition`: our partition of spiking networks beside METIS and Mt-KaHyPar.

Blocks of 256 neurons, 32 synapses of each within its block and 4 at random, on one core for every 128 neurons. km1 is
the sum over neurons of other cores reached; balance the most neurons on a core over the mean. Peers that are not
installed (pymetis, mtkahypar) are left out. All get the same network; ours once for each of three seeds.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Callable

import numpy as np
from gossamer.passes.solvers.core_partition import contiguous, partition
from gossamer.passes.solvers.core_usage import cut, usage
from gossamer.passes.solvers.neuron_graph import Capacity, NeuronGraph
from rich.console import Console
from rich.table import Table

BLOCK, INSIDE, OUTSIDE, ON_CORE = 256, 32, 4, 128
IMBALANCE = 0.03
"""What Mt-KaHyPar is allowed."""


def network(neurons: int) -> NeuronGraph:
    """Blocks, numbered at random."""
    generator = np.random.default_rng(0)
    source = np.repeat(np.arange(neurons), INSIDE + OUTSIDE)
    target = source // BLOCK * BLOCK + generator.integers(0, BLOCK, len(source))
    far = np.arange(len(source)) % (INSIDE + OUTSIDE) >= INSIDE
    target[far] = generator.integers(0, neurons, int(far.sum()))
    number = generator.permutation(neurons)
    target = number[target].reshape(neurons, -1)[np.argsort(number)].ravel().astype(np.int32)
    offsets = np.arange(0, len(target) + 1, INSIDE + OUTSIDE, dtype=np.int64)
    ones, zeros = np.ones(neurons), np.zeros(neurons, np.int32)
    delay = np.ones(len(target), np.uint16)
    return NeuronGraph(offsets, target, delay, zeros, zeros, ones, ones, ones, np.zeros(1), zeros.astype(bool))


def by_metis(graph: NeuronGraph, cores: int) -> np.ndarray:
    """METIS on the undirected graph: each pair of neurons once."""
    pymetis = importlib.import_module("pymetis")
    source = graph.sources(0, graph.neurons)
    both = np.unique(np.concatenate([np.stack([source, graph.target]), np.stack([graph.target, source])], 1), axis=1)
    both = both[:, both[0] != both[1]]
    starts = np.searchsorted(both[0], np.arange(graph.neurons + 1))
    return np.asarray(pymetis.part_graph(cores, xadj=starts, adjncy=both[1])[1], np.int32)


def by_mtkahypar(graph: NeuronGraph, cores: int) -> np.ndarray:
    """Mt-KaHyPar on the hypergraph of each neuron with those that it reaches, for km1."""
    library = importlib.import_module("mtkahypar")
    machine = library.initialize(2)
    context = machine.context_from_preset(library.PresetType.DEFAULT)
    context.set_partitioning_parameters(cores, IMBALANCE, library.Objective.KM1)
    context.logging = False
    nets = [np.unique([u, *graph.target[graph.offsets[u] : graph.offsets[u + 1]]]) for u in range(graph.neurons)]
    nets = [net.tolist() for net in nets if len(net) > 1]
    hypergraph = machine.create_hypergraph(
        context, graph.neurons, len(nets), nets, [1] * graph.neurons, [1] * len(nets)
    )
    found = hypergraph.partition(context)
    return np.array([found.block_id(neuron) for neuron in range(graph.neurons)], np.int32)


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spiking_partition", description=__doc__)
    parser.add_argument("--neurons", type=int, default=4096, help="default: %(default)s")
    graph = network(parser.parse_args(argv).neurons)
    cores = max(graph.neurons // ON_CORE, 1)
    ours = {f"gossamer, seed {s}": lambda s=s: partition(graph, Capacity(cores), cores, s) for s in range(3)}
    solvers: dict[str, Callable[[], np.ndarray]] = {
        **ours,
        "gossamer, contiguous": lambda: contiguous(graph, Capacity(cores), cores),
        "METIS": lambda: by_metis(graph, cores),
        "Mt-KaHyPar": lambda: by_mtkahypar(graph, cores),
    }
    table = Table("partitioner", "km1", "balance", "s", title=f"{graph.neurons} neurons, {cores} cores")
    for name, solve in solvers.items():
        start = time.perf_counter()
        try:
            core = solve()
        except ImportError as error:
            table.add_row(name, str(error), "", "")
            continue
        seconds = time.perf_counter() - start
        table.add_row(name, str(cut(graph, core).km1), f"{usage(graph, core, cores).balance:.3f}", f"{seconds:.2f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
