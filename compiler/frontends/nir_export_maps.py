"""Maps of projections as chains of NIR's linear nodes, from the node of the source to that of the target.

Projections that begin alike share the nodes of what they have in common.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from ...dialects.diagnostics import UserError
from ...dialects.snn import NetworkOp, ProjectionOp
from ...dialects.snn_maps import (
    BiasOp,
    ConvOp,
    DenseOp,
    MapOp,
    Pooling,
    PoolOp,
    ReshapeOp,
    ScaleOp,
    SparseOp,
    op_weight,
)
from .nir_network import unused

LARGEST = 2**26
"""Weights of a sparse map that is written as a dense one."""
Shape = tuple[int, ...]


class Chains:
    """The nodes and edges of a graph in the making. `nir` is the package."""

    def __init__(self, nir: Any, network: NetworkOp, weights: Mapping[str, np.ndarray]):
        self.nir, self.network, self.weights = nir, network, weights
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.known: dict[tuple, str] = {}
        self.shapes = {op.sym_name.data: op.sizes for op in network.populations()}

    def add(self, projection: ProjectionOp, *, delayed: bool) -> None:
        """The nodes and edges of a projection; its delay only if `delayed`."""
        source, target = projection.ends
        shape, here, maps = self.shapes[source], source, list(projection.map_ops())
        if projection.delays is None and delayed and projection.longest_delay:
            here = self.delay(here, np.full(shape, projection.longest_delay))
        before, after = (None, None) if projection.delays is None else self.own_delays(projection)
        if before is not None:
            here = self.delay(here, before.reshape(shape))
        while maps:
            op = maps.pop(0)
            bias = (
                maps.pop(0) if maps and isinstance(op, DenseOp | SparseOp | ConvOp) and self.fits(op, maps[0]) else None
            )
            here = self.put(projection, here, op, bias, shape)
            shape = op.output_shape(shape)
            if after is not None and isinstance(op, DenseOp):
                here = self.delay(here, after)
        if (here, target) in self.edges:
            here = self.node(
                here, (target, len(self.edges)), f"{here}_again", self.nir.Scale(np.ones(shape, np.float32))
            )
        self.edges.append((here, target))

    def node(self, here: str, key: tuple, name: str, node: Any) -> str:
        """A node after `here`, or the one that is there already."""
        if (here, key) not in self.known:
            name = unused(name, {*self.nodes, *self.shapes})
            self.known[here, key] = name
            self.nodes[name] = node
            self.edges.append((here, name))
        return self.known[here, key]

    def delay(self, here: str, steps: np.ndarray) -> str:
        seconds = steps.astype(np.float64) * self.network.dt.value.data
        return self.node(here, ("delay", seconds.tobytes()), f"{here}_delay", self.nir.Delay(seconds))

    def own_delays(self, projection: ProjectionOp) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Delays of synapses as those of their sources, or of their targets. Raises UserError for others."""
        assert projection.delays is not None
        delays = self.weights[projection.delays.root_reference.data]
        if delays.ndim == 2 and np.all(delays == delays[:1]):
            return delays[0], None
        if delays.ndim == 2 and np.all(delays == delays[:, :1]):
            return None, delays[:, 0]
        raise self.fault(projection, "each synapse has its own delay, which NIR cannot say")

    def fault(self, projection: ProjectionOp, message: str) -> UserError:
        return UserError(f"the projection {projection.title} has no form in NIR: {message}")

    def fits(self, op: MapOp, bias: MapOp) -> bool:
        """Can a bias be a part of the node of `op`: is it one for each of its outputs or channels?"""
        if not isinstance(bias, BiasOp):
            return False
        size = op.size.value.data if isinstance(op, SparseOp) else self.weights[op_weight(op)].shape[0]
        return self.weights[op_weight(bias)].size in (1, size)

    def put(self, projection: ProjectionOp, here: str, op: MapOp, bias: MapOp | None, shape: Shape) -> str:
        """The node of a map, with the bias after it."""
        if isinstance(op, DenseOp | SparseOp) and len(shape) != 1:
            here = self.flatten(here, shape, (prod(shape),)) or here
        if isinstance(op, ReshapeOp):
            flat = self.flatten(here, shape, op.shape.data)
            if flat is None:
                raise self.fault(projection, f"a reshape of {list(shape)} to {list(op.shape.data)} is no Flatten")
            return flat
        key = (op.name, str(op.properties), str(bias and bias.properties))
        if isinstance(op, PoolOp):
            if len(op.kernel.data) != 2:
                raise self.fault(projection, "NIR pools over two axes")
            kind = self.nir.SumPool2d if op.kind.data is Pooling.SUM else self.nir.AvgPool2d
            sizes = (np.array(values.data) for values in (op.kernel, op.stride, op.padding))
            return self.node(here, key, f"{here}_pool", kind(*sizes))
        if isinstance(op, BiasOp):
            raise self.fault(projection, "a bias that follows no dense map and no convolution")
        return self.node(here, key, op_weight(op).rpartition(".")[0] or op_weight(op), self.weighted(op, bias, shape))

    def weighted(self, op: MapOp, bias: MapOp | None, shape: Shape) -> Any:
        """The node of a map that has a weight."""
        if isinstance(op, ScaleOp):
            scale = self.weights[op_weight(op)]
            whole = scale.reshape(shape) if scale.size == prod(shape) else scale.reshape(-1, *(1,) * (len(shape) - 1))
            return self.nir.Scale(np.broadcast_to(whole, shape).copy())
        matrix = self.dense(op) if isinstance(op, SparseOp) else self.weights[op_weight(op)]
        out = matrix.shape[0]
        added = np.zeros(out, matrix.dtype) if bias is None else self.weights[op_weight(bias)].reshape(-1)
        added = np.broadcast_to(added, (out,)).copy()
        if isinstance(op, ConvOp):
            steps = [values.data for values in (op.stride, op.padding, op.dilation)]
            if matrix.ndim == 3:
                stride, padding, dilation = (value[0] for value in steps)
                return self.nir.Conv1d(shape[1], matrix, stride, padding, dilation, op.groups.value.data, added)
            return self.nir.Conv2d(shape[1:], matrix, *steps, op.groups.value.data, added)
        return self.nir.Linear(matrix) if bias is None else self.nir.Affine(matrix, added)

    def dense(self, op: SparseOp) -> np.ndarray:
        """The matrix of a sparse map."""
        offsets, targets, values = (
            self.weights[ref.root_reference.data] for ref in (op.offsets, op.targets, op.weight)
        )
        size = (op.size.value.data, len(offsets) - 1)
        if prod(size) > LARGEST:
            raise UserError(f"@{op_weight(op)}: NIR has dense weights only, and {list(size)} of them are too many")
        whole = np.zeros(size, values.dtype)
        np.add.at(whole, (targets, np.repeat(np.arange(size[1]), np.diff(offsets))), values)
        return whole

    def flatten(self, here: str, shape: Shape, wanted: Sequence[int]) -> str | None:
        """A Flatten of `shape` to `wanted`, if joining some axes does it; nothing where they are the same."""
        if tuple(wanted) == shape:
            return here
        for start in range(len(shape)):
            stop = start + len(shape) - len(wanted)
            if stop >= start and (*shape[:start], prod(shape[start : stop + 1]), *shape[stop + 1 :]) == tuple(wanted):
                node = self.nir.Flatten({"input": np.array(shape)}, start, stop)
                return self.node(here, ("flatten", start, stop), f"{here}_flat", node)
        return None
