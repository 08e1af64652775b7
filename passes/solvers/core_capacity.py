"""Does a network fit, and if it does not, by how much and what would help? Pure mathematics."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .core_shares import paces, shares
from .core_usage import carried, usage
from .neuron_graph import Capacity, NeuronGraph

ROOM = 1.05
"""Where no number of cores is given, so many times as many as the least are tried first, and then each time more."""
SPLITS = 16
"""Times that a population whose axons are too many is split further, at most."""
DEALS = 3
"""Times that cores are dealt out to groups anew."""
HELD = ("neurons", "synapse_bytes", "axons_in", "axons_out")
"""The limits of what a core holds, by their names in `Usage`; the others are of one neuron, wherever it is."""
WORDS = {"fan_in": "synapses of one neuron (fan in)", "delay": "steps of delay"}
"""What is counted, where the name of the limit does not say it."""


@dataclass
class CapacityError(Exception):
    """`population` needs `needed` of what `limit` names where only `available` are.

    `cores` is a number of cores that would do, and `parts` how many the population has to be split into, where known.
    """

    limit: str
    population: int
    needed: float
    available: float
    suggestion: str
    cores: int | None = None
    parts: int | None = None

    @property
    def excess(self) -> float:
        """By how much it does not fit."""
        return self.needed - self.available

    @property
    def told(self) -> str:
        """`needs 300 axons in, there are 256 (44 too many)`"""
        what = WORDS.get(self.limit, self.limit.replace("_", " "))
        return f"needs {self.needed:g} {what}, there are {self.available:g} ({self.excess:g} too many)"

    def __str__(self) -> str:
        return f"population {self.population} {self.told}: {self.suggestion}"


def fewest(graph: NeuronGraph, group: np.ndarray, capacity: Capacity) -> np.ndarray:
    """The fewest cores that each group of neurons could do with, int64 [groups], by neurons and bytes alone.

    Raises `CapacityError` where one neuron alone is too much for a core.
    """
    free = group >= 0
    check_synapses(graph, free, capacity)
    groups = int(group.max(initial=-1)) + 1
    least = np.minimum(np.bincount(group[free], minlength=groups), 1)
    if capacity.neurons is not None:
        least = np.maximum(least, -(-np.bincount(group[free], minlength=groups) // max(capacity.neurons, 1)))
    if capacity.synapse_bytes is not None:
        alone = np.where(free, graph.memory + graph.shared[graph.population], 0.0)
        most = int(np.argmax(alone)) if len(alone) else 0
        if len(alone) and alone[most] > capacity.synapse_bytes:
            raise CapacityError("synapse_bytes", int(graph.population[most]), float(alone[most]),
                                capacity.synapse_bytes, f"neuron {most} alone fills more than a core")  # fmt: skip
        pairs = np.unique(np.stack([group[free], graph.population[free]]), axis=1)
        total = np.bincount(group[free], graph.memory[free], groups)
        total += np.bincount(pairs[0], graph.shared[pairs[1]], groups)
        least = np.maximum(least, np.ceil(total / capacity.synapse_bytes - 1e-9).astype(np.int64))
    if capacity.axons_in is not None:
        check_hearing(graph, free, capacity.axons_in)
    if free.any() and capacity.neurons == 0:
        raise CapacityError("neurons", int(graph.population[free][0]), 1, 0, "a core holds none at all")
    return least


def check_synapses(graph: NeuronGraph, free: np.ndarray, capacity: Capacity) -> None:
    """Raises `CapacityError` for a neuron of too many synapses, or with one of too long a delay: no split helps it."""
    own = free[graph.target]
    if capacity.fan_in is not None:
        count = np.bincount(graph.target[own], minlength=graph.neurons)
        most = int(count.argmax()) if len(count) else 0
        if count.max(initial=0) > capacity.fan_in:
            raise CapacityError("fan_in", int(graph.population[most]), int(count[most]), capacity.fan_in,
                                f"neuron {most} alone has so many: no split fits, only fewer synapses do")  # fmt: skip
    if capacity.delay is not None:
        delay = np.where(own, graph.delay, 0)
        longest = int(delay.max(initial=0))
        if longest > capacity.delay:
            target = graph.target[delay.argmax()]
            raise CapacityError("delay", int(graph.population[target]), longest, capacity.delay,
                                "no split fits, only shorter delays or longer steps do")  # fmt: skip


def check_hearing(graph: NeuronGraph, free: np.ndarray, limit: int) -> None:
    """Raises `CapacityError` for a neuron that hears more neurons than a core may: no split helps it."""
    crowded = (np.bincount(graph.target, minlength=graph.neurons) > limit) & free
    if not crowded.any():
        return
    behind = crowded[graph.target]
    pairs = np.repeat(np.arange(graph.neurons), np.diff(graph.offsets))[behind] * graph.neurons + graph.target[behind]
    heard = np.bincount(np.unique(pairs) % graph.neurons, minlength=graph.neurons)
    most = int(heard.argmax())
    if heard[most] > limit:
        raise CapacityError("axons_in", int(graph.population[most]), int(heard[most]), limit,
                            "a neuron alone hears so many: no split fits, only fewer synapses do")  # fmt: skip


def too_few(graph: NeuronGraph, capacity: Capacity, least: np.ndarray, cores: int) -> CapacityError:
    """What to say where `cores` are fewer than all groups need."""
    needed = int(least.sum())
    free = graph.group >= 0
    shares = np.zeros(len(graph.shared))
    sizes = np.bincount(graph.population[free], minlength=len(shares))
    if capacity.neurons:
        shares = np.maximum(shares, sizes / capacity.neurons)
    if capacity.synapse_bytes:
        held = np.bincount(graph.population[free], graph.memory[free], len(shares))
        shares = np.maximum(shares, held / capacity.synapse_bytes)
    largest = int(np.argmax(np.where(sizes > 0, shares + 1e-9 * sizes, -1)))
    parts = max(int(np.ceil(shares[largest] - 1e-9)), 1)
    return CapacityError("cores", largest, needed, cores, parts=parts, cores=needed,
                         suggestion=f"the network takes at least {needed} cores, "
                                    f"this population split into {parts} of them")  # fmt: skip


def check(graph: NeuronGraph, core: np.ndarray, cores: int, capacity: Capacity) -> None:
    """Raises `CapacityError` for the core that is fullest beyond a limit."""
    axons = capacity.axons_in is not None or capacity.axons_out is not None
    used = usage(graph, core, cores, axons)
    worst = None
    for name in HELD:
        limit, held = getattr(capacity, name), getattr(used, name)
        if limit is None or not len(held) or held.max() <= limit:
            continue
        if worst is None or held.max() * worst[2] > worst[1] * limit:
            worst = name, float(held.max()), limit, int(np.argmax(held))
    if worst is not None:
        name, needed, limit, where = worst
        population = int(np.bincount(graph.population[core == where]).argmax())
        spread = len(np.unique(core[(graph.population == population) & (core >= 0)]))
        parts = int(np.ceil(spread * needed / max(limit, 1)))
        more = int(np.ceil(cores * needed / max(limit, 1)))
        told = (f"on core {where}; in {parts} parts in place of {spread} it would fit, "
                f"those it {'reaches' if name == 'axons_out' else 'hears'} on as many cores as now")  # fmt: skip
        if not name.startswith("axons"):
            told = (f"on core {where}; about {more} cores would do in place of {cores}, "
                    f"the population in {parts} parts in place of {spread}")  # fmt: skip
        raise CapacityError(name, population, needed, limit, told, cores=more, parts=parts)


def fitted(
    graph: NeuronGraph,
    group: np.ndarray,
    capacity: Capacity,
    cores: int | None,
    solve: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """What `solve` makes of so many cores for each group [neurons]; without a number of cores, of the first that do."""
    if cores is not None and not 0 <= cores <= capacity.cores:
        raise ValueError(f"{cores} cores are asked of an array of {capacity.cores}")
    least = fewest(graph, group, capacity)
    available = capacity.cores if cores is None else cores
    if least.sum() > available:
        raise too_few(graph, capacity, least, available)
    if not least.sum():
        return np.full(graph.neurons, -1, np.int32)
    count = available if cores is not None else min(int(np.ceil(ROOM * least.sum())), available)
    splits = 0
    while True:
        core = solved(graph, group, least, count, solve)
        try:
            check(graph, core, count, capacity)
            return core
        except CapacityError as error:
            if error.limit.startswith("axons") and splits < SPLITS:
                splits += 1
                split = further(graph, group, core, error)
                if least[split[0]] < split[1] and least.sum() - least[split[0]] + split[1] <= available:
                    least[split[0]] = split[1]
                    count = max(count, min(int(np.ceil(ROOM * least.sum())), available))
                    continue
            if count >= available:
                raise
            count = min(int(np.ceil(ROOM * count)), available)


def further(graph: NeuronGraph, group: np.ndarray, core: np.ndarray, error: CapacityError) -> tuple[int, int]:
    """The group of the neurons whose axons are too many, and how many cores it should have; others keep theirs."""
    own = (graph.population == error.population) & (core >= 0)
    where = int(group[own].max())
    now = len(np.unique(core[group == where]))
    return where, max(now + 1, int(np.ceil(now * error.needed / max(error.available, 1))))


def solved(
    graph: NeuronGraph, group: np.ndarray, least: np.ndarray, count: int, solve: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """What `solve` makes of `count` cores, dealt out by work, and again by work with the packets that come of it: the
    one of some deals whose busiest core is done first."""
    share = dealt(graph.work, np.zeros(len(least)), group, least, count)
    best, longest, seen = solve(share), np.inf, [share.tolist()]
    core = best
    while len(least) > 1 and (graph.packet_in or graph.packet_out):
        used = usage(graph, core, count)
        if used.work.max() < longest:
            best, longest = core, float(used.work.max())
        moving = carried(graph, core, count)
        staying = used.packets - np.bincount(core[core >= 0], moving[core >= 0], count)
        of = np.repeat(np.arange(len(least)), share)
        apiece = np.bincount(of, staying[: len(of)], len(least)) / share
        share = dealt(graph.work + moving, apiece, group, least, count)
        if share.tolist() in seen or len(seen) > DEALS:
            break
        seen.append(share.tolist())
        core = solve(share)
    return best


def dealt(work: np.ndarray, apiece: np.ndarray, group: np.ndarray, least: np.ndarray, count: int) -> np.ndarray:
    """How many of `count` cores each group gets, where a core of group g does apiece[g] beside its neurons' work."""
    members = [work[group == number] for number in range(len(least))]
    known = [paces(each, count, extra) for each, extra in zip(members, apiece.tolist(), strict=True)]
    return shares(known, np.minimum(least, [len(each) for each in members]), count)
