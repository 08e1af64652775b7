"""Cut a network into tiles, one for each core: each neuron of each population goes to one tile.

                                              aten.weight constant @hidden.tiles : tensor<512xi32> ..
    snn.network @net { .. }                   core.program @net on @loihi1 neurons {hidden = @hidden.tiles} {
    core.array @loihi1 ..              ->       core.tile 0 level 1 holds {hidden = 64} uses {..} work 812.0
                                                core.edge 0 to 1 delays 0 to 0 axons 64 traffic 3.1
                                              }

Legal where every tile fits a core (neurons, bytes of synapses, axons) and every neuron the array (synapses, delays);
what does not fit is refused with the limit and the population. Neurons of different layers of one step share no tile,
so that tiles wait for each other only one way. Tiles get equal work by the profile, then few packets and few edges
(`solvers/core_partition.py`). The number of tiles is `cores`, or about as few as hold the network. Near linear in the
number of synapses.

The neurons and their profile are no text: the compiler gives them (`graph`), and takes the tiles of each population
from `weights`, beside the network's other weights.
"""

import hashlib
from dataclasses import dataclass, field, fields

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, SymbolRefAttr, TensorType, i32
from xdsl.ir import Block, Region
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ..dialects.aten import WeightKind, WeightOp
from ..dialects.core import ArrayOp, EdgeOp, ProgramOp, TileOp
from ..dialects.diagnostics import UserError, did_you_mean, place_of
from ..dialects.snn import NetworkOp, PopulationOp
from .solvers.core_capacity import HELD, CapacityError
from .solvers.core_partition import METHODS, partition
from .solvers.core_usage import core_edges, reached, usage
from .solvers.neuron_graph import Capacity, NeuronGraph


def capacity_of(array: ArrayOp) -> Capacity:
    """What one core of an array holds, and how many there are."""
    limits = {each.name: array.limit(each.name) for each in fields(Capacity) if each.name != "cores"}
    return Capacity(array.cores, **limits)


def refused(error: CapacityError, network: NetworkOp, array: ArrayOp) -> UserError:
    """What does not fit, by the name of the population."""
    names = [op.sym_name.data for op in network.populations()]
    name = names[error.population]
    place = next((place_of(op) for op in network.populations() if op.sym_name.data == name), None)
    return UserError(
        f"@{network.sym_name.data} does not fit @{array.sym_name.data}: population @{name} {error.told}",
        place=place,
        hint=error.suggestion,
    )


def tiles_of(network: NetworkOp, graph: NeuronGraph, core: np.ndarray, cores: int) -> list[TileOp]:
    """What each tile holds and takes."""
    names = [op.sym_name.data for op in network.populations()]
    used = usage(graph, core, cores)
    on = core >= 0
    counts = np.zeros((cores, len(names)), np.int64)
    np.add.at(counts, (core[on], graph.population[on]), 1)
    level = np.zeros(cores, np.int64)
    level[core[on]] = graph.level[on]
    tiles = []
    for number in range(cores):
        holds = {names[i]: int(counts[number, i]) for i in np.flatnonzero(counts[number])}
        takes = {name: int(np.ceil(getattr(used, name)[number])) for name in HELD[1:]}
        tiles.append(TileOp(number, int(level[number]), holds, float(used.work[number]), takes))
    return tiles


def edges_of(graph: NeuronGraph, core: np.ndarray) -> list[EdgeOp]:
    """Who sends to whom: delays, axons and packets a step."""
    cores = int(core.max(initial=-1)) + 1
    found = core_edges(graph, core)
    number = np.full(cores * cores, -1)
    number[found.source * cores + found.target] = np.arange(len(found))
    axons, traffic = axons_of(graph, core, number, len(found))
    ends = zip(found.source.tolist(), found.target.tolist(), strict=True)
    delays = zip(found.dmin.tolist(), found.dmax.tolist(), strict=True)
    rows = zip(ends, delays, axons.tolist(), traffic.tolist(), strict=True)
    return [EdgeOp(*row) for row in rows]


