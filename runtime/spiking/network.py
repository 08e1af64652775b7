"""A network of the `snn` dialect with its weights, as arrays.

Neurons are numbered through the network in the order of its populations. A projection is a chain of linear maps; each
is a sparse matrix [out, in], whose rows are summed in the order of their columns: so results do not depend on how a
network is run (the canonical order). Where delays differ, synapses of longer delays, whose spikes are older, come
first. Biases are added to a projection's sum, and projections in the order of the text.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from scipy import sparse
from xdsl.dialects.builtin import DictionaryAttr, FloatAttr, IntegerAttr, IntegerType, SymbolRefAttr
from xdsl.ir import Attribute

from ...dialects.neurons import Reset, When
from ...dialects.snn import InputOp, NetworkOp, PopulationOp, ProjectionOp
from ...dialects.snn_maps import DELAYED, BiasOp, ConvOp, MapOp, ReshapeOp, ScaleOp, SparseOp, op_weight
from .arrays import Synapses
from .equations import FIRED, REST, Firing, Step
from .matrices import Csr, matrix

Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Population:
    """Neurons `first` to `last` (excluded). `step` is None for inputs. Parameters and initial states are arrays of the
    neurons, or single numbers, of `dtype`."""

    name: str
    shape: tuple[int, ...]
    first: int
    dtype: np.dtype
    step: Step | None = None
    parameters: Mapping[str, np.ndarray] | None = None
    initial: Mapping[str, np.ndarray] | None = None
    analog: bool = False

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def last(self) -> int:
        return self.first + self.size

    @property
    def silent(self) -> bool:
        """Does it never fire, and send its v instead?"""
        return self.step is not None and self.step.firing is None

    def start(self, batch: int) -> dict[str, np.ndarray]:
        """The states before the first step, each [batch, size]."""
        state = {}
        for name in self.step.states if self.step else ():
            kind = {FIRED: np.dtype(bool), REST: np.dtype(np.int32)}.get(name, self.dtype)
            value = (self.initial or {}).get(name, np.zeros((), kind))
            state[name] = np.broadcast_to(value, (batch, self.size)).astype(kind, order="C")
        return state


@dataclass(frozen=True)
class Stage:
    """One map of a projection: a product, an element-wise scale, or a bias; and where the weight is shared."""

    product: Csr | None = None
    scale: np.ndarray | None = None
    bias: np.ndarray | None = None
    shared: bool = False


@dataclass(frozen=True)
class Projection:
    """From population `source` to population `target`. `delay` is a number of steps, or one for each entry of the only
    product, in the order of its data."""

    source: int
    target: int
    stages: tuple[Stage, ...]
    delay: int | np.ndarray

    @property
    def delays(self) -> tuple[int, ...]:
        """The delays it has, longest first."""
        return (self.delay,) if isinstance(self.delay, int) else tuple(map(int, np.unique(self.delay)[::-1]))

    @cached_property
    def product(self) -> Csr | None:
        """All products as one matrix [out, in], exact only for integers; None where there is none (one to one)."""
        whole: Csr | None = None
        for stage in self.stages:
            if stage.product is not None:
                whole = stage.product if whole is None else sparse.csr_array(stage.product @ whole)
            elif stage.scale is not None and whole is not None:
                whole = sparse.csr_array(sparse.diags_array(stage.scale) @ whole)
            elif stage.scale is not None:
                whole = sparse.csr_array(sparse.diags_array(stage.scale))
        return whole

    @cached_property
    def delayed_product(self) -> Csr:
        """The only product with its columns once for each of `delays`: [out, delays * in]."""
        assert not isinstance(self.delay, int)
        product = next(stage.product for stage in self.stages if stage.product is not None)
        rows = np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
        longest_first = np.searchsorted(-np.asarray(self.delays), -self.delay.astype(np.int64))
        columns = product.indices + longest_first * product.shape[1]
        order = np.lexsort((columns, rows))
        shape = (product.shape[0], len(self.delays) * product.shape[1])
        return sparse.csr_array((product.data[order], columns[order], product.indptr), shape=shape)

    @property
    def single(self) -> bool:
        """Is there one product, so that a synapse brings its weight and nothing else?"""
        return sum(stage.product is not None or stage.scale is not None for stage in self.stages) <= 1

    def bias(self, size: int) -> np.ndarray | None:
        """What arrives in each step though nothing fires; [size] or None."""
        kinds = [stage.bias.dtype for stage in self.stages if stage.bias is not None]
        if not kinds:
            return None
        value: np.ndarray = np.zeros(self.inputs(size), np.result_type(*kinds))
        for stage in self.stages:
            value = through(stage, value)
        return value

    def inputs(self, size: int) -> int:
        """The size of the source, given that of the target."""
        first = next((stage.product for stage in self.stages if stage.product is not None), None)
        return size if first is None else first.shape[1]


def through(stage: Stage, x: np.ndarray) -> np.ndarray:
    """One map applied to x [in] or [in, batch], in the canonical order."""
    if stage.product is not None:
        return stage.product @ x
    if stage.scale is not None:
        return stage.scale.reshape(-1, *(1,) * (x.ndim - 1)) * x
    assert stage.bias is not None
    return x + stage.bias.reshape(-1, *(1,) * (x.ndim - 1))


@dataclass(frozen=True)
class Network:
    """Populations and projections, both in the order of the text."""

    name: str
    dt: float
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]

    @property
    def neurons(self) -> int:
        return sum(p.size for p in self.populations)

    @property
    def inputs(self) -> tuple[int, ...]:
        """The populations whose spikes are given, by number."""
        return tuple(i for i, p in enumerate(self.populations) if p.step is None)

    @cached_property
    def is_input(self) -> np.ndarray:
        """Which neurons are those of inputs, bool [neurons]."""
        return np.repeat([p.step is None for p in self.populations], [p.size for p in self.populations])

    def find(self, name: str) -> int:
        """The number of a population."""
        return next(i for i, p in enumerate(self.populations) if p.name == name)

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Of each population, the length of the longest path of projections without delay that leads to it."""
        level = [0] * len(self.populations)
        edges = [(p.source, p.target) for p in self.projections if p.delays[-1] == 0]
        for _ in self.populations:
            for source, target in edges:
                level[target] = max(level[target], level[source] + 1)
        return tuple(level)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The populations in the order of a step."""
        return tuple(sorted(range(len(self.populations)), key=lambda i: (self.levels[i], i)))

    def synapses(self) -> Synapses:
        """Every synapse by its presynaptic neuron, over all projections; what the core array holds."""
        nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.uint16))
        parts = list(self.synapse_parts()) or [nothing]
        source, target, weight, delay = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Synapses.of(self.neurons, source, target, weight, delay)

    def synapse_parts(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Source, target, weight and delay of the synapses of each projection."""
        for projection in self.projections:
            source, target = self.populations[projection.source], self.populations[projection.target]
            product = projection.product
            if product is None:
                product = sparse.csr_array(sparse.eye_array(target.size).astype(target.dtype))
            rows = np.repeat(np.arange(target.size), np.diff(product.indptr))
            delay = np.broadcast_to(np.asarray(projection.delay, np.uint16), product.data.shape)
            yield product.indices + source.first, rows + target.first, product.data, delay


