"""Five spiking networks on a core array: dependencies against the three barriers, and against what no schedule beats.

Mapped by a profile of other inputs to the same network, then timed with control messages charged and packets that
contend for links.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
from gossamer.compiler.simulation import Simulation, simulate
from gossamer.runtime.core_array.recording import Recording
from gossamer.runtime.core_array.simulator import Timing, makespan
from gossamer.runtime.spiking.arrays import Raster

from .sections import Section
from .spiking_modules import inputs_of, module_of
from .spiking_workloads import WORKLOADS, Workload, run, workload

CORES = {"mlp": 32, "srnn": 32, "conv": 32, "sheet": 64, "pd": 68}
PROFILES = (1, 2, 3, 4)
"""Seeds of the inputs that are profiled; those that are timed have seed 0."""
BARRIERS = ("sequential", "pipelined", "cheap")
MACHINE = "loihi1"
SCHEDULED = ("control", "barrier", "static")
"""What of the energy depends on when cores run, and not on what they do."""
PAPER = {"time": 1.86, "energy": 1.55}
"""Over barriers, on five other workloads: DepAsync, arXiv 2407.20947."""


def profile_of(load: Workload, name: str) -> Raster:
    """The same network, told other spikes: some runs, one after the other."""
    others = [workload(name, seed=seed).inputs for seed in PROFILES]
    runs = [run(replace(load, inputs=inputs)) for inputs in others]
    return Raster.stacked([found.at(step) for found in runs for step in range(found.steps)])


def simulated(name: str, cores: int, *, foreseen: bool, policy: str = "auto") -> Simulation:
    """One workload, mapped for a policy by the run itself where that is `foreseen`, else by other inputs.

    Raises AssertionError where the raster is not that of the workload.
    """
    load = workload(name)
    module, weights = module_of(load)
    profile = None if foreseen else profile_of(load, name)
    found = simulate(
        module, weights, inputs_of(load), machine=MACHINE, cores=cores, packets=True, profile=profile, policy=policy
    )
    assert found.raster == run(load), f"{name}: other spikes than the workload"
    return found


def core_array(quick: bool, show: Callable[[str], object]) -> Section:
    """The table."""
    rows, gains, foreseen, timings = [], [], [], []
    for name in WORKLOADS:
        show(name)
        case = f"{name}-small" if quick else name, 8 if quick else CORES[name]
        found = simulated(*case, foreseen=False)
        gains.append(ratios(found, simulated(*case, foreseen=False, policy="barrier")))
        rows.append(line(name, found, gains[-1]))
        timings.append(found.timing)
        known = simulated(*case, foreseen=True)
        foreseen.append(ratios(known, known))
    rows.append(("geometric mean", "", "", "", "", *shown(gains), "", ""))
    rows.append(("the same, the run foreseen", "", "", "", "", *shown(foreseen), "", ""))
    columns = ("workload", "synapses", "cores", "edges", "time", "over sequential", "over pipelined", "over ideal",
               "energy of sequential", "of core bound", "of work bound", "of any mapping", "control / packet",
               "re-timed in")  # fmt: skip
    notes = [
        "over sequential: layers of a step one after the other, then a measured barrier; over pipelined: all layers at "
        "once, a measured barrier each step; over ideal: the same with the published hardware barrier",
        "of core bound: no schedule of this mapping is faster than its busiest core; of work bound: nor any mapping "
        "of these packets than all work shared evenly; of any mapping: what every mapping onto as many cores takes at "
        "least, by whole neurons, layers that share no core, and packets that none of them spares; weak where which "
        "neurons are together decides most packets (sheet, pd)",
        "mapped by a profile of other inputs to the same network; the run foreseen: by its own",
        "barriers are on the faster of two mappings: the same, and that which the same search finds for lockstep; "
        "packets contend for links in our column alone, at the published bandwidth of a tile",
        "re-timed in: counting and timing of another mapping from the raster, the best of three, for one policy; what "
        "no mapping changes is counted once before",
        f"DepAsync (arXiv 2407.20947) tells {PAPER['time']}x in time and {PAPER['energy']}x in energy, of five other "
        "workloads over a barrier it calls state of the art",
        energy_told(timings, [gain[3] for gain in gains]),
    ]
    title = f"Five spiking networks on {MACHINE}, policy auto, control messages charged, links contended for"
    return Section("core-array", title, columns, rows, notes)


def energy_told(timings: list[Timing], over: list[float]) -> str:
    """Why energy gains less than time: what of it a schedule can change. `over` are the gains over sequential."""
    parts = [asdict(timing.energy_pj) for timing in timings]
    shares = {name: np.array([each[name] / sum(each.values()) for each in parts]) for name in parts[0]}
    fixed = 1 - sum(shares[name] for name in SCHEDULED)
    causes = ", ".join(f"{name} {share.mean():.0%}" for name, share in shares.items())
    synapses = shares["synapses"]
    return (
        f"why energy gains less than time: {synapses.min():.0%} to {synapses.max():.0%} of ours are synaptic events "
        f"(mean by cause: {causes}), as many on any schedule; one changes {', '.join(SCHEDULED)} alone, and with none "
        f"of these it would be {mean_gain(np.array(over) / fixed)}"
    )


def mean_gain(gains: np.ndarray | list[float]) -> str:
    """Their geometric mean."""
    return f"{np.exp(np.log(np.array(gains)).mean()):.2f}x"


def shown(gains: list[list[float]]) -> tuple[str, ...]:
    """Geometric means of ratios over workloads."""
    ratios, bounds = np.array(gains)[:, :4], np.array(gains)[:, 4:]
    return (*map(mean_gain, ratios.T), *(f"{value:.0%}" for value in np.exp(np.log(bounds).mean(axis=0))))


def retimed(found: Simulation) -> float:
    """The least seconds of timing a run anew from its raster."""
    recording = Recording.of(found.synapses, found.raster, found.network.is_input)
    mapping, seconds = found.mapped.mapping, []
    for _ in range(3):
        start = time.perf_counter()
        makespan(recording, mapping, found.machine, policy="dependency")
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def ratios(found: Simulation, lockstep: Simulation) -> list[float]:
    """Over each barrier in time, on the better of two mappings, over sequential in energy, and of the bounds."""
    timing, time = found.timing, found.timing.makespan_ns
    best = {each: min(timing, lockstep.timing, key=lambda one, each=each: one.baselines[each]) for each in BARRIERS}
    energy = best["sequential"].baseline_energies["sequential"].total / timing.energy_pj.total
    speedups = [best[each].baselines[each] / time for each in BARRIERS]
    return [*speedups, energy, timing.bounds.core / time, timing.bounds.work / time, found.least_ns / time]


def line(name: str, found: Simulation, gains: list[float]) -> tuple[str, ...]:
    """One workload's row."""
    timing = found.timing
    return (
        name,
        f"{len(found.synapses):,}",
        str(timing.mapping.cores),
        f"{len(timing.mapping.edges):,}",
        f"{timing.makespan_ns / 1000:.0f} us",
        *(f"{value:.2f}x" for value in gains[:4]),
        *(f"{value:.0%}" for value in gains[4:]),
        f"{timing.control_per_packet:.2f}",
        f"{1000 * retimed(found):.0f} ms",
    )
