"""A network run step by step in numpy, in the canonical order: every other way of running equals it, bit by bit."""

from collections.abc import Sequence

import numpy as np

from .network import Network, Population, Projection, through


def run(network: Network, inputs: Sequence[np.ndarray], records: Sequence[str]) -> list[np.ndarray]:
    """What is recorded over the steps of `inputs`.

    `inputs` are [steps, batch, *shape], of spikes (0 or 1) or currents, one for each input of the network; `records`
    are `"population"` for its spikes (0 or 1) or `"population.state"`, each [steps, batch, *shape] of the population's
    type.
    """
    steps, batch = common_length(network, inputs)
    given = {i: spikes_or_currents(network.populations[i], x) for i, x in zip(network.inputs, inputs, strict=True)}
    states = [p.start(batch) for p in network.populations]
    sent: list[list[np.ndarray]] = [[] for _ in network.populations]
    kept: list[list[np.ndarray]] = [[] for _ in records]
    for step in range(steps):
        for i in network.order:
            population = network.populations[i]
            if population.step is None:
                sent[i].append(given[i][step].reshape(batch, population.size))
                continue
            x = arriving(network, i, sent, step, batch)
            fired = population.step(states[i], population.parameters or {}, x, np.where)
            sent[i].append(np.asarray(states[i]["v"] if fired is None else fired))
        for name, values in zip(records, kept, strict=True):
            values.append(recorded(network, name, states, sent))
    if not steps:
        recordings = [network.populations[network.find(name.partition(".")[0])] for name in records]
        return [np.zeros((0, batch, *population.shape), population.dtype) for population in recordings]
    return [np.stack(values) for values in kept]


def common_length(network: Network, inputs: Sequence[np.ndarray]) -> tuple[int, int]:
    """The steps and the batch of all inputs. Raises ValueError where they differ."""
    found = {x.shape[:2] for x in inputs}
    for i, x in zip(network.inputs, inputs, strict=True):
        population = network.populations[i]
        if x.shape[2:] != population.shape:
            raise ValueError(f"@{population.name} is [steps, batch, *{list(population.shape)}], got {list(x.shape)}")
    if len(found) != 1:
        raise ValueError(f"inputs have the same steps and batch, got {sorted(found)}")
    return found.pop()


def spikes_or_currents(population: Population, x: np.ndarray) -> np.ndarray:
    """`x`. Raises ValueError where an input of spikes holds anything but 0 and 1."""
    if not population.analog and not np.all((x == 0) | (x == 1)):
        raise ValueError(f"@{population.name} takes spikes, 0 or 1: others are currents, of an input that is `analog`")
    return x


def recorded(network: Network, name: str, states: list, sent: list) -> np.ndarray:
    """One record after a step."""
    name, _, state = name.partition(".")
    i = network.find(name)
    population = network.populations[i]
    value = states[i][state] if state else sent[i][-1]
    return value.astype(population.dtype).reshape(len(value), *population.shape)


def arriving(network: Network, target: int, sent: list[list[np.ndarray]], step: int, batch: int) -> np.ndarray:
    """The input of a population in a step, [batch, size]: its projections' sums, added in the order of the text."""
    population = network.populations[target]
    total: np.ndarray | None = None
    for projection in network.projections:
        if projection.target == target:
            value = carried(network, projection, sent[projection.source], step, batch)
            total = value if total is None else total + value
    return np.zeros((batch, population.size), population.dtype) if total is None else total


def carried(network: Network, projection: Projection, sent: list[np.ndarray], step: int, batch: int) -> np.ndarray:
    """What a projection brings in a step, [batch, out]: older spikes first."""
    source, target = network.populations[projection.source], network.populations[projection.target]
    nothing = np.zeros((batch, source.size), target.dtype)

    def at(delay: int) -> np.ndarray:
        return sent[step - delay].astype(target.dtype) if step >= delay else nothing

    if isinstance(projection.delay, int):
        x = at(projection.delay).T
        for stage in projection.stages:
            x = through(stage, x)
        return np.ascontiguousarray(x.T)
    delayed = np.concatenate([at(delay) for delay in projection.delays], axis=1).T
    x = projection.delayed_product @ delayed
    for stage in projection.stages:
        if stage.bias is not None:
            x = through(stage, x)
    return np.ascontiguousarray(x.T)
