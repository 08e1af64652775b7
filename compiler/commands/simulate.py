"""Time of a spiking network on a core array, or of a training step over a pipeline: bounds, and what to change.

examples:
  gossamer simulate net.nir --machine loihi1 --dt 1e-3 --steps 100
  gossamer simulate net.nir --spikes spikes.npz --policy dependency --packets --trace trace.json --plots pictures
  gossamer simulate net.nir --machine my_chip.toml --cores 32 --json out.json --dump stages
  gossamer simulate --pipeline gpt-6.7b --hardware a100-nvlink --tensor-parallel 4 --micro-batch 8 --memory 36GiB
  gossamer simulate --pipeline gpt-13b --hardware h100-nvlink --tensor-parallel 8 --schedule zb-h1 --plots pictures

Of a network: time, energy, bounds. Spikes are 0 or 1, [steps, *shape of the input]: a .npy file, or a .npz file with an
array for each input. Without them every input fires at random. Machines: `gossamer list machines`.
Of a training step: its time by several policies of recomputation, the bound, memory, and where recomputation hides.
Accelerators: `gossamer list accelerators`.
A trace opens in chrome://tracing or ui.perfetto.dev. Exit code 1 says that what was given does not fit together.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...dialects.core import Policy
from ...dialects.diagnostics import UsageError, did_you_mean
from ..terminal import progress
from . import pipeline_options

if TYPE_CHECKING:
    import numpy as np

    from ...runtime.spiking.network import Network
    from ..simulation import Simulation
    from ..timeline_simulation import PipelineSimulation

STEPS = 100
METHODS = ("auto", "multilevel", "loose", "steady", "spread", "pymetis")
PRECISIONS = ("exact", "machine")
SPIKING = ("auto", *Policy)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `gossamer simulate`."""
    parser.add_argument("model", nargs="?", help="a .nir file, or a folder or .mlir file that holds a spiking network")
    waits, decides = ", ".join(SPIKING), ", ".join(pipeline_options.POLICIES)
    policies = f"what cores wait for: {waits} (auto); or who decides what to recompute: {decides} (mix)"
    parser.add_argument("--policy", metavar="NAME", help=policies)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write what each core or device does when")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw mesh, skew and raster, or timeline and memory")
    spiking = configure_spiking(parser.add_argument_group("a spiking network").add_argument)
    training = pipeline_options.configure(parser.add_argument_group("a training step").add_argument)
    parser.set_defaults(spiking=spiking, training=training[1:])


def configure_spiking(add) -> list[argparse.Action]:
    """Declare the options of spiking networks; `add` is a group's `add_argument`."""
    return [
        add("--machine", default="loihi1", metavar="NAME", help="a machine, or a .toml file (loihi1)"),
        add("--steps", type=int, metavar="N", help="how many steps (as many as --spikes has, or 100)"),
        add("--spikes", type=Path, metavar="FILE", help="what the inputs fire (.npy or .npz)"),
        add("--rate", type=float, default=0.05, metavar="P",
            help="without --spikes: with which probability each input fires in a step (0.05)"),
        add("--seed", type=int, default=0, metavar="N", help="of random inputs and of the partition (0)"),
        add("--dt", type=float, metavar="S", help="seconds a step, for a .nir file that does not say"),
        add("--cores", type=int, metavar="N", help="how many cores to use (as many as pay)"),
        add("--method", default="auto", choices=METHODS, help="the partitioner (auto: what is fastest)"),
        add("--slack", type=int, metavar="N",
            help="slots of each edge over its longest delay (as many as keep the pace)"),
        add("--precision", default="exact", choices=PRECISIONS,
            help="weights as they are, or rounded to what the machine stores (exact)"),
        add("--packets", action="store_true", help="let packets contend for the links of the mesh"),
        add("--dump", type=Path, metavar="DIR", help="write every stage of the mapping into a folder"),
    ]  # fmt: skip


def execute(arguments: argparse.Namespace) -> None:
    """Simulate, report, write what is asked for. Raises UsageError where options are of both kinds."""
    if arguments.pipeline is None and arguments.model is None:
        raise UsageError("simulate what?", hint="name a .nir file, or a model by --pipeline")
    if arguments.pipeline is not None and arguments.model is not None:
        raise UsageError(f"simulate {arguments.model}, or --pipeline {arguments.pipeline}? Not both in one run")
    training = arguments.pipeline is not None
    refuse_others(arguments, arguments.spiking if training else arguments.training, training)
    known = pipeline_options.POLICIES if training else SPIKING
    arguments.policy = arguments.policy or ("mix" if training else "auto")
    if arguments.policy not in known:
        raise UsageError(
            f"--policy {arguments.policy}: no such policy here", hint=did_you_mean(arguments.policy, known)
        )
    found = pipeline_options.simulated(arguments) if training else simulated(arguments)
    print(found, end="")
    write(found, arguments)


def refuse_others(arguments: argparse.Namespace, others: list[argparse.Action], training: bool) -> None:
    """Raise UsageError where an option of the other kind of simulation is given."""
    for action in others:
        if getattr(arguments, action.dest) != action.default:
            kind = "spiking networks, not for --pipeline" if training else "--pipeline, not for spiking networks"
            raise UsageError(f"{action.option_strings[0]} is for {kind}")


def write(found: "Simulation | PipelineSimulation", arguments: argparse.Namespace) -> None:
    """Figures, trace and pictures, where they are asked for."""
    from ..context import write_text

    if arguments.json:
        write_text(arguments.json, json.dumps(found.as_dict(), indent=2) + "\n")
    if arguments.trace:
        found.write_trace(arguments.trace)
    if arguments.plots:
        found.write_plots(arguments.plots)


def simulated(arguments: argparse.Namespace) -> "Simulation":
    """A spiking network's run; stages of its mapping are dumped, and what was assumed is told."""
    from ..dump import Dump
    from ..networks import arrays_of, open_network
    from ..simulation import network_of, read_network, simulate

    with progress("reading the network") as show:
        net = open_network(arguments.model, dt=arguments.dt)
        weights = arrays_of(net.weights)
        spikes = spikes_of(read_network(network_of(net.module), weights), arguments)
        options = {name: getattr(arguments, name) for name in
                   ("machine", "policy", "cores", "method", "seed", "slack", "packets", "precision")}  # fmt: skip
        found = simulate(net.module, weights, spikes, **options, steps=arguments.steps or STEPS, show=show)
    if arguments.dump:
        dump = Dump(arguments.dump)
        for stage in found.mapped.trace.stages:
            dump.after(stage)
        dump.close(found.mapped.trace, arguments.line)
    for note in net.notes:
        print(f"note: {note}", file=sys.stderr)
    return found


def spikes_of(network: "Network", arguments: argparse.Namespace) -> "dict[str, np.ndarray]":
    """What the inputs fire, from a file or at random. Raises UserError or UsageError where it cannot be."""
    from ..spikes import load_spikes, random_spikes

    if arguments.steps is not None and arguments.steps < 1:
        raise UsageError(f"--steps {arguments.steps}: expected 1 or more")
    if not 0 <= arguments.rate <= 1:
        raise UsageError(f"--rate {arguments.rate}: expected a probability")
    if arguments.spikes:
        return load_spikes(arguments.spikes, network, arguments.steps)
    return random_spikes(network, arguments.steps or STEPS, arguments.rate, arguments.seed)
