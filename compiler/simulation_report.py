"""What a simulation tells people and programs."""

from dataclasses import asdict
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dialects.core import TileOp
from ..passes.solvers.marked_graph import check_certificate
from ..runtime.core_array.paths import critical_path
from .mapping import graded, joined, program_of
from .terminal import print_table

if TYPE_CHECKING:
    from .simulation import Simulation

CAUSES = {
    "spatial": ("spatial imbalance", "the busiest core does more than the others"),
    "temporal": ("temporal imbalance", "cores are busy at different times, and wait"),
    "network": ("network", "packets are on their way"),
    "buffers": ("buffers", "producers wait for room"),
    "synchronisation": ("synchronisation", "control messages, or barriers"),
}
NEGLIGIBLE = 0.02
"""A loss under this share of the makespan asks for no change."""


def quantity(value: float, units: tuple[str, ...]) -> str:
    """`1234.5, (ns, us)` -> `1.23 us`"""
    for unit in units[:-1]:
        if abs(value) < 1000:
            return f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.3g} {units[-1]}" if value < 100 else f"{value:.0f} {units[-1]}"


def time(nanoseconds: float) -> str:
    return quantity(nanoseconds, ("ns", "us", "ms", "s"))


def energy(picojoules: float) -> str:
    return quantity(picojoules, ("pJ", "nJ", "uJ", "mJ", "J"))


def busiest(simulation: "Simulation") -> tuple[int, str]:
    """The core with the most work, and what is on it."""
    core = int(simulation.timing.work.sum(axis=0).argmax())
    return core, ", ".join(tiles(simulation)[core].holds.data)


def advice(simulation: "Simulation") -> list[str]:
    """What to change, for the losses that matter, the greatest first."""
    timing = simulation.timing
    losses = sorted(asdict(timing.losses).items(), key=lambda item: -item[1])
    change = {
        "spatial": relief(simulation),
        "temporal": "neurons that fire together share cores: a longer profile spreads them better",
        "network": "packets wait or travel far: fewer cores send fewer packets; --packets shows contention",
        "buffers": "producers wait for room: --slack 4 gives every edge more slots",
        "synchronisation": "control messages cost as much: try --policy group, or fewer --cores with fewer edges",
    }
    return [change[name] for name, loss in losses if loss > NEGLIGIBLE * timing.makespan_ns]


def relief(simulation: "Simulation") -> str:
    """What would leave less to the busiest core: another mapping, where any can, or other cores."""
    core, held = busiest(simulation)
    cores = simulation.mapped.mapping.cores
    spare = simulation.machine.cores - cores
    more = f"use other --cores{f' ({spare} more are free)' if spare else ''}"
    if simulation.least_ns > (1 - NEGLIGIBLE) * simulation.timing.bounds.core:
        return f"core {core} ({held}) is the busiest; any mapping onto {cores} cores has one about as busy: {more}"
    return f"core {core} ({held}) is the busiest: profile a run that is more like this, or {more}"


def is_certified(simulation: "Simulation") -> bool:
    """Do the potentials of the program prove that no core waits for ever? See `passes/solvers/marked_graph.py`."""
    program, edges = program_of(simulation.mapped.module), simulation.mapped.mapping.edges
    potentials = [tile.potential.value.data for tile in program.tiles() if tile.potential is not None]
    return check_certificate(len(list(program.tiles())), joined(edges), edges.slots, np.array(potentials, np.int64))


def hung_on(simulation: "Simulation") -> str:
    """The core with most of the chain of steps that the end of the run hung on."""
    run, mapping = simulation.timing.execution, simulation.timing.mapping
    path = [node for node, _ in critical_path(run.progress.waits, run.finish) if node < mapping.cores]
    if not path:
        return ""
    steps = np.bincount(path)
    core = int(steps.argmax())
    held = ", ".join(tiles(simulation)[core].holds.data)
    return (
        f"the run hung on {len(steps[steps > 0])} cores, most on core {core} ({held}): {steps[core] / len(path):.0%}\n"
    )