def read_network(op: NetworkOp, weights: Weights) -> Network:
    """The network of an op with its weights, by name."""
    populations: list[Population] = []
    for entry in op.populations():
        populations.append(read_population(entry, sum(p.size for p in populations), weights))
    numbers = {p.name: i for i, p in enumerate(populations)}
    projections = [read_projection(entry, populations, numbers, weights) for entry in op.projections()]
    return Network(op.sym_name.data, op.dt.value.data, tuple(populations), tuple(projections))


def read_population(op: InputOp | PopulationOp, first: int, weights: Weights) -> Population:
    if isinstance(op, InputOp):
        return Population(op.sym_name.data, op.sizes, first, np.dtype(np.float32), analog=op.analog is not None)
    firing = None
    if op.fires is not None:
        reset = op.reset.data if op.reset else Reset.NONE
        rest = op.refractory.value.data if op.refractory else 0
        firing = Firing(op.fires.data, reset, op.when.data if op.when else When.NOW, rest)
    dtype = state_dtype(op.type)
    return Population(
        op.sym_name.data,
        op.sizes,
        first,
        dtype,
        Step(op.dynamics, firing),
        numbers_of(op.parameters, weights, dtype, op.sizes),
        numbers_of(op.initial, weights, dtype, op.sizes),
    )


