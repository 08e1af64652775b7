"""The spiking workloads as modules of the `snn` dialect, with their weights.

Workload  ->  snn.network with an i32 population for each of its own, conv or sparse projections between them
"""

import hashlib

import numpy as np
from gossamer.dialects.aten import WeightKind, WeightOp
from gossamer.dialects.neurons import Compare, Discretisation, Model, Reset, When
from gossamer.dialects.snn import InputOp, NetworkOp, PopulationOp, ProjectionOp
from gossamer.dialects.snn_maps import ConvOp, ReshapeOp, SparseOp
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, TensorType, i16, i32, i64
from xdsl.ir import Block, Operation, Region

from .spiking_workloads import FLOOR, Population, SharedKernel, Workload

TYPES = {np.dtype(np.int16): i16, np.dtype(np.int32): i32, np.dtype(np.int64): i64}
STEP = 1e-3
"""Seconds a step: nothing of the workloads depends on it."""


class Writer:
    """Ops and weights while a module is put together."""

    def __init__(self, load: Workload):
        self.load = load
        self.weights: dict[str, np.ndarray] = {}
        self.ops: list[Operation] = []

    def weight(self, name: str, array: np.ndarray) -> str:
        """Declare a weight."""
        self.weights[name] = np.ascontiguousarray(array)
        return name

    def declarations(self) -> list[Operation]:
        """The weights as ops."""
        found: list[Operation] = []
        for name, array in self.weights.items():
            digest = hashlib.sha256(array.tobytes()).hexdigest()
            found.append(WeightOp(name, WeightKind.CONSTANT, TensorType(TYPES[array.dtype], array.shape), digest))
        return found

    def population(self, population: Population) -> Operation:
        """Inputs, or neurons with the numbers of the workload."""
        size = population.hi - population.lo
        if population.kind == "input":
            return InputOp(population.name, [size])
        own = slice(population.lo, population.hi)
        numbers = {"threshold": self.load.threshold[own], "shift": self.load.leak[own], "floor": np.array([FLOOR])}
        (threshold, shift, floor) = (int(np.unique(values).item()) for values in numbers.values())
        parameters = {"shift": shift, "floor": floor, "threshold": threshold}
        return PopulationOp(
            population.name, [size], i32, Model.LIF, Discretisation.SHIFT,
            {name: IntegerAttr(value, i32) for name, value in parameters.items()},
            fires=Compare.GE, reset=Reset.SUBTRACT, when=When.NOW,
        )  # fmt: skip

    def convolution(self, kernel: SharedKernel) -> Operation:
        """A projection that shares its kernel."""
        sizes = {p.name: p.hi - p.lo for p in self.load.populations}
        channels = kernel.weight.shape[1]
        side = round((sizes[kernel.source] / channels) ** 0.5)
        name = self.weight(f"{kernel.target}.kernel", kernel.weight)
        ops = [
            ReshapeOp([channels, side, side]),
            ConvOp(name, [kernel.stride] * 2, [kernel.padding] * 2, [1, 1]),
            ReshapeOp([sizes[kernel.target]]),
        ]
        return ProjectionOp(kernel.source, kernel.target, Region(Block(ops)))

    def sparse(self, source: Population, target: Population) -> Operation | None:
        """A projection with the synapses between two populations; None where there are none."""
        synapses = self.load.synapses
        first, last = synapses.offsets[[source.lo, source.hi]]
        reached = synapses.target[first:last]
        own = (reached >= target.lo) & (reached < target.hi)
        if not own.any():
            return None
        row = synapses.source[first:last][own] - source.lo
        offsets = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=source.hi - source.lo))))
        title = f"{source.name}.{target.name}"
        size = target.hi - target.lo
        names = (
            self.weight(f"{title}.weight", synapses.weight[first:last][own].astype(np.int32)),
            self.weight(f"{title}.offsets", offsets.astype(np.int64)),
            self.weight(f"{title}.targets", (reached[own] - target.lo).astype(np.int32)),
        )
        delay = synapses.delay[first:last][own].astype(np.int16)
        least, longest = int(delay.min()), int(delay.max())
        delays = None if least == longest else (self.weight(f"{title}.delays", delay), least, longest)
        maps = Region(Block([SparseOp(*names, size)]))
        return ProjectionOp(source.name, target.name, maps, delay=least if delays is None else 0, delays=delays)


def module_of(load: Workload) -> tuple[ModuleOp, dict[str, np.ndarray]]:
    """A workload as a module, and its weights."""
    writer = Writer(load)
    shared = {(kernel.source, kernel.target): kernel for kernel in load.kernels}
    ops = [writer.population(population) for population in load.populations]
    for source in load.populations:
        for target in load.populations:
            kernel = shared.get((source.name, target.name))
            made = writer.convolution(kernel) if kernel else writer.sparse(source, target)
            ops += [made] if made else []
    network = NetworkOp(load.name, STEP, Region(Block(ops)))
    return ModuleOp([*writer.declarations(), network]), writer.weights


def inputs_of(load: Workload) -> dict[str, np.ndarray]:
    """The spikes of each input, bool [steps, neurons]."""
    told = load.inputs.dense(load.neurons)
    return {p.name: told[:, p.lo : p.hi] for p in load.populations if p.kind == "input"}
