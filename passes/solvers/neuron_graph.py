"""What a partitioner knows of a spiking network, as arrays: who hears whom, how often each fires, what each costs.

Pure mathematics.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class NeuronGraph:
    """Neurons are numbered over the whole network; those that neuron u reaches are target[offsets[u]:offsets[u + 1]].

    `offsets` int64 [neurons + 1]; `target` int32 and `delay` (steps) [synapses]; `population` int32 and `level` int32
    [neurons], the longest zero-delay path that ends there; `rate` spikes a step and `work` time a step of each neuron
    with its synaptic events; `memory` bytes of its synapses, and `shared` [populations] bytes that a core holds once
    if it holds any neuron of the population; `fixed` bool [neurons], those on no core; `activity` float32 [bins,
    neurons], work by stretch of time. `packet_in` and `packet_out` are times that a core spends on each packet.
    """

    offsets: np.ndarray
    target: np.ndarray
    delay: np.ndarray
    population: np.ndarray
    level: np.ndarray
    rate: np.ndarray
    work: np.ndarray
    memory: np.ndarray
    shared: np.ndarray
    fixed: np.ndarray
    activity: np.ndarray | None = None
    packet_in: float = 0.0
    packet_out: float = 0.0

    def __post_init__(self) -> None:
        neurons, synapses = self.neurons, int(self.offsets[-1])
        for name in ("population", "level", "rate", "work", "memory", "fixed"):
            if len(getattr(self, name)) != neurons:
                raise ValueError(f"{name} is of {len(getattr(self, name))} neurons, offsets of {neurons}")
        if len(self.target) != synapses or len(self.delay) != synapses:
            raise ValueError(f"offsets tell of {synapses} synapses, target has {len(self.target)}, "
                             f"delay {len(self.delay)}")  # fmt: skip
        if synapses and not 0 <= self.target.min() <= self.target.max() < neurons:
            raise ValueError(f"targets are from 0 to {neurons - 1}, got {self.target.min()} to {self.target.max()}")
        for name in ("rate", "work", "memory", "shared"):
            values = getattr(self, name)
            if not (np.isfinite(values).all() and np.all(values >= 0)):
                raise ValueError(f"{name} is finite and not negative")
        if neurons and int(self.population.max()) >= len(self.shared):
            raise ValueError(f"population {self.population.max()} has no entry in shared, which has {len(self.shared)}")
        if self.activity is not None and self.activity.shape[1:] != (neurons,):
            raise ValueError(f"activity is [bins, {neurons}], got {list(self.activity.shape)}")

    @property
    def neurons(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def layered(self) -> bool:
        """Whether any synapse acts within its step, so that levels run one after the other."""
        return bool(np.any(np.asarray(self.delay) == 0))

    @cached_property
    def group(self) -> np.ndarray:
        """Neurons of different groups share no core: 0, 1, .. by level where there are levels; -1 for the fixed."""
        group = np.full(self.neurons, -1, np.int64)
        free = ~np.asarray(self.fixed, bool)
        group[free] = np.unique(self.level[free], return_inverse=True)[1] if self.layered else 0
        return group

    def sources(self, first: int, last: int) -> np.ndarray:
        """The presynaptic neuron of each synapse of neurons first..last - 1."""
        return np.repeat(np.arange(first, last), np.diff(self.offsets[first : last + 1]))


@dataclass(frozen=True)
class Capacity:
    """How many cores there are, and what each can hold. None: no such limit.

    `axons_in` are distinct presynaptic neurons that reach a core, its own neurons' among them;
    `axons_out` distinct (neuron, other core) pairs that leave it; `fan_in` are synapses of one neuron, and `delay` is
    the longest of a synapse in steps.
    """

    cores: int
    neurons: int | None = None
    synapse_bytes: float | None = None
    axons_in: int | None = None
    axons_out: int | None = None
    fan_in: int | None = None
    delay: int | None = None


def levels(offsets: np.ndarray, target: np.ndarray, delay: np.ndarray) -> np.ndarray:
    """The most synapses on a zero-delay path that ends in each neuron, int32 [neurons].

    Raises ValueError where zero-delay synapses close a cycle.
    """
    neurons = len(offsets) - 1
    at_once = np.asarray(delay) == 0
    kept = np.concatenate(([0], np.cumsum(at_once)))[offsets]
    heard = np.asarray(target)[at_once]
    waiting = np.bincount(heard, minlength=neurons)
    level, front, seen = np.zeros(neurons, np.int32), np.flatnonzero(waiting == 0), 0
    for number in range(neurons):
        if not len(front):
            break
        level[front], seen = number, seen + len(front)
        counts = kept[front + 1] - kept[front]
        starts = np.repeat(kept[front] - np.cumsum(counts) + counts, counts)
        reached = heard[starts + np.arange(len(starts))]
        waiting -= np.bincount(reached, minlength=neurons)
        front = np.unique(reached)
        front = front[waiting[front] == 0]
    if seen < neurons:
        stuck = np.flatnonzero(waiting > 0)
        raise ValueError(f"zero-delay synapses close a cycle: {len(stuck)} neurons wait for each other, "
                         f"neuron {stuck[0]} among them")  # fmt: skip
    return level
