"""Each population of a spiking network gets a kernel that runs it over many steps; `snn.run` finds it by name.

    snn.network @n .. {                              snn.network @n .. {
      snn.population @a <512> : f32 lif ..     ->      snn.population @a <512> : f32 lif .. kernel @n_a
    }                                                }
                                                     builtin.module @n_a { func.func @step(%begin: index, ..) { .. } }

| projection                                              | is summed                                              |
|---------------------------------------------------------|--------------------------------------------------------|
| one dense map, scaled before or after, or with a bias   | row by row of the k-major weight, in vectors           |
| one sparse, conv or pool map, or none; or with delays   | synapse by synapse                                     |
| several maps, a bias before a map                       | beforehand, outside of the kernel                      |

For populations of f32 and i32 whose reset is not `undelayed`. Always pays: a step of a layer costs what its spikes
bring, not a dozen calls. Results are those of the step-by-step run, bit by bit. Linear in the number of populations,
about 0.1 s each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from xdsl.context import Context
from xdsl.dialects.builtin import (
    Float32Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    ModuleOp,
    StringAttr,
    SymbolRefAttr,
    f32,
    i32,
)
from xdsl.passes import ModulePass

from ..dialects.neurons import Reset, When
from ..dialects.snn import InputOp, NetworkOp, PopulationOp, ProjectionOp, RunOp
from ..dialects.snn_maps import BiasOp, DenseOp, MapOp, ReshapeOp, ScaleOp
from .kernels.neurons import Neuron, Numbers
from .kernels.population import Layout, population_kernel
from .kernels.spike_list import spike_list
from .kernels.spike_rows import LANES, Feed

BLOCKS = (128, 64, 32, LANES)
"""Columns that are summed in registers; the widest that wastes an eighth at most."""


@dataclass(frozen=True)
class LowerNetworks(ModulePass):
    """See the head of this file."""

    name = "lower-networks"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        taken = {entry.properties["sym_name"] for entry in op.ops if "sym_name" in entry.properties}
        for network in [entry for entry in op.ops if isinstance(entry, NetworkOp)]:
            records = recorded(op, network)
            for population in network.populations():
                if not population.kernel and (kernel := kernel_of(network, population, records)):
                    name = fresh(f"{network.sym_name.data}_{population.sym_name.data}", taken)
                    kernel.properties["sym_name"] = StringAttr(name)
                    population.properties["kernel"] = SymbolRefAttr(name)
                    op.body.block.add_op(kernel)


def kernel_of(network: NetworkOp, op: InputOp | PopulationOp, records: set[str]) -> ModuleOp | None:
    """The kernel of one population, without a name; None where there is none for it."""
    if isinstance(op, InputOp):
        return spike_list(prod(op.sizes))
    if op.when is not None and op.when.data is When.UNDELAYED:
        return None
    return population_kernel(layout_of(network, op, records)) if op.type in (f32, i32) else None


def fresh(wish: str, taken: set) -> str:
    """A name that no other op has."""
    name, count = wish, 0
    while StringAttr(name) in taken:
        count += 1
        name = f"{wish}_{count}"
    taken.add(StringAttr(name))
    return name


def recorded(module: ModuleOp, network: NetworkOp) -> set[str]:
    """What the runs of a network record."""
    runs = [op for op in module.walk() if isinstance(op, RunOp) and op.network.root_reference == network.sym_name]
    return {record.data for run in runs for record in run.records}


def layout_of(network: NetworkOp, op: PopulationOp, records: set[str]) -> Layout:
    """A population as its kernel sees it."""
    assert isinstance(op.type, Float32Type | IntegerType)
    name, numbers = op.sym_name.data, Numbers(op.type)
    values = {
        key: value.value.data for key, value in op.parameters.data.items() if isinstance(value, FloatAttr | IntegerAttr)
    }
    feeds = tuple(feeds_of(network, name))
    reset = op.reset.data if op.reset else Reset.NONE
    rest = op.refractory.value.data if op.refractory and op.fires else 0
    fires, when = op.fires and op.fires.data, op.when.data if op.when else When.NOW
    silent = op.fires is None
    is_source = any(p.ends[0] == name for p in network.projections())
    kept = [state for state in op.dynamics.states if f"{name}.{state}" in records]
    if silent and "v" not in kept and (name in records or is_source):
        kept.append("v")
    if not silent and name in records:
        kept.append("spikes")
    return Layout(
        name,
        prod(op.sizes),
        Neuron(op.dynamics, numbers, fires, reset, when, rest),
        values,
        tuple(key for key in op.parameters.data if key not in values),
        feeds,
        tuple(kept),
        is_source or not silent,
        block_of(prod(op.sizes)) if any(feed.form == "rows" for feed in feeds) else LANES,
    )


def block_of(size: int) -> int:
    """The width of blocks for `size` columns."""
    return next((block for block in BLOCKS if -size % block <= size / 8), LANES)


def feeds_of(network: NetworkOp, target: str) -> Iterator[Feed]:
    """The projections to a population."""
    populations = {op.sym_name.data: op for op in network.populations()}
    number = 0
    for projection in network.projections():
        source, end = projection.ends
        if end == target:
            form, after = form_of(projection, graded := is_graded(populations[source]))
            if graded and not alike(populations[source], populations[target]):
                form, after = "given", ()
            sources, graded = prod(populations[source].sizes), graded and form != "given"
            yield Feed(number, source, sources, form, graded, after, source == target)
            number += 1


def is_graded(op: InputOp | PopulationOp) -> bool:
    """Does a population send numbers, not spikes?"""
    return op.analog is not None if isinstance(op, InputOp) else op.fires is None


def alike(source: InputOp | PopulationOp, target: InputOp | PopulationOp) -> bool:
    """Are numbers that are sent of the target's type? Those of inputs are brought to it beforehand."""
    return isinstance(source, InputOp) or isinstance(target, InputOp) or source.type == target.type


def form_of(projection: ProjectionOp, graded: bool) -> tuple[str, tuple[str, ...]]:
    """How a projection is summed, and the scales and biases that come after."""
    maps = [op for op in projection.map_ops() if not isinstance(op, ReshapeOp)]
    products = [place for place, op in enumerate(maps) if not isinstance(op, ScaleOp | BiasOp)]
    first = products[0] if products else -1
    before, rest = maps[: max(first, 0)], maps[first + 1 :]
    if len(products) > 1 or any(isinstance(op, BiasOp) for op in before) or (before and graded):
        return "given", ()
    dense = bool(products) and isinstance(maps[first], DenseOp) and projection.delays is None
    return "rows" if dense else "sparse", after_product(rest)


def after_product(maps: Sequence[MapOp]) -> tuple[str, ...]:
    """Scales and biases, by kind."""
    return tuple("scale" if isinstance(op, ScaleOp) else "bias" for op in maps)
