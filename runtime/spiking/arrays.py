"""What a spiking network is when it runs, and what comes out, as plain arrays.

Neurons are numbered through the whole network, one population after the other; inputs are populations too. Steps are
numbered from 0. A spike of step t over a synapse of delay d acts in step t + d: delay 0 is the order of layers within
one step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

NO_CORE = -1
"""The core of a neuron that is on none: an input, whose spikes the host injects."""


@dataclass(frozen=True)
class Synapses:
    """Who hears whom: the synapses of neuron i are those from `offsets[i]` to `offsets[i + 1]`.

    `offsets` int64 [neurons + 1]; `target` int32, ascending for each neuron; `weight` int32 or float32; `delay` uint16,
    in steps: all [synapses].
    """

    offsets: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    delay: np.ndarray

    def __len__(self) -> int:
        return len(self.target)

    @property
    def neurons(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def source(self) -> np.ndarray:
        """The presynaptic neuron of each synapse, int32 [synapses]."""
        return np.repeat(np.arange(self.neurons, dtype=np.int32), np.diff(self.offsets))

    @classmethod
    def of(cls, neurons: int, source: np.ndarray, target: np.ndarray, weight: np.ndarray, delay: np.ndarray | int):
        """Synapses in any order, brought into that of their neurons. Equal pairs stay apart."""
        order = np.lexsort((target, source))
        delays = np.broadcast_to(np.asarray(delay, np.uint16), np.shape(source))
        offsets = np.concatenate(([0], np.cumsum(np.bincount(source, minlength=neurons)))).astype(np.int64)
        return cls(offsets, target[order].astype(np.int32), weight[order], delays[order])


@dataclass(frozen=True)
class Raster:
    """Which neurons fired when: those of step t are `neuron[offsets[t] : offsets[t + 1]]`, ascending.

    `offsets` int64 [steps + 1]; `neuron` int32 [spikes].
    """

    offsets: np.ndarray
    neuron: np.ndarray

    @property
    def steps(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def step(self) -> np.ndarray:
        """The step of each spike, int32 [spikes]."""
        return np.repeat(np.arange(self.steps, dtype=np.int32), np.diff(self.offsets))

    def at(self, step: int) -> np.ndarray:
        """The neurons that fired in a step."""
        return self.neuron[self.offsets[step] : self.offsets[step + 1]]

    def dense(self, neurons: int) -> np.ndarray:
        """As bool [steps, neurons]."""
        full = np.zeros((self.steps, neurons), bool)
        full[self.step, self.neuron] = True
        return full

    @classmethod
    def of(cls, dense: np.ndarray) -> "Raster":
        """Of bool [steps, neurons]."""
        step, neuron = np.nonzero(dense)
        offsets = np.searchsorted(step, np.arange(len(dense) + 1))
        return cls(offsets.astype(np.int64), neuron.astype(np.int32))

    @classmethod
    def stacked(cls, steps: Sequence[np.ndarray]) -> "Raster":
        """Of the neurons of each step."""
        offsets = np.cumsum([0, *map(len, steps)]).astype(np.int64)
        return cls(offsets, np.concatenate([*steps, np.zeros(0)]).astype(np.int32))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Raster):
            return NotImplemented
        return np.array_equal(self.offsets, other.offsets) and np.array_equal(self.neuron, other.neuron)

    __hash__ = object.__hash__

    def first_difference(self, other: "Raster") -> tuple[int, int] | None:
        """The first step, and the lowest neuron of it, that fired in one raster alone; None where they are equal."""
        for step in range(max(self.steps, other.steps)):
            mine, theirs = (r.at(step) if step < r.steps else np.zeros(0, np.int32) for r in (self, other))
            if not np.array_equal(mine, theirs):
                apart = np.setxor1d(mine, theirs)
                return step, int(apart[0]) if len(apart) else int(mine[0])
        return None
