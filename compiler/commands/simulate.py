"""Run a spiking network on a core array that is simulated: time, energy, bounds, and what to change.

examples:
  gossamer simulate net.nir --machine loihi1 --dt 1e-3 --steps 100
  gossamer simulate net.nir --spikes spikes.npz --policy dependency --packets --trace trace.json --plots pictures
  gossamer simulate net.nir --machine my_chip.toml --cores 32 --json out.json --dump stages

Spikes are 0 or 1, [steps, *shape of the input]: a .npy file, or a .npz file with an array for each input. Without them
every input fires at random. Machines: `gossamer list machines`. A trace opens in chrome://tracing or ui.perfetto.dev.
Exit code 1 says that the network, the machine file or the spikes do not fit.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...dialects.core import Policy
from ..terminal import progress

if TYPE_CHECKING:
    import numpy as np

    from ...runtime.spiking.network import Network

STEPS = 100
METHODS = ("auto", "multilevel", "loose", "steady", "spread", "pymetis")
PRECISIONS = ("exact", "machine")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `gossamer simulate`."""
    parser.add_argument("model", help="a .nir file, or a folder or .mlir file that holds a spiking network")
    parser.add_argument("--machine", default="loihi1", metavar="NAME", help="a machine, or a .toml file (loihi1)")
    parser.add_argument("--steps", type=int, metavar="N", help="how many steps (as many as --spikes has, or 100)")
    parser.add_argument("--spikes", type=Path, metavar="FILE", help="what the inputs fire (.npy or .npz)")
    parser.add_argument("--rate", type=float, default=0.05, metavar="P",
                        help="without --spikes: with which probability each input fires in a step (0.05)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of random inputs and of the partition (0)")
    parser.add_argument("--dt", type=float, metavar="S", help="seconds a step, for a .nir file that does not say")
    parser.add_argument("--policy", default="auto", choices=("auto", *Policy), help="what cores wait for (auto)")
    parser.add_argument("--cores", type=int, metavar="N", help="how many cores to use (as many as pay)")
    parser.add_argument("--method", default="auto", choices=METHODS, help="the partitioner (auto: what is fastest)")
    parser.add_argument("--slack", type=int, metavar="N",
                        help="slots of each edge over its longest delay (as many as keep the pace)")  # fmt: skip
    parser.add_argument("--precision", default="exact", choices=PRECISIONS,
                        help="weights as they are, or rounded to what the machine stores (exact)")  # fmt: skip
    parser.add_argument("--packets", action="store_true", help="let packets contend for the links of the mesh")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write what each core does when")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw mesh, skew and raster")
    parser.add_argument("--dump", type=Path, metavar="DIR", help="write every stage of the mapping into a folder")


def execute(arguments: argparse.Namespace) -> None:
    """Simulate, report, write what is asked for."""
    from ..context import write_text
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
    print(found, end="")
    if arguments.json:
        write_text(arguments.json, json.dumps(found.as_dict(), indent=2) + "\n")
    if arguments.trace:
        found.write_trace(arguments.trace)
    if arguments.plots:
        found.write_plots(arguments.plots)


def spikes_of(network: "Network", arguments: argparse.Namespace) -> "dict[str, np.ndarray]":
    """What the inputs fire, from a file or at random. Raises UserError or UsageError where it cannot be."""
    from ...dialects.diagnostics import UsageError
    from ..spikes import load_spikes, random_spikes

    if arguments.steps is not None and arguments.steps < 1:
        raise UsageError(f"--steps {arguments.steps}: expected 1 or more")
    if not 0 <= arguments.rate <= 1:
        raise UsageError(f"--rate {arguments.rate}: expected a probability")
    if arguments.spikes:
        return load_spikes(arguments.spikes, network, arguments.steps)
    return random_spikes(network, arguments.steps or STEPS, arguments.rate, arguments.seed)