def axons_of(graph: NeuronGraph, core: np.ndarray, number: np.ndarray, edges: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each edge, the neurons whose spikes go over it, and packets a step."""
    cores = int(core.max(initial=-1)) + 1
    axons, traffic = np.zeros(edges, np.int64), np.zeros(edges)
    for source, target in reached(graph, core, cores):
        away = (core[source] >= 0) & (core[source] != target)
        edge = number[core[source[away]].astype(np.int64) * cores + target[away]]
        axons += np.bincount(edge, minlength=edges)
        traffic += np.bincount(edge, graph.rate[source[away]], edges)
    return axons, traffic


@dataclass(frozen=True)
class PartitionCores(ModulePass):
    name = "partition-cores"
    cores: int | None = None
    method: str = "multilevel"
    seed: int = 0
    graph: NeuronGraph | None = field(default=None, init=False, compare=False)
    weights: dict[str, np.ndarray] | None = field(default=None, init=False, compare=False)
    core: np.ndarray | None = field(default=None, init=False, compare=False)

    @classmethod
    def of(
        cls, graph: NeuronGraph, weights: dict[str, np.ndarray], core: np.ndarray | None = None, **options
    ) -> "PartitionCores":
        """The pass for a network with these neurons; it adds the tiles of each population to `weights`.

        `core` is what the partitioner gives for these options, where that is known.
        """
        made = cls(**options)
        for name, value in (("graph", graph), ("weights", weights), ("core", core)):
            object.__setattr__(made, name, value)
        return made

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        networks = [each for each in op.ops if isinstance(each, NetworkOp)]
        arrays = [each for each in op.ops if isinstance(each, ArrayOp)]
        if len(networks) != 1 or len(arrays) != 1:
            raise UserError(
                f"expected one network and one array, got {len(networks)} and {len(arrays)}", place=place_of(op)
            )
        if self.graph is None or self.weights is None:
            raise UserError(
                "partition-cores needs the neurons of the network, which a text does not hold",
                place=place_of(networks[0]),
                hint="gossamer simulate net.nir --machine loihi1 --dump DIR maps a network and writes every stage",
            )
        self.map(networks[0], arrays[0], self.graph, self.weights)

    def map(self, network: NetworkOp, array: ArrayOp, graph: NeuronGraph, weights: dict[str, np.ndarray]) -> None:
        """Write the program after its array."""
        if self.method not in METHODS:
            raise UserError(f"unknown method '{self.method}'", hint=did_you_mean(self.method, METHODS))
        if self.cores is not None and not 0 < self.cores <= array.cores:
            raise UserError(f"{self.cores} cores are asked of @{array.sym_name.data}, which has {array.cores}",
                            place=place_of(network))  # fmt: skip
        try:
            core = self.core
            if core is None:
                core = partition(graph, capacity_of(array), self.cores, self.seed, self.method)
        except CapacityError as error:
            raise refused(error, network, array) from None
        except ImportError as error:
            raise UserError(str(error), place=place_of(network)) from None
        core[core >= 0] = np.unique(core[core >= 0], return_inverse=True)[1]
        tiles, first = {}, 0
        for entry in network.populations():
            size = int(np.prod(entry.sizes, dtype=np.int64))
            if isinstance(entry, PopulationOp):
                tiles[entry.sym_name.data] = core[first : first + size].astype(np.int32)
            first += size
        cores = int(core.max(initial=-1)) + 1
        body = Region(Block([*tiles_of(network, graph, core, cores), *edges_of(graph, core)]))
        names = {name: f"{name}.tiles" for name in tiles}
        symbols = {name: SymbolRefAttr(tile) for name, tile in names.items()}
        program = ProgramOp(network.sym_name.data, array.sym_name.data, symbols, body)
        program.location = network.location
        declared = [weight_op(names[name], tile) for name, tile in tiles.items()]
        weights.update({names[name]: tile for name, tile in tiles.items()})
        Rewriter.insert_op([*declared, program], InsertPoint.after(array))


def weight_op(name: str, tiles: np.ndarray) -> WeightOp:
    """The declaration of a population's tiles."""
    digest = hashlib.sha256(np.ascontiguousarray(tiles).tobytes()).hexdigest()
    return WeightOp(name, WeightKind.CONSTANT, TensorType(i32, [len(tiles)]), digest)
