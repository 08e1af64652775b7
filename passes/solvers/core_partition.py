"""Which core does each neuron go to?

Work first: what the busiest core does in a step bounds the network's speed, whatever the schedule. Then packets between
cores, each neuron once for every other core that it reaches (km1), and with them core edges. Multilevel: neurons that
reach and hear the same are taken together, the coarsest are spread by growing one core after the other, and each level
on the way back is refined. The same seed gives the same cores.

Where any synapse acts within its step, neurons of different level share no core, and cores are dealt out to levels by
their work. Pure mathematics.
"""

import importlib
from dataclasses import replace
from functools import partial

import numpy as np

from .core_capacity import fitted
from .core_exchange import exchanged
from .core_growth import bisected, packed
from .core_polish import dealt, polished
from .core_refine import WORK, Cores, gains, refine
from .core_spread import spread
from .core_usage import carried, usage
from .neuron_graph import Capacity, NeuronGraph
from .neuron_nets import Nets, coarsened, nets_of, ratings

PINS = 1 << 21
"""Pins that coarsening looks at; of larger networks, nets at random."""
CELLS = 1 << 23
"""Gains (vertex, core) that are kept at once; levels with more are not refined."""
PRODUCTS = 1 << 27
"""Sums for the gains of a round; nets are sampled beyond."""
TOLD = 12
"""Pins of a sample that a vertex needs on average, or what is gained on the sample is lost beside it."""
COARSE = 8
"""Coarsest vertices for each core."""
ROUGH = 0.05
"""By what part more than in the end a core may work longer than the mean, of the coarsest vertices."""
ROUNDS = 12
POLISH = 20
"""Exchanges for each core, at most, that make work even in the end."""
SETTLE = 3
"""Rounds in which packets, which depend on the partition, are balanced as work."""


def partition(
    graph: NeuronGraph, capacity: Capacity, cores: int | None = None, seed: int = 0, method: str = "multilevel"
) -> np.ndarray:
    """The core of each neuron, int32 [neurons], -1 for those on none; `method` is one of `METHODS`.

    Without `cores`, about as few as hold the network. Raises `CapacityError` where it does not fit.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}, known are {', '.join(METHODS)}")
    return fitted(graph, graph.group, capacity, cores, lambda share: METHODS[method](graph, capacity, share, seed))


def multilevel(
    graph: NeuronGraph, capacity: Capacity, share: np.ndarray, seed: int, even: float = 0.01, steady: float = 1.0
) -> np.ndarray:
    """The core of each neuron, where share[g] cores are for group g; `even` and `steady` as of `Cores`."""
    generator = np.random.default_rng(seed)
    free, count = np.flatnonzero(graph.group >= 0), int(share.sum())
    nets = nets_of(replace(graph, rate=expected(graph)), free, PINS, generator)
    cores = replace(empty_cores(graph, capacity, share), even=even, steady=steady)
    kind = np.where(graph.shared[nets.population] > 0, nets.population + 1, 0)
    kind = np.unique(nets.group * (len(graph.shared) + 1) + kind, return_inverse=True)[1]
    most = np.minimum(cores.limit.min(0), [pace(nets, cores, share), np.inf, np.inf]) / (COARSE / 2)
    steps, becomes = coarsened(nets, kind, most, COARSE * count, generator)
    part = bisected(steps[-1], ratings(steps[-1], steps[-1].group, generator), cores, generator)
    for number in reversed(range(len(steps))):
        if number < len(becomes):
            part = part[becomes[number]]
        slack = even + ROUGH * number / max(len(steps) - 1, 1)
        part = refined(steps[number], part, within(steps[number], cores, share, slack), ROUNDS, generator)
    if np.any(cores.loads(nets, part) > cores.limit):
        part = packed(nets, cores)
    if not small(nets, cores):
        part = exchanged(graph, nets, part, within(nets, cores, share, even), generator)
    core = np.full(graph.neurons, -1, np.int32)
    core[free] = settled(graph, nets, part, cores, share, generator)
    return core


def expected(graph: NeuronGraph) -> np.ndarray:
    """The rate that counts where neurons go: that of its population, since what one neuron fires in a profile says
    little of another run; 0 for those on no core, whose packets come from outside wherever their targets are."""
    free = graph.group >= 0
    count = np.maximum(np.bincount(graph.population[free], minlength=len(graph.shared)), 1)
    mean = np.bincount(graph.population[free], graph.rate[free], len(graph.shared)) / count
    least = 1e-3 * float(graph.rate[free].max(initial=0.0)) or 1.0
    return np.where(free, np.maximum(mean, least)[graph.population], 0.0)


def empty_cores(graph: NeuronGraph, capacity: Capacity, share: np.ndarray) -> Cores:
    """The cores of each group, with what they may hold and no limit of work."""
    limits = (None, capacity.neurons, capacity.synapse_bytes)
    limit = np.tile([np.inf if bound is None else float(bound) for bound in limits], (int(share.sum()), 1))
    return Cores(np.repeat(np.arange(len(share)), share), limit, np.zeros(len(limit)), graph.shared)


def pace(nets: Nets, cores: Cores, share: np.ndarray) -> float:
    """The work of the busiest core where each group's is spread evenly."""
    work = np.bincount(nets.group, nets.sizes[:, WORK], len(share)) + np.bincount(cores.group, cores.taken, len(share))
    return float((work / np.maximum(share, 1)).max(initial=0.0))


def within(nets: Nets, cores: Cores, share: np.ndarray, slack: float) -> Cores:
    """Cores that may work longer than the pace by the part `slack`."""
    limit = cores.limit.copy()
    limit[:, WORK] = (1 + slack) * pace(nets, cores, share)
    return replace(cores, limit=limit)


