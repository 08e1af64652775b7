"""Five spiking networks on a core array: dependencies against the three barriers, and against what no schedule beats.

Mapped by a profile of other inputs to the same network, then timed with control messages charged and packets that
contend for links.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from gossamer.compiler.simulation import Simulation, simulate
from gossamer.runtime.spiking.arrays import Raster

from .sections import Section
from .spiking_modules import inputs_of, module_of
from .spiking_workloads import WORKLOADS, Workload, run, workload

CORES = {"mlp": 32, "srnn": 32, "conv": 32, "sheet": 64, "pd": 68}
PROFILES = (1, 2, 3, 4)
"""Seeds of the inputs that are profiled; those that are timed have seed 0."""
BARRIERS = ("sequential", "pipelined", "cheap")
MACHINE = "loihi1"
PAPER = {"time": 1.86, "energy": 1.55}
"""Over barriers, on five other workloads: DepAsync, arXiv 2407.20947."""


def profile_of(load: Workload, name: str) -> Raster:
    """The same network, told other spikes: some runs, one after the other."""
    others = [workload(name, seed=seed).inputs for seed in PROFILES]
    runs = [run(replace(load, inputs=inputs)) for inputs in others]
    return Raster.stacked([found.at(step) for found in runs for step in range(found.steps)])


def simulated(name: str, cores: int, *, packets: bool = True, policy: str = "auto") -> Simulation:
    """One workload, mapped by other inputs. Raises AssertionError where the raster is not that of the workload."""
    load = workload(name)
    module, weights = module_of(load)
    found = simulate(
        module,
        weights,
        inputs_of(load),
        machine=MACHINE,
        policy=policy,
        cores=cores,
        packets=packets,
        profile=profile_of(load, name),
    )
    assert found.raster == run(load), f"{name}: other spikes than the workload"
    return found


def core_array(quick: bool, show: Callable[[str], object]) -> Section:
    """The table."""
    rows, gains = [], []
    for name in WORKLOADS:
        show(name)
        found = simulated(f"{name}-small" if quick else name, 8 if quick else CORES[name])
        rows.append(line(name, found))
        gains.append(ratios(found))
    mean = np.exp(np.log(np.array(gains)).mean(axis=0))
    times, bounds = [f"{value:.2f}x" for value in mean[:4]], [f"{value:.0%}" for value in mean[4:]]
    rows.append(("geometric mean", "", "", "", "", *times, *bounds, ""))
    columns = ("workload", "synapses", "cores", "edges", "time", "over sequential", "over pipelined", "over ideal",
               "energy of sequential", "of core bound", "of work bound", "control / packet")  # fmt: skip
    notes = [
        "over sequential: layers of a step one after the other, then a measured barrier; over pipelined: all layers at "
        "once, a measured barrier each step; over ideal: the same with the published hardware barrier",
        "of core bound: no schedule of this mapping is faster than its busiest core; of work bound: nor any mapping "
        "than all work shared evenly",
        f"DepAsync (arXiv 2407.20947) tells {PAPER['time']}x in time and {PAPER['energy']}x in energy, of five other "
        "workloads over a barrier it calls state of the art",
    ]
    title = f"Five spiking networks on {MACHINE}, policy auto, control messages charged, links contended for"
    return Section("core-array", title, columns, rows, notes)


def ratios(found: Simulation) -> list[float]:
    """Over each barrier in time, over sequential in energy, and of the bounds."""
    timing = found.timing
    energy = timing.baseline_energies["sequential"].total / timing.energy_pj.total
    bounds = [timing.bounds.core / timing.makespan_ns, timing.bounds.work / timing.makespan_ns]
    return [*(timing.speedups[name] for name in BARRIERS), energy, *bounds]


def line(name: str, found: Simulation) -> tuple[str, ...]:
    """One workload's row."""
    timing, gains = found.timing, ratios(found)
    return (
        name,
        f"{len(found.synapses):,}",
        str(timing.mapping.cores),
        f"{len(timing.mapping.edges):,}",
        f"{timing.makespan_ns / 1000:.0f} us",
        *(f"{value:.2f}x" for value in gains[:4]),
        *(f"{value:.0%}" for value in gains[4:]),
        f"{timing.control_per_packet:.2f}",
    )