def state_dtype(type: Attribute) -> np.dtype:
    """f32 -> float32"""
    prefix = "int" if isinstance(type, IntegerType) else "float"
    return np.dtype(f"{prefix}{type.bitwidth}")  # pyright: ignore[reportAttributeAccessIssue]


def numbers_of(
    values: DictionaryAttr | None, weights: Weights, dtype: np.dtype, shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Parameters as arrays over the neurons, or single numbers."""
    found: dict[str, np.ndarray] = {}
    for name, value in values.data.items() if values else ():
        match value:
            case FloatAttr() | IntegerAttr():
                found[name] = np.asarray(value.value.data, dtype)
            case SymbolRefAttr():
                array = np.asarray(weights[value.root_reference.data], dtype)
                found[name] = spread_parameter(array, shape) if array.size > 1 else array.reshape(())
    return found


def spread_parameter(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter of neurons of a shape, or one that spreads over it, as one for each; [neurons]."""
    if array.size == prod(shape):
        return array.reshape(-1)
    return np.broadcast_to(array.reshape(array.shape[-len(shape) :]), shape).reshape(-1)


def read_projection(
    op: ProjectionOp, populations: Sequence[Population], numbers: Mapping[str, int], weights: Weights
) -> Projection:
    source, target = (numbers[name] for name in op.ends)
    dtype, shape = populations[target].dtype, populations[source].shape
    stages: list[Stage] = []
    delay: int | np.ndarray = op.least_delay
    for entry in op.map_ops():
        if stage := read_stage(entry, shape, weights, dtype):
            stages.append(stage)
        if op.delays is not None and isinstance(entry, DELAYED):
            found = synapse_delays(entry, shape, weights, weights[op.delays.root_reference.data])
            delay = found if len(found) else delay
        shape = entry.output_shape(shape)
    return Projection(source, target, tuple(stages), delay)


def synapse_delays(op: MapOp, shape: tuple[int, ...], weights: Weights, delays: np.ndarray) -> np.ndarray:
    """The delay of each entry of a map's matrix, in the order of its data; `delays` is of the shape of its weight."""
    weight = np.asarray(weights[op_weight(op)])
    numbers = np.arange(1, weight.size + 1).reshape(weight.shape)
    if not isinstance(op, SparseOp):
        numbers = np.where(weight != 0, numbers, 0)
    order = matrix(op, shape, {**weights, op_weight(op): numbers}).data.astype(np.int64) - 1
    return np.asarray(delays, np.uint16).reshape(-1)[order]


def read_stage(op: MapOp, shape: tuple[int, ...], weights: Weights, dtype: np.dtype) -> Stage | None:
    """What a map does; None where it only reshapes."""
    match op:
        case ReshapeOp():
            return None
        case ScaleOp():
            return Stage(scale=spread(weights[op_weight(op)], shape, dtype))
        case BiasOp():
            return Stage(bias=spread(weights[op_weight(op)], shape, dtype))
        case _:
            return Stage(matrix(op, shape, weights).astype(dtype), shared=isinstance(op, ConvOp))


def spread(weight: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A weight for each element, for each channel, or one, as one for each element; [elements]."""
    weight = np.asarray(weight, dtype)
    if weight.size == prod(shape):
        return weight.reshape(-1)
    return np.broadcast_to(weight.reshape(-1, *(1,) * (len(shape) - 1)), shape).reshape(-1)
