"""From a network, a machine and a profile to a program on the machine's cores.

    snn.network  --partition-cores-->  tiles and edges  --place-cores-->  places  --assign-dependencies-->  slots, proof

`map_network` runs these passes; `mapping_of` reads what came of them as arrays for the simulator.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FloatAttr, IntegerAttr, ModuleOp, StringAttr, f64, i64
from xdsl.ir import Attribute
from xdsl.rewriter import InsertPoint, Rewriter

from ..dialects.core import ArrayOp, Policy, ProgramOp
from ..dialects.diagnostics import UserError, place_of
from ..dialects.snn import NetworkOp
from ..dialects.snn_maps import ConvOp
from ..passes.assign_dependencies import AssignDependencies
from ..passes.partition_cores import PartitionCores
from ..passes.place_cores import PlaceCores
from ..passes.solvers.marked_graph import CoreEdges
from ..passes.solvers.neuron_graph import NeuronGraph
from ..runtime.core_array.machine import Machine
from ..runtime.core_array.mapping import Edges, Mapping
from ..runtime.spiking.arrays import NO_CORE, Raster, Synapses
from ..runtime.spiking.network import Network, Population
from .pipeline import Trace, run_pipeline

BINS, STRETCH = 64, 5
"""Into how many stretches, of so many steps at least, a profile is cut to see which neurons are busy at once."""


@dataclass(frozen=True)
class Mapped:
    """A program on an array, as IR and as arrays; `weights` hold the tiles of each population besides the network's."""

    module: ModuleOp
    weights: dict[str, np.ndarray]
    mapping: Mapping
    trace: Trace


def attribute(value: object) -> Attribute:
    """A constant of a machine as an attribute."""
    match value:
        case bool() | int():
            return IntegerAttr(int(value), i64)
        case float():
            return FloatAttr(value, f64)
        case str():
            return StringAttr(value)
        case dict():
            return DictionaryAttr({name: attribute(each) for name, each in value.items() if each is not None})
        case tuple() | list():
            return ArrayAttr(map(attribute, value))
        case _:
            raise TypeError(f"no constant of a machine: {value!r}")


def array_op(machine: Machine) -> ArrayOp:
    """A machine as an op."""
    known = asdict(machine)
    constants = {name: attribute(dict(value) if name == "sources" else value) for name, value in known.items()
                 if name not in ("name", "mesh", "cores_per_tile") and value is not None}  # fmt: skip
    return ArrayOp(machine.name, machine.mesh, machine.cores_per_tile, constants)


def refuse_graded(op: NetworkOp, network: Network, machine: Machine) -> None:
    """Raise UserError where real numbers go from neuron to neuron and packets carry none, or where an input is of them:
    hosts inject spikes."""
    places = {entry.sym_name.data: place_of(entry) for entry in op.populations()}
    for projection in network.projections:
        source = network.populations[projection.source]
        if source.analog or (source.silent and machine.payload_bits is None):
            why = "inputs are spikes there" if source.analog else "packets carry no numbers there"
            raise UserError(
                f"population @{source.name} gives real numbers to @{network.populations[projection.target].name}, on "
                f"{machine.title}: {why}",
                place=places[source.name],
                hint="encode inputs as spikes (rates, latencies), and let every population but the last one fire"
                + ("" if source.analog else "; packets of generic, ipu-mk2 and spinnaker2 carry numbers"),
            )


def graded(network: Network) -> list[Population]:
    """The populations that never fire, and give their v to others."""
    return [network.populations[i] for i in sorted({p.source for p in network.projections})
            if network.populations[i].silent]  # fmt: skip


def with_graded(raster: Raster, network: Network) -> Raster:
    """What is sent: spikes, and in every step a packet of each neuron of a `graded` population."""
    own = [np.arange(each.first, each.last, dtype=np.int32) for each in graded(network)]
    if not own:
        return raster
    return Raster.stacked([np.sort(np.concatenate([raster.at(step), *own])) for step in range(raster.steps)])


def kernel_bytes(op: NetworkOp, network: Network, weights: dict[str, np.ndarray], bits: int) -> np.ndarray:
    """Bytes of convolution kernels, by the population that they lead to; [populations]."""
    shared = np.zeros(len(network.populations))
    for entry in op.projections():
        kernels = [each for each in entry.map_ops() if isinstance(each, ConvOp)]
        elements = sum(np.asarray(weights[each.weight.root_reference.data]).size for each in kernels)
        shared[network.find(entry.ends[1])] += elements * bits / 8
    return shared