def tiles(simulation: "Simulation") -> list[TileOp]:
    """What each core holds."""
    return list(program_of(simulation.mapped.module).tiles())


def differing(simulation: "Simulation") -> int:
    """Spikes that fired with the machine's weights alone, or with the exact ones alone."""
    one, other = simulation.raster, simulation.exact
    if other is None:
        return 0
    neurons = simulation.network.neurons
    keys = [each.step.astype(np.int64) * neurons + each.neuron for each in (one, other)]
    return len(np.setxor1d(*keys, assume_unique=True))


def weights_told(simulation: "Simulation") -> str:
    """What the machine makes of the weights."""
    held, machine = simulation.stored, simulation.machine
    if machine.weights is None:
        return f"weights are as they are: how {machine.name} stores them is not known\n"
    if simulation.exact is not None:
        found = (
            f"weights are as {machine.name} stores them, in {machine.weights}: {sum(held.changed.values()):,} of "
            f"{held.total:,} changed, by {held.most:.2g} of the greatest at most; "
        )
        apart, fired = differing(simulation), len(simulation.exact.neuron)
        return found + f"{apart:,} spikes differ from the {fired:,} of exact weights{first_apart(simulation)}\n"
    if held.refused:
        return f"weights are as they are: {machine.name} cannot store them ({held.refused[0][0]})\n"
    if held.changed:
        names = ", ".join(held.changed)
        return (
            f"weights are as they are: those of {names} do not fit {machine.weights} of {machine.name} "
            "(--precision machine rounds them)\n"
        )
    return f"weights are as they are: all fit {machine.weights} of {machine.name}\n"


def first_apart(simulation: "Simulation") -> str:
    """`, the first in step 3, neuron 4 of hidden`"""
    assert simulation.exact is not None
    found = simulation.raster.first_difference(simulation.exact)
    if found is None:
        return ""
    step, neuron = found
    population = next(p for p in simulation.network.populations if p.first <= neuron < p.last)
    return f", the first in step {step}, neuron {neuron - population.first} of {population.name}"


def report(simulation: "Simulation") -> str:
    """The run in words and tables."""
    timing, machine = simulation.timing, simulation.machine
    mapping, out = timing.mapping, StringIO()
    network, steps = simulation.network, simulation.raster.steps
    fired = len(simulation.raster.neuron)
    rate = fired / max(1, steps * network.neurons)
    out.write(f"{network.name} on {machine.title}: {network.neurons:,} neurons, {len(simulation.synapses):,} synapses, "
              f"{steps} steps, {fired:,} spikes ({rate:.2%} of neurons a step)\n")  # fmt: skip
    promise = "no core waits for ever: certified" if is_certified(simulation) else "not certified"
    out.write(f"{mapping.cores} of {machine.cores} cores, {len(mapping.edges):,} edges, "
              f"slots {span(mapping.edges.slots)}, {promise}\n")  # fmt: skip
    out.write(weights_told(simulation))
    for each in graded(network):
        out.write(f"{each.name} sends numbers: a packet of each neuron in every step\n")
    out.write("\n")
    print_table(
        ("policy", ">time", ">energy", f">{simulation.policy} is faster", ">uses less energy"), rows(simulation), out
    )
    out.write("\n")
    print_table(("bound", ">time", ">reached"), bounds(simulation), out)
    out.write("\n")
    print_table(("lost to", ">time", ">of the run", ""), lost(simulation), out)
    out.write("\n")
    print_table(("energy", ">", ">share"), shares(simulation), out)
    out.write(
        f"\n{timing.packets:,} packets between cores, {timing.control_per_packet:.2f} control messages for each\n"
    )
    out.write(hung_on(simulation))
    for line in advice(simulation):
        out.write(f"to change: {line}\n")
    return out.getvalue()


