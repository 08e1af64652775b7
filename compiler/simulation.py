"""A network on a core array: what it computes, how long it takes, what it costs, and why.

    net, spikes  --run-->  raster  --map-->  program  --time-->  Simulation

What fires does not depend on the machine: one raster serves every mapping, machine and policy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from ..dialects.core import Policy
from ..dialects.diagnostics import UserError, did_you_mean
from ..dialects.snn import NetworkOp
from ..passes.partition_cores import refused
from ..passes.solvers.core_capacity import CapacityError
from ..passes.solvers.core_partition import METHODS as PARTITIONERS
from ..runtime.core_array.machine import Machine
from ..runtime.core_array.machine_files import load_machine
from ..runtime.core_array.policy import POLICIES
from ..runtime.core_array.recording import Recording
from ..runtime.core_array.simulator import Timing, retime, trace_of
from ..runtime.core_array.trace import write_trace
from ..runtime.spiking.arrays import Raster, Synapses
from ..runtime.spiking.engine import Engine
from ..runtime.spiking.events import simulate as run_events
from ..runtime.spiking.network import Network, read_network
from .context import whole_file
from .mapping import Mapped, array_op, map_network, neuron_graph, refuse_graded, with_graded
from .mapping_bound import least_makespan
from .mapping_choice import METHODS, Candidates, Tried, choose
from .pipeline import run_pipeline
from .stored_weights import Stored, store

AUTO = "auto"
PRECISIONS = ("exact", "machine")
"""Weights as they are, or as the machine stores them."""
LONG = 1_000_000_000
"""Synapses times steps beyond which kernels are compiled for a run."""
Show = Callable[[str], None]


@dataclass(frozen=True)
class Simulation:
    """A run on a core array. `raster` is over all neurons of `network`; `timing` in nanoseconds and picojoules.

    `stored` tells what the machine makes of the weights; `exact` is the raster of the network as it is, where `network`
    has the weights of the machine. No mapping onto as many cores takes less than `least_ns`.
    """

    network: Network
    synapses: Synapses
    raster: Raster
    machine: Machine
    mapped: Mapped
    timing: Timing
    policy: str
    stored: Stored
    least_ns: float
    exact: Raster | None = None

    def __str__(self) -> str:
        from .simulation_report import report

        return report(self)

    def as_dict(self) -> dict[str, Any]:
        """All figures, for programs."""
        from .simulation_report import figures

        return figures(self)

    def write_trace(self, path: str | Path) -> None:
        """Write what each core did when, for chrome://tracing and Perfetto."""
        with whole_file(Path(path)) as draft, draft.open("w", encoding="utf-8") as out:
            write_trace(out, trace_of(self.timing))

    def write_plots(self, folder: str | Path) -> list[Path]:
        """Draw the mesh, the cores' steps over time, and the raster. Gives the files."""
        from .simulation_plots import draw

        return draw(self, Path(folder))


def network_of(module: ModuleOp) -> NetworkOp:
    """The network of a module. Raises UserError where it has none, or several."""
    found = [op for op in module.ops if isinstance(op, NetworkOp)]
    if len(found) != 1:
        raise UserError(f"expected one snn.network, the module has {len(found)}",
                        hint="import a .nir file, or a model of spiking neurons")  # fmt: skip
    return found[0]


def recorded(module: ModuleOp, network: Network, inputs: Sequence[np.ndarray], steps: int) -> Raster:
    """Which neurons of a network fire when; `inputs` are [steps, *shape], 0 or 1, one for each input.

    Long runs go by kernels, where the network can have them; others step by step.
    """
    given = np.zeros((steps, network.neurons), bool)
    for i, spikes in zip(network.inputs, inputs, strict=True):
        population = network.populations[i]
        given[:, population.first : population.last] = np.asarray(spikes).reshape(steps, population.size) != 0
    synapses = sum(p.product.nnz for p in network.projections if p.product is not None)
    ready = engine_of(module, network) if synapses * steps > LONG else None
    return run_events(ready or network, Raster.of(given), steps)


def engine_of(module: ModuleOp, network: Network) -> Engine | None:
    """The network with kernels; None where it has to be run step by step."""
    lowered = module.clone()
    run_pipeline(lowered, "lower-networks,lower-kernels")
    return Engine.build(network_of(lowered), network)


