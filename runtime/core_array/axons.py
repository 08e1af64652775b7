"""Axons: the distinct (neuron, core, delay) triples of a network whose neurons sit on cores.

    synapses of neuron 7: to 1 and 2 on core 0, delay 1; to 3 on core 0, delay 4; to 9 on core 2, delay 1
    ->  (7, core 0, delay 1) 2 synapses    (7, core 0, delay 4) 1 synapse    (7, core 2, delay 1) 1 synapse

A spike sends one packet to each core that its neuron reaches: cores keep delays with their synapses. Costs one sort of
the synapses as integers: 20 ms for 700,000.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..spiking.arrays import NO_CORE, Synapses


@dataclass(frozen=True)
class Axons:
    """Sorted by neuron, core, delay; `synapses` are behind each. All int64 [axons]."""

    neuron: np.ndarray
    core: np.ndarray
    delay: np.ndarray
    synapses: np.ndarray

    def __len__(self) -> int:
        return len(self.neuron)

    @cached_property
    def lead(self) -> np.ndarray:
        """The first axon of each neuron to each core, that of the shortest delay: bool [axons]."""
        new = (np.diff(self.neuron) != 0) | (np.diff(self.core) != 0)
        return np.concatenate(([True], new))[: len(self)]


def axons_of(synapses: Synapses, core: np.ndarray, cores: int) -> Axons:
    """The axons of a network with neuron i on `core[i]`; what leads to neurons on no core is left out."""
    delays = int(synapses.delay.max(initial=0)) + 1
    size = max(1, synapses.neurons * cores * delays)
    kind = np.int32 if size < 2**31 else np.int64
    onto = core.astype(kind)[synapses.target]
    key = (synapses.source.astype(kind) * kind(cores) + onto) * kind(delays) + synapses.delay.astype(kind)
    if (onto == NO_CORE).any():
        key = key[onto != NO_CORE]
    key.sort()
    first = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1]))[: len(key)])
    pair, delay = np.divmod(key[first].astype(np.int64), delays)
    neuron, target = np.divmod(pair, cores)
    return Axons(neuron, target, delay, np.diff(np.append(first, len(key))))
