"""A network whose weights are those that a machine can store.

    aten.weight constant @w ..               aten.weight constant @w ..    aten.weight constant @w.stored0 ..
    snn.projection @x to @a {           ->   snn.projection @x to @a {
      snn.dense @w                             snn.dense @w.stored0
    }                                        }

A synapse has one weight: that of a dense, sparse, convolutional or element-wise map, times scales and averages that are
the same for all. Where maps multiply weights with one another there is no single one to store, and that is told.
Biases, thresholds and the states of neurons stay as they are.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from xdsl.dialects.builtin import ModuleOp, StringAttr, SymbolRefAttr, TensorType, f32
from xdsl.ir import Block

from ..dialects.aten import WeightKind, WeightOp
from ..dialects.diagnostics import Place, UserError, place_of
from ..dialects.snn import NetworkOp, ProjectionOp
from ..dialects.snn_maps import DELAYED, MapOp, Pooling, PoolOp, ScaleOp, op_weight
from ..runtime.core_array.machine import Machine
from ..runtime.core_array.number_format import Sign, WeightFormat, scales, stored
from ..runtime.spiking.network import Network

Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Carrier:
    """Where the weights of a projection stand: times `factor` they are those of its synapses. `map` is None for a
    projection whose synapses all weigh `factor`."""

    projection: ProjectionOp
    map: MapOp | None
    factor: float

    def values(self, weights: Weights) -> np.ndarray:
        """What is stored."""
        return np.ones(1, np.float32) if self.map is None else np.asarray(weights[op_weight(self.map)])


@dataclass
class Stored:
    """`module` and `weights` of the network as a machine stores it; of each population, how many weights that arrive
    there changed; `most` is the greatest change over the greatest weight; `refused` says why weights have no such form,
    and where.
    """

    module: ModuleOp
    weights: dict[str, np.ndarray]
    changed: dict[str, int] = field(default_factory=dict)
    total: int = 0
    most: float = 0.0
    refused: list[tuple[str, Place | None]] = field(default_factory=list)

    def check(self, machine: Machine) -> None:
        """Raise UserError where weights cannot be stored at all."""
        if self.refused:
            why, place = self.refused[0]
            raise UserError(f"{machine.title} cannot store these weights: {why}", place=place,
                            hint="--precision exact runs the network as it is")  # fmt: skip


def store(module: ModuleOp, weights: Weights, network: Network, machine: Machine) -> Stored:
    """The network of `module` with the nearest weights that a machine stores; see `number_format`."""
    form, found = machine.weights, Stored(module.clone(), dict(weights))
    op = next(each for each in found.module.ops if isinstance(each, NetworkOp))
    if form is None:
        return found
    found.refused += [(why, place_of(op)) for why in unsigned(form, network)]
    arriving: dict[str, list[Carrier]] = {}
    for projection in op.projections():
        carrier = carrier_of(projection, weights)
        if isinstance(carrier, str):
            found.refused.append((f"{projection.title}: {carrier}", place_of(projection)))
        else:
            arriving.setdefault(projection.ends[1], []).append(carrier)
    for target, carriers in arriving.items():
        whole = network.populations[network.find(target)].dtype.kind == "i"
        given = [each.values(weights).astype(np.float64) * each.factor for each in carriers]
        if odd := next((c for c, w in zip(carriers, given, strict=True) if not np.isfinite(w).all()), None):
            found.refused.append((f"{odd.projection.title}: a weight is no number", place_of(odd.projection)))
            continue
        for carrier, scale in zip(carriers, scales(form, given, whole), strict=True):
            round_one(found, carrier, form, scale)
    return found


def unsigned(form: WeightFormat, network: Network) -> Iterator[str]:
    """Why signs do not fit."""
    if form.sign is Sign.TYPE:
        yield ("a synapse is one bit there, and its weight that of its type of axon, four for each neuron: "
               "a network is trained for that")  # fmt: skip
    if form.sign is Sign.SOURCE:
        synapses = network.synapses()
        signs = [np.bincount(synapses.source[where], minlength=network.neurons) > 0
                 for where in (synapses.weight > 0, synapses.weight < 0)]  # fmt: skip
        for population in network.populations:
            both = np.flatnonzero((signs[0] & signs[1])[population.first : population.last])
            if len(both):
                yield (f"all synapses of a neuron have its sign there, {len(both)} of {population.size} neurons of "
                       f"@{population.name} excite and inhibit")  # fmt: skip


def carrier_of(projection: ProjectionOp, weights: Weights) -> Carrier | str:
    """The map with a projection's weights; or why there is none."""
    maps = list(projection.map_ops())
    even = [op for op in maps if isinstance(op, ScaleOp) and len(np.unique(weights[op_weight(op)])) == 1]
    weighing = [op for op in maps if isinstance(op, DELAYED) or (isinstance(op, ScaleOp) and op not in even)]
    if len(weighing) > 1:
        return f"{weighing[0].name} and {weighing[1].name} multiply their weights: make one map of them"
    pools = [op for op in maps if isinstance(op, PoolOp)]
    if pools and weighing and isinstance(weighing[0], DELAYED):
        after = any(maps.index(pool) > maps.index(weighing[0]) for pool in pools)
        if after or any(s < k for pool in pools for s, k in zip(pool.stride.data, pool.kernel.data, strict=True)):
            return f"{weighing[0].name} and snn.pool add up weights: make one map of them"
    own = weighing[0] if weighing else even.pop() if even else None
    factor = prod(float(np.unique(weights[op_weight(op)]).item()) for op in even)
    factor /= prod(prod(pool.kernel.data) for pool in pools if pool.kind.data is Pooling.AVERAGE)
    return Carrier(projection, own, factor)


def round_one(found: Stored, carrier: Carrier, form: WeightFormat, scale: float) -> None:
    """Give one projection the weights that are stored; it has names of its own for them."""
    old = carrier.values(found.weights)
    new = (stored(form, old.astype(np.float64) * carrier.factor, scale) / (carrier.factor or 1)).astype(old.dtype)
    changed = int((new != old).sum())
    target = carrier.projection.ends[1]
    found.total += old.size
    if not changed:
        return
    found.changed[target] = found.changed.get(target, 0) + changed
    found.most = max(found.most, float(np.abs(new.astype(float) - old).max() / np.abs(old).max()))
    name = fresh(carrier, found.weights)
    found.weights[name] = new
    digest = hashlib.sha256(np.ascontiguousarray(new).tobytes()).hexdigest()
    if carrier.map is None:
        declared = WeightOp(name, WeightKind.CONSTANT, TensorType(f32, new.shape), digest)
        if not carrier.projection.maps.blocks:
            carrier.projection.maps.add_block(Block())
        carrier.projection.maps.block.add_op(ScaleOp(name))
    else:
        known = (op for op in found.module.ops if isinstance(op, WeightOp))
        declared = next(op for op in known if op.sym_name.data == op_weight(carrier.map)).clone()
        declared.properties |= {"sym_name": StringAttr(name), "digest": StringAttr(digest)}
        declared.properties.pop("aliases", None)
        carrier.map.properties["weight"] = SymbolRefAttr(name)
    block = found.module.body.block
    block.insert_op_before(declared, next(op for op in block.ops if isinstance(op, NetworkOp)))


def fresh(carrier: Carrier, taken: Weights) -> str:
    """A name for what a projection stores."""
    base = "{}.{}".format(*carrier.projection.ends) if carrier.map is None else op_weight(carrier.map)
    return next(name for number in range(len(taken) + 1) if (name := f"{base}.stored{number}") not in taken)