def checked_inputs(network: Network, spikes: Sequence[np.ndarray] | Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The spikes of each input as [steps, *shape]. Raises UserError where they do not fit, or are no spikes."""
    names = [network.populations[i].name for i in network.inputs]
    given = dict(spikes) if isinstance(spikes, Mapping) else dict(zip(names, spikes, strict=False))
    if set(given) != set(names) or (not isinstance(spikes, Mapping) and len(spikes) != len(names)):
        raise UserError(
            f"the inputs are {', '.join(names) or 'none'}; spikes are given for {', '.join(given) or 'none'}"
        )
    checked = []
    for i in network.inputs:
        population = network.populations[i]
        array = np.asarray(given[population.name])
        batched = array.ndim == len(population.shape) + 2 and array.shape[1] == 1
        array = array[:, 0] if batched else array
        if array.shape[1:] != population.shape:
            expected = ", ".join(map(str, population.shape))
            raise UserError(f"input '{population.name}': expected [steps, {expected}], got {list(array.shape)}")
        if not np.isin(array, (0, 1)).all():
            odd = array[~np.isin(array, (0, 1))].flat[0]
            raise UserError(f"input '{population.name}': spikes are 0 or 1, got {odd}",
                            hint="a core array takes spikes: encode real numbers first")  # fmt: skip
        checked.append(array)
    if len({len(each) for each in checked}) > 1:
        raise UserError(f"inputs have {', '.join(str(len(each)) for each in checked)} steps: expected the same number")
    return checked


def simulate(
    module: ModuleOp,
    weights: Mapping[str, np.ndarray],
    spikes: Sequence[np.ndarray] | Mapping[str, np.ndarray],
    *,
    machine: str | Path | Machine = "loihi1",
    steps: int = 0,
    policy: str = AUTO,
    cores: int | None = None,
    method: str = AUTO,
    seed: int = 0,
    slack: int | None = None,
    packets: bool = False,
    profile: Raster | None = None,
    precision: str = PRECISIONS[0],
    show: Show = lambda text: None,
) -> Simulation:
    """Run the network of `module` on `spikes`, map it onto `machine`, and time the run.

    `spikes` are [steps, *shape], 0 or 1, for each input; `steps` counts where there is no input. `policy` is auto,
    dependency, group or barrier; `packets` lets packets contend for links. `profile` is a recording of the network by
    which it is mapped, this run's own by default. `method` is auto, or one of the partitioner's. Without `cores` and
    `slack` those are taken that are fastest on the profile. `precision` is exact, weights as they are, or machine, as
    it stores them. Raises UserError where spikes, machine or network do not fit.
    """
    words = {
        "policy": (policy, POLICIES),
        "precision": (precision, PRECISIONS),
        "method": (method, (AUTO, *PARTITIONERS)),
    }
    for kind, (word, known) in words.items():
        if word not in known:
            raise UserError(f"there is no {kind} '{word}'", hint=did_you_mean(word, known))
    machine = machine if isinstance(machine, Machine) else load_machine(machine)
    if cores is not None and not 0 < cores <= machine.cores:
        raise UserError(f"{cores} cores are asked of {machine.name}, which has {machine.cores}")
    op = network_of(module)
    network = read_network(op, weights)
    refuse_graded(op, network, machine)
    inputs = checked_inputs(network, spikes)
    show("running the network")
    steps = len(inputs[0]) if inputs else steps
    raster, exact = recorded(module, network, inputs, steps), None
    held = store(module, weights, network, machine)
    if precision == "machine":
        show("running it with the machine's weights")
        held.check(machine)
        module, weights, exact = held.module, held.weights, raster
        op = network_of(module)
        network = read_network(op, weights)
        raster = recorded(module, network, inputs, steps)
    show("listing its synapses")
    synapses = network.synapses()
    recording = Recording.of(synapses, with_graded(raster, network), network.is_input)
    profiled = recording if profile is None else replace(recording, raster=with_graded(profile, network))
    graph = neuron_graph(op, network, dict(weights), synapses, profiled.raster, machine)
    choice = Candidates(graph, profiled, machine, policy, seed, slack)

    def attempt(name: str, count: int | None) -> Tried:
        show(f"{name}: {len(synapses):,} synapses onto {count or 'few'} cores of {machine.title}")
        return choice.tried(name, count)

    attempts = [partial(attempt, name) for name in (METHODS if method == AUTO else (method,))]
    try:
        chosen = choose(attempts, cores, machine.cores)
    except CapacityError as error:
        raise refused(error, op, array_op(machine)) from None
    except ImportError as error:
        raise UserError(str(error)) from None
    show("sizing slots")
    slack = choice.best_slack(chosen.mapping)
    show("writing the program")
    mapped = map_network(
        module, dict(weights), network, graph, machine,
        cores=chosen.mapping.cores, method=chosen.method, core=chosen.mapping.core, seed=seed, slack=slack,
        policy=Policy.DEPENDENCY if policy == AUTO else Policy(policy),
    )  # fmt: skip
    show("timing the run")
    timing = retime(recording, mapped.mapping, machine, policy=policy, packets=packets)
    least = least_makespan(graph, recording, machine, timing.mapping.cores)
    return Simulation(network, synapses, raster, machine, mapped, timing, policy, held, least, exact)
