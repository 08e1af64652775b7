"""A whole network, event by event: who fires when, given when its inputs do.

    raster = simulate(engine, spikes_of_the_inputs, steps)

Neurons are numbered through the network; the raster holds the inputs' spikes too. Time goes in windows, so that memory
does not grow with the steps: what is still on its way at the end of a window is carried into the next. Equal, bit by
bit, to `reference.run`, which does it where an `Engine` cannot be had.
"""

import numpy as np

from .arrays import Raster
from .engine import Engine
from .network import Network
from .passage import Passage
from .reference import run

WINDOW = 1 << 26
"""Entries of lists that a window may have room for."""


def simulate(network: Engine | Network, given: Raster, steps: int) -> Raster:
    """The spikes of every neuron in `steps` steps, the inputs' being `given`; what is given later is left out.

    Raises ValueError where an input is analog, or a neuron that is none is given spikes.
    """
    nets = network.network if isinstance(network, Engine) else network
    if analog := [nets.populations[i].name for i in nets.inputs if nets.populations[i].analog]:
        raise ValueError(f"@{analog[0]} takes currents: a raster holds spikes")
    if len(given.neuron) and not 0 <= given.neuron.min() <= given.neuron.max() < nets.neurons:
        raise ValueError(f"@{nets.name} has {nets.neurons} neurons, spikes are given of others")
    if len(odd := given.neuron[~nets.is_input[given.neuron]]):
        raise ValueError(f"neuron {odd[0]} is no input of @{nets.name}: it fires by itself")
    if isinstance(network, Engine):
        return by_windows(network, given, steps)
    return step_by_step(network, given, steps)


def step_by_step(network: Network, given: Raster, steps: int) -> Raster:
    """By the reference; all in memory."""
    full = np.zeros((steps, network.neurons), np.float32)
    for step in range(min(steps, given.steps)):
        full[step, given.at(step)] = 1
    inputs = [full[:, None, p.first : p.last] for p in network.populations if p.step is None]
    shaped = [x.reshape(steps, 1, *network.populations[i].shape) for i, x in zip(network.inputs, inputs, strict=True)]
    firing = [p for p in network.populations if p.step is not None and not p.silent]
    for population, spikes in zip(firing, run(network, shaped, [p.name for p in firing]), strict=True):
        full[:, population.first : population.last] = spikes.reshape(steps, population.size)
    return Raster.of(full > 0)


def by_windows(engine: Engine, given: Raster, steps: int) -> Raster:
    """By the kernels."""
    network = engine.network
    past = max((p.delays[0] for p in network.projections), default=0)
    widest = sum(engine.stride(p) for p in network.populations)
    window = max(min(steps, WINDOW // max(widest, 1)), past, 1)
    passage = Passage.start(engine, past + window, 1)
    for lists in passage.lists:
        lists.counts[:past] = 0
    found: list[np.ndarray] = []
    for begin in range(0, steps, window):
        count = min(window, steps - begin)
        for i in network.inputs:
            population = network.populations[i]
            for step in range(count):
                fired = given.at(begin + step) if begin + step < given.steps else given.neuron[:0]
                low, high = np.searchsorted(fired, (population.first, population.last))
                passage.lists[i].put(past + step, fired[low:high] - population.first)
        passage.go(past, past + count)
        found += [active(network, passage, past + step) for step in range(count)]
        carry(passage, past, count)
    passage.close()
    return Raster.stacked(found)


def active(network: Network, passage: Passage, row: int) -> np.ndarray:
    """The neurons that fired in a row, numbered through the network."""
    firing = [i for i, population in enumerate(network.populations) if not population.silent]
    parts = [passage.lists[i].of(row) + network.populations[i].first for i in firing]
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def carry(passage: Passage, past: int, count: int) -> None:
    """The last `past` rows become the first."""
    if not past:
        return
    for lists in passage.lists:
        lists.ids[:past] = lists.ids[count : count + past]
        lists.counts[:past] = lists.counts[count : count + past]
    for name in passage.kept:
        passage.kept[name][:past] = passage.kept[name][count : count + past]
