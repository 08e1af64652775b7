"""Five spiking networks fire, spike for spike, the same: in torch, step by step, by kernels, and by messages.

| column      | runs                                                                                        |
|-------------|---------------------------------------------------------------------------------------------|
| torch       | dense weights in a loop (`spiking_torch.py`)                                                |
| synchronous | the workload's own loop, synapse by synapse                                                 |
| functional  | the network of the `snn` dialect, by its kernels                                            |
| barrier     | cores in lockstep, by messages that overtake each other                                     |
| group       | cores that wait for those they hear, dense blocks through a collector; messages come twice  |
| dependency  | the same, each core for itself                                                              |
"""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from gossamer.compiler.simulation import engine_of, network_of, simulate
from gossamer.runtime.core_array.groups import dense_blocks
from gossamer.runtime.core_array.mapping import Mapping
from gossamer.runtime.core_array.protocol import Faults, execute
from gossamer.runtime.spiking.arrays import Raster
from gossamer.runtime.spiking.events import simulate as run_events
from gossamer.runtime.spiking.network import read_network

from .core_array import CORES, MACHINE
from .sections import Section
from .spiking_modules import inputs_of, module_of
from .spiking_torch import run_in_torch
from .spiking_workloads import WORKLOADS, Workload, advance, run, workload

POLICIES = ("barrier", "group", "dependency")
FAULTS = Faults(seed=0, latency=400, twice=0.1)


def functional(load: Workload) -> Raster:
    """By the kernels of the dialect's network."""
    module, weights = module_of(load)
    network = read_network(network_of(module), weights)
    engine = engine_of(module, network)
    assert engine is not None, f"{load.name} has no kernels"
    return run_events(engine, load.inputs, load.steps)


def by_messages(load: Workload, mapping: Mapping, policy: str) -> Raster:
    """By cores that tell each other what fired."""
    held = [np.flatnonzero(mapping.core == core) for core in range(mapping.cores)]
    potential = np.zeros(load.neurons, np.int64)

    def update(core: int, step: int, current: np.ndarray) -> np.ndarray:
        own = held[core]
        potential[own], fired = advance(potential[own], current, load.threshold[own].astype(np.int64), load.leak[own])
        return fired

    if policy == "group":
        mapping = replace(mapping, group=dense_blocks(mapping))
    lockstep = "barrier" if policy == "barrier" else "dependency"
    return execute(load.synapses, load.inputs, mapping, update, policy=lockstep, faults=FAULTS)[0]


def mapped(load: Workload, cores: int) -> Mapping:
    """A mapping onto so many cores, as `gossamer simulate` makes it."""
    module, weights = module_of(load)
    return simulate(module, weights, inputs_of(load), machine=MACHINE, cores=cores).mapped.mapping


def ways(load: Workload, cores: int) -> dict[str, Callable[[], Raster]]:
    """All that run a workload, by the name of their column."""
    mapping = mapped(load, cores)
    messages = {policy: lambda policy=policy: by_messages(load, mapping, policy) for policy in POLICIES}
    return {"torch": lambda: run_in_torch(load), "synchronous": lambda: run(load),
            "functional": lambda: functional(load), **messages}  # fmt: skip


def spiking_equality(quick: bool, show: Callable[[str], object]) -> Section:
    """The table: seconds of each. Raises AssertionError where a spike differs."""
    rows: list[tuple[str, ...]] = []
    for name in WORKLOADS:
        show(name)
        load = workload(f"{name}-small" if quick else name)
        runs, expected, seconds = ways(load, 8 if quick else CORES[name]), None, []
        for way, found in runs.items():
            start = time.perf_counter()
            raster = found()
            seconds.append(f"{time.perf_counter() - start:.2f} s")
            expected = raster if expected is None else expected
            assert raster == expected, f"{name}, {way}: differs at {expected.first_difference(raster)}"
        assert expected is not None
        rows.append((name, f"{len(load.synapses):,}", f"{load.steps}", f"{len(expected.neuron):,}", *seconds))
    columns = ("workload", "synapses", "steps", "spikes", "torch", "synchronous", "functional", *POLICIES)
    notes = [
        "all rasters of a row are equal, spike for spike, or there would be no table; seconds are of the run that "
        "made each",
        f"messages take 1 to {FAULTS.latency} units each, overtake one another, and one in ten comes twice",
    ]
    title = "Five spiking networks, equal in torch, step by step, and by messages between cores"
    return Section("spiking-equality", title, columns, rows, notes)
