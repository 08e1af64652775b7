"""Small spiking networks for the tests of partitioners."""

from itertools import pairwise

import numpy as np
from gossamer.passes.solvers.neuron_graph import NeuronGraph, levels


def graph_of(neurons: int, source: np.ndarray, target: np.ndarray, delay: np.ndarray | int = 1, **given) -> NeuronGraph:
    """A graph of synapses in any order; what is not given is 1 for each neuron, one population, no shared bytes."""
    order = np.argsort(source, kind="stable")
    offsets = np.concatenate(([0], np.cumsum(np.bincount(source, minlength=neurons)))).astype(np.int64)
    delays = np.broadcast_to(np.asarray(delay, np.uint16), np.shape(source))[order]
    target = np.asarray(target, np.int32)[order]
    population = given.get("population", np.zeros(neurons, np.int32))
    known = {
        "population": population,
        "level": levels(offsets, target, delays),
        "rate": np.ones(neurons),
        "work": np.ones(neurons),
        "memory": np.ones(neurons),
        "shared": np.zeros(int(population.max(initial=0)) + 1),
        "fixed": np.zeros(neurons, bool),
    }
    return NeuronGraph(offsets, target, delays, **known | given)


def blocks(neurons: int = 1024, block: int = 128, inside: int = 16, outside: int = 2, seed: int = 0) -> NeuronGraph:
    """Neurons that reach many of their own block and few at random."""
    generator = np.random.default_rng(seed)
    source = np.repeat(np.arange(neurons), inside + outside)
    target = source // block * block + generator.integers(0, block, len(source))
    far = np.arange(len(source)) % (inside + outside) >= inside
    target[far] = generator.integers(0, neurons, int(far.sum()))
    return graph_of(neurons, source, target, generator.integers(1, 4, len(source)))


def layers(sizes: list[int], seed: int = 0, **given) -> NeuronGraph:
    """Dense layers within one step; the first are inputs."""
    generator = np.random.default_rng(seed)
    first = np.cumsum([0, *sizes])
    pairs = [
        np.divmod(np.arange(a * b), b) + np.array([[first[i]], [first[i + 1]]])
        for i, (a, b) in enumerate(pairwise(sizes))
    ]
    source, target = np.concatenate(pairs, axis=1)
    neurons = int(first[-1])
    population = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    work = np.where(population > 0, generator.gamma(4.0, 25.0, neurons), 0.0)
    return graph_of(neurons, source, target, 0, population=population, work=work, fixed=population == 0,
                    rate=generator.random(neurons), **given)  # fmt: skip


def drawn(generator: np.random.Generator) -> NeuronGraph:
    """Any network: some neurons alone, some synapses twice, some neurons that reach themselves, several populations."""
    neurons = int(generator.integers(1, 60))
    synapses = int(generator.integers(0, 4 * neurons))
    source, target = generator.integers(0, neurons, (2, synapses))
    delay = np.where(source < target, generator.integers(0, 3, synapses), generator.integers(1, 5, synapses))
    populations = int(generator.integers(1, 4))
    return graph_of(
        neurons, source, target, np.maximum(delay, int(generator.integers(0, 2))),
        population=generator.integers(0, populations, neurons).astype(np.int32),
        rate=generator.random(neurons) * generator.integers(0, 2, neurons),
        work=generator.gamma(1.0, 10.0, neurons), memory=generator.integers(0, 5, neurons).astype(float),
        shared=generator.integers(0, 2, populations) * 10.0, fixed=generator.random(neurons) < 0.1,
        activity=generator.random((3, neurons)).astype(np.float32) if generator.random() < 0.5 else None,
        packet_in=float(generator.integers(0, 3)), packet_out=float(generator.integers(0, 3)),
    )  # fmt: skip
