"""What any mapping of a recorded run takes: the run's demand, for `passes/solvers/core_bound.py`."""

import numpy as np

from ..passes.solvers.core_bound import Demand, least_time
from ..passes.solvers.neuron_graph import NeuronGraph
from ..runtime.core_array.machine import Machine
from ..runtime.core_array.recording import Recording


def least_makespan(graph: NeuronGraph, recording: Recording, machine: Machine, cores: int) -> float:
    """Nanoseconds that a run takes on `cores` cores at least, whatever the mapping and the policy."""
    return least_time(demand_of(graph, recording, machine), cores)


def demand_of(graph: NeuronGraph, recording: Recording, machine: Machine) -> Demand:
    """What the neurons of a run that are on cores ask of them, in nanoseconds."""
    cost, steps, free = machine.time, recording.raster.steps, graph.group >= 0
    fired = np.bincount(recording.raster.neuron, minlength=graph.neurons)
    own = steps * cost.update + fired * (cost.spike + cost.update_active)
    own += cost.synapse * recording.heard.sum(axis=1)
    pair, arrived = arrivals(recording, fired)
    source, target = np.divmod(pair, graph.neurons)
    hearing = cost.packet_in * np.bincount(target, arrived, graph.neurons)
    groups = int(graph.group.max(initial=-1)) + 1
    placed = free[target]
    cell = source[placed] * groups + graph.group[target[placed]]
    targets = np.bincount(cell, minlength=graph.neurons * groups).reshape(graph.neurons, groups)
    return Demand(
        group=graph.group[free],
        own=own[free],
        hearing=hearing[free],
        leaving=cost.packet_out * fired[free],
        targets=targets[free],
        apart=cost.step * steps,
    )


def arrivals(recording: Recording, fired: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct pairs source * neurons + target of a synapse, and the spikes that come along each in the run."""
    synapses, raster = recording.synapses, recording.raster
    neurons, longest = synapses.neurons, int(synapses.delay.max(initial=0))
    left = np.minimum(raster.steps - raster.step.astype(np.int64), longest + 1)
    ends = np.bincount(raster.neuron.astype(np.int64) * (longest + 2) + left, minlength=neurons * (longest + 2))
    late = np.cumsum(ends.reshape(neurons, longest + 2), axis=1)
    source, target, delay = recording.longest_first
    pair = source.astype(np.int64) * neurons + target
    # Of several synapses the last one comes first: `longest_first` is by source, then from long to short.
    pair, last = np.unique(pair[::-1], return_index=True)
    delay, source = delay[::-1][last], pair // max(neurons, 1)
    return pair, fired[source] - late[source, delay]
