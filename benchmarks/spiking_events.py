"""Synaptic events a second: a whole network simulated event by event, small and large, with and without delays."""

import time
from collections.abc import Callable

import numpy as np
from gossamer.compiler.simulation import engine_of, network_of
from gossamer.runtime.spiking.arrays import Raster, Synapses
from gossamer.runtime.spiking.events import simulate
from gossamer.runtime.spiking.network import read_network

from .sections import Section
from .spiking_modules import module_of
from .spiking_networks import Wiring
from .spiking_workloads import Workload

CASES = {"4k": (4_096, 128, 400), "100k": (100_000, 100, 100), "1M": (1_000_000, 100, 20)}
"""Neurons, synapses of each, steps."""
DRIVE, RATE, GOAL = 0.1, 0.05, 15.0
"""Part of the neurons that are inputs, and how often each fires; million events a second that are asked for."""


def random_network(neurons: int, fan: int, steps: int, longest: int) -> Workload:
    """Neurons that reach others at random, `longest` steps later at most, driven by inputs."""
    rng, told = np.random.default_rng(0), int(DRIVE * neurons)
    wiring = Wiring()
    wiring.add("input", told, "input")
    wiring.add("cells", neurons - told)
    source = np.repeat(np.arange(neurons, dtype=np.int64), fan)
    target = rng.integers(told, neurons, len(source))
    weight = rng.integers(-64, 40, len(source)).astype(np.int32)
    delay = rng.integers(1, longest + 1, len(source)).astype(np.uint16)
    synapses = Synapses.of(neurons, source, target, weight, delay)
    fired = Raster.stacked([np.flatnonzero(rng.random(told) < RATE).astype(np.int32) for _ in range(steps)])
    whole = np.full(neurons, 1, np.int32)
    return Workload("random", synapses, tuple(wiring.populations), (), 0 * whole, fired, 48 * whole, 4 * whole)


def spiking_events(quick: bool, show: Callable[[str], object]) -> Section:
    """The table."""
    rows = []
    for name, (neurons, fan, steps) in CASES.items():
        if quick and name != "4k":
            continue
        for longest in (1, 15):
            show(f"{name} neurons, delays up to {longest}")
            rows.append(measured(name, random_network(neurons, fan, 20 if quick else steps, longest), longest))
    columns = ("neurons", "synapses", "delays", "steps", "fires", "events", "seconds", "M events/s")
    notes = [
        f"at least {GOAL:g} M events/s are asked for; SANA-FE's simple mode was seen at 12.3 M/s on such a machine"
    ]
    return Section("spiking-events", "Functional simulation, synaptic events a second", columns, rows, notes)


def measured(name: str, load: Workload, longest: int) -> tuple[str, ...]:
    """One network, the better of two runs."""
    module, weights = module_of(load)
    network = read_network(network_of(module), weights)
    engine = engine_of(module, network) or network
    raster, seconds = load.inputs, []
    for _ in range(2):
        start = time.perf_counter()
        raster = simulate(engine, load.inputs, load.steps)
        seconds.append(time.perf_counter() - start)
    events = int(np.diff(load.synapses.offsets)[raster.neuron].sum())
    fires = len(raster.neuron) / max(1, load.neurons * load.steps)
    delays = "1" if longest == 1 else f"1 to {longest}"
    return (name, f"{len(load.synapses):,}", delays, str(load.steps), f"{fires:.1%}", f"{events:,}",
            f"{min(seconds):.2f}", f"{events / min(seconds) / 1e6:.0f}")  # fmt: skip