def span(values: np.ndarray) -> str:
    """`3 to 7`"""
    if not len(values):
        return "none"
    least, most = int(values.min()), int(values.max())
    return str(least) if least == most else f"{least} to {most}"


def rows(simulation: "Simulation") -> list[tuple[str, ...]]:
    """This run, and the three barriers."""
    timing = simulation.timing
    own = timing.energy_pj.total
    table = [(simulation.policy, time(timing.makespan_ns), energy(own), "", "")]
    for name, text in (("sequential", "barrier, layer after layer"), ("pipelined", "barrier, layers at once"),
                       ("cheap", "the same, ideal barrier")):  # fmt: skip
        other = timing.baseline_energies[name].total
        table.append((text, time(timing.baselines[name]), energy(other), f"{timing.speedups[name]:.2f}x",
                      f"{other / own if own else 1:.2f}x"))  # fmt: skip
    return table


def bounds(simulation: "Simulation") -> list[tuple[str, ...]]:
    """What no mapping beats, what no schedule of this one does, and how near the run is."""
    makespan, found = simulation.timing.makespan_ns, bounds_of(simulation)
    told = {"mapping": f"any mapping onto {simulation.timing.mapping.cores} cores", "work": "all work shared evenly",
            "core": "work of the busiest core", "path": "longest chain of data"}  # fmt: skip
    return [(text, time(found[name]), f"{found[name] / makespan:.1%}" if makespan else "")
            for name, text in told.items()]  # fmt: skip


def bounds_of(simulation: "Simulation") -> dict[str, float]:
    """Bounds by name, in nanoseconds: `mapping` of all mappings, the others of this one."""
    return {"mapping": simulation.least_ns, **asdict(simulation.timing.bounds)}


def lost(simulation: "Simulation") -> list[tuple[str, ...]]:
    """Each loss over the work bound."""
    timing = simulation.timing
    losses = asdict(timing.losses)
    return [(title, time(losses[name]), f"{losses[name] / timing.makespan_ns if timing.makespan_ns else 0:.1%}", why)
            for name, (title, why) in CAUSES.items()]  # fmt: skip


def shares(simulation: "Simulation") -> list[tuple[str, ...]]:
    """Energy by cause."""
    found = simulation.timing.energy_pj
    parts = [(name, value, value / found.total if found.total else 0.0) for name, value in asdict(found).items()]
    return [(name, energy(value), f"{share:.1%}") for name, value, share in parts if value]


def figures(simulation: "Simulation") -> dict[str, Any]:
    """All figures; times in nanoseconds, energies in picojoules."""
    timing, machine = simulation.timing, simulation.machine
    return {
        "network": simulation.network.name,
        "neurons": simulation.network.neurons,
        "synapses": len(simulation.synapses),
        "steps": simulation.raster.steps,
        "spikes": len(simulation.raster.neuron),
        "machine": {"name": machine.name, "cores": machine.cores, "sources": dict(machine.sources)},
        "policy": simulation.policy,
        "weights": {
            "precision": "exact" if simulation.exact is None else "machine",
            "changed": simulation.stored.changed,
            "refused": [why for why, _ in simulation.stored.refused],
            "differing_spikes": differing(simulation),
        },
        "certified": is_certified(simulation),
        "cores": timing.mapping.cores,
        "edges": len(timing.mapping.edges),
        "makespan_ns": timing.makespan_ns,
        "energy_pj": {**asdict(timing.energy_pj), "total": timing.energy_pj.total},
        "bounds_ns": bounds_of(simulation),
        "losses_ns": asdict(timing.losses),
        "barriers_ns": timing.baselines,
        "barrier_energies_pj": {name: each.total for name, each in timing.baseline_energies.items()},
        "speedups": timing.speedups,
        "packets": timing.packets,
        "control_messages": timing.messages,
        "advice": advice(simulation),
    }