def neuron_graph(
    op: NetworkOp,
    network: Network,
    weights: dict[str, np.ndarray],
    synapses: Synapses,
    profile: Raster,
    machine: Machine,
) -> NeuronGraph:
    """The neurons of a network with what each costs on a machine, by a profile of at least one step."""
    sizes = [p.size for p in network.populations]
    population = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    steps = max(profile.steps, 1)
    fired = np.bincount(profile.neuron, minlength=network.neurons)
    rate = fired / steps
    cost = machine.time
    updates = np.where(network.is_input, 0.0, cost.update)
    work = updates + rate * (cost.spike + cost.update_active) + cost.synapse * heard(synapses, rate)
    shared = kernel_bytes(op, network, weights, machine.limits.weight_bits)
    own = shared[population] == 0
    memory = np.bincount(synapses.target, minlength=network.neurons) * (machine.limits.weight_bits / 8) * own
    return NeuronGraph(
        offsets=synapses.offsets,
        target=synapses.target,
        delay=synapses.delay,
        population=population,
        level=np.repeat(np.asarray(network.levels, np.int32), sizes),
        rate=rate,
        work=work,
        memory=memory,
        shared=shared,
        fixed=network.is_input,
        activity=activity(synapses, profile, machine, updates),
        packet_in=cost.packet_in,
        packet_out=cost.packet_out,
    )


def heard(synapses: Synapses, rate: np.ndarray) -> np.ndarray:
    """Synaptic events a step that reach each neuron."""
    return np.bincount(synapses.target, np.repeat(rate, np.diff(synapses.offsets)), synapses.neurons)


def activity(synapses: Synapses, profile: Raster, machine: Machine, updates: np.ndarray) -> np.ndarray:
    """Work of each neuron by stretch of time, float32 [bins, neurons]."""
    bounds = np.linspace(0, profile.steps, min(BINS, max(profile.steps // STRETCH, 1)) + 1).astype(int)
    rows = []
    for first, last in pairwise(bounds):
        fired = profile.neuron[profile.offsets[first] : profile.offsets[last]]
        rate = np.bincount(fired, minlength=synapses.neurons) / max(last - first, 1)
        rows.append(updates + rate * machine.time.spike + machine.time.synapse * heard(synapses, rate))
    return np.array(rows, np.float32)


def map_network(
    module: ModuleOp,
    weights: dict[str, np.ndarray],
    network: Network,
    graph: NeuronGraph,
    machine: Machine,
    *,
    cores: int | None = None,
    method: str = "multilevel",
    seed: int = 0,
    policy: Policy = Policy.DEPENDENCY,
    slack: int | None = None,
    core: np.ndarray | None = None,
) -> Mapped:
    """Map the only network of `module`, of which a copy gets the program.

    Without `cores` as few are taken as hold the network; `core` is the partition, where it is known. Raises UserError
    where the network does not fit.
    """
    module, weights, trace = module.clone(), dict(weights), Trace()
    op = next(each for each in module.ops if isinstance(each, NetworkOp))
    Rewriter.insert_op(array_op(machine), InsertPoint.after(op))
    parting = PartitionCores.of(graph, weights, core, cores=cores, method=method, seed=seed)
    run_pipeline(module, [parting, PlaceCores(), AssignDependencies(policy=policy, slack=slack)], trace=trace)
    return Mapped(module, weights, mapping_of(program_of(module), network, weights), trace)


def program_of(module: ModuleOp) -> ProgramOp:
    """The mapped program of a module."""
    return next(each for each in module.ops if isinstance(each, ProgramOp))


def joined(edges: Edges) -> CoreEdges:
    """The edges of a mapping, without their slots, for `passes/solvers`."""
    return CoreEdges(edges.source, edges.target, edges.dmin, edges.dmax)


def mapping_of(program: ProgramOp, network: Network, weights: dict[str, np.ndarray]) -> Mapping:
    """A mapped program as arrays."""
    core = np.full(network.neurons, NO_CORE, np.int32)
    for name, symbol in program.neurons.data.items():
        population = network.populations[network.find(name)]
        core[population.first : population.last] = weights[symbol.root_reference.data]  # pyright: ignore[reportAttributeAccessIssue]
    place = np.array([tile.at.value.data for tile in program.tiles() if tile.at is not None], np.int32)
    columns = ("source", "target", "least", "longest", "slots", "axons")
    rows = [[getattr(edge, name).value.data for name in columns] for edge in program.edges()]
    table = np.array(sorted(rows), np.int32).reshape(-1, len(columns))
    edges = Edges(*table.T)
    return Mapping(core, place, edges, np.full(len(edges), -1, np.int32), np.zeros(len(place), bool))