def refined(nets: Nets, part: np.ndarray, cores: Cores, rounds: int, generator: np.random.Generator) -> np.ndarray:
    """`part` refined, where there is room and time to."""
    sample = nets.sampled(PRODUCTS // len(cores), generator)
    told = sample is nets or sample.pins.nnz >= TOLD * nets.vertices
    return refine(sample, part, cores, rounds, generator) if small(nets, cores) and told else part


def small(nets: Nets, cores: Cores) -> bool:
    """Whether all gains can be kept at once."""
    return nets.vertices * len(cores) <= CELLS


def settled(
    graph: NeuronGraph, nets: Nets, part: np.ndarray, cores: Cores, share: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """`part` with its work made even; packets are work too, and change with it: the best of some rounds."""
    core = np.full(graph.neurons, -1, np.int32)
    free = np.flatnonzero(graph.group >= 0)
    if not graph.packet_in and not graph.packet_out:
        return evened(nets, part, cores, share, generator)
    best, least = part, np.inf
    for number in range(SETTLE + 1):
        core[free] = part
        used = usage(graph, core, len(cores))
        if used.work.max() < least:
            best, least = part, float(used.work.max())
        if number < SETTLE:
            own = carried(graph, core, len(cores))[free]
            taken = occupied(used.packets - np.bincount(part, own, len(cores)), part, cores.group)
            sizes = nets.sizes + own[:, None] * (np.arange(nets.sizes.shape[1]) == WORK)
            part = evened(replace(nets, sizes=sizes), part, replace(cores, taken=taken), share, generator)
    return best


def occupied(taken: np.ndarray, part: np.ndarray, group: np.ndarray) -> np.ndarray:
    """What each core would have of the packets that all neurons there share: an empty one as others of its group."""
    used = np.bincount(part, minlength=len(taken)) > 0
    cores = np.bincount(group[used], minlength=group[-1] + 1)
    mean = np.bincount(group[used], taken[used], len(cores)) / np.maximum(cores, 1)
    return np.maximum(np.where(used, taken, mean[group]), 0.0)


def evened(nets: Nets, part: np.ndarray, cores: Cores, share: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """`part` refined under its limits, then with busy cores relieved neuron by neuron."""
    limited = within(nets, cores, share, cores.even)
    part = refined(nets, part, limited, ROUNDS // 2, generator)
    gain = gains(nets.sampled(PRODUCTS // len(cores), generator), part, limited)[0] if small(nets, cores) else None
    goal = limited.limit[:, WORK] * (1 + cores.even / 2) / (1 + cores.even)
    if gain is None:
        part = dealt(nets, part, limited, goal)
    return polished(nets, part, limited, goal, gain, POLISH * len(cores))


def contiguous(graph: NeuronGraph, capacity: Capacity, cores: int | None = None) -> np.ndarray:
    """The core of each neuron by equal blocks of each population in the order of numbers: what others are held to.

    Each population has cores of its own, by its number of neurons. Without `cores`, about as few as hold the network.
    """
    group = np.full(graph.neurons, -1, np.int64)
    free = np.flatnonzero(graph.group >= 0)
    group[free] = np.unique(graph.population[free], return_inverse=True)[1]
    counted = replace(graph, work=np.ones(graph.neurons), packet_in=0.0, packet_out=0.0)
    return fitted(counted, group, capacity, cores, lambda share: blocks(group, share))


def blocks(group: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Each group in share[group] runs of neurons that differ in length by one at most."""
    core, first = np.full(len(group), -1, np.int32), 0
    for number, count in enumerate(share.tolist()):
        own = np.flatnonzero(group == number)
        core[own] = first + np.arange(len(own)) * count // max(len(own), 1)
        first += count
    return core


def by_pymetis(graph: NeuronGraph, capacity: Capacity, share: np.ndarray, seed: int) -> np.ndarray:
    """The same by METIS, which knows work and an edge cut, and no limit of a core."""
    try:
        pymetis = importlib.import_module("pymetis")
    except ImportError as error:
        raise ImportError("method pymetis takes the package of that name: pip install pymetis") from error
    generator = np.random.default_rng(seed)
    free = np.flatnonzero(graph.group >= 0)
    nets = nets_of(graph, free, PINS, generator)
    near = ratings(nets, nets.group, generator)
    whole = np.maximum(np.rint(nets.sizes[:, WORK] * 1e6 / max(nets.sizes[:, WORK].max(initial=0), 1e-300)), 1)
    core, first = np.full(graph.neurons, -1, np.int32), 0
    for group, cores in enumerate(share):
        own = np.flatnonzero(nets.group == group)
        table = near[own][:, own]
        weight = np.maximum(np.rint(table.data * 1e4 / max(table.data.max(initial=0), 1e-300)), 1)
        _, part = pymetis.part_graph(
            int(cores), xadj=table.indptr, adjncy=table.indices, vweights=whole[own].astype(int),
            eweights=weight.astype(int), options=pymetis.Options(seed=seed),
        )  # fmt: skip
        core[free[own]] = first + np.asarray(part)
        first += int(cores)
    return core


METHODS = {
    "multilevel": multilevel,
    "loose": partial(multilevel, even=0.05),
    "steady": partial(multilevel, steady=64.0),
    "spread": lambda graph, capacity, share, seed: spread(graph, capacity, share),
    "pymetis": by_pymetis,
}
"""The partitioners by name, each (graph, capacity, share, seed) -> core of each neuron: `loose` has fewer packets for
less even work, `steady` more packets for cores that are busy at the same times."""
