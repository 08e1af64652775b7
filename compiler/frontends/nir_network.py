"""The module of a NIR graph: populations, projections along its paths, and the function that runs it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword

import numpy as np
import torch
from torch.utils import _pytree as pytree
from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    FloatAttr,
    FunctionType,
    IntegerAttr,
    ModuleOp,
    StringAttr,
    SymbolRefAttr,
    f32,
    i64,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region

from ...dialects.aten import TemplateAttr, WeightKind, tensor_type
from ...dialects.neurons import Compare, Discretisation, Model, Reset, discretisations
from ...dialects.snn import InputOp, NetworkOp, PopulationOp, ProjectionOp, RunOp
from ...dialects.snn_maps import MapOp, ReshapeOp
from ...dialects.template import Ref, Template
from ..signature import spec_text
from .graphs import value_name
from .nir_delays import delays_of
from .nir_graph import Graph, Path
from .nir_maps import maps_of, output_shape
from .nir_neurons import in_steps
from .nir_nodes import NEURONS, Node, Shape
from .nir_recurrence import closing_edges
from .weights import Weights

NETWORK = "network"
READOUT = {"decay": 0.0, "leak": 0.0, "gain": 1.0}
"""A leaky integrator that forgets at once: its membrane is what arrives in the step."""


@dataclass(frozen=True)
class Choices:
    """What NIR leaves open. `discretisation` None: the file's, else exponential."""

    dt: float
    discretisation: str | None
    reset: Reset
    round_delays: bool
    analog: bool


@dataclass
class Link:
    """A projection to be: `delay` is a number of steps, or one for each synapse of its only dense map."""

    source: str
    target: str
    maps: list[MapOp]
    delay: int | np.ndarray

    @property
    def least(self) -> int:
        return int(np.min(self.delay, initial=2**16))


class Builder:
    """Makes the module of a graph; `notes` say what was assumed."""

    def __init__(self, graph: Graph, choices: Choices):
        self.graph, self.choices = graph, choices
        self.weights, self.notes = Weights({}), list[str]()
        self.symbols: dict[str, str] = {}
        for name in graph.nodes:
            self.symbols[name] = unused(re.sub(r"\W", "_", name), {*self.symbols.values(), "forward"})

    def module(self) -> ModuleOp:
        """The whole module."""
        order = self.graph.order()
        ops: list[Operation] = [self.population(name) for name in order]
        links = [link for name in order for link in self.links(name)]
        self.delay_recurrence(links)
        records = dict[str, str]()
        for name in self.graph.outputs:
            paths = self.graph.paths(name)
            source = self.recorded(paths)
            if source is None:
                ops.append(readout(self.symbols[name], self.graph.shapes[name]))
                links += self.links(name)
            records[name] = source or name
        network = NetworkOp(NETWORK, self.choices.dt, Region(Block([*ops, *map(self.projection, links)])))
        function = self.forward(records)
        return ModuleOp([*self.weights.declarations(), network, function])

    def recorded(self, paths: Sequence[Path]) -> str | None:
        """The neurons that an output is; None where it is a sum, or a map of any."""
        if len(paths) != 1 or self.graph.nodes[paths[0].source].kind not in NEURONS:
            return None
        return paths[0].source if all(node.kind in ("Input", "Output") for node, _ in paths[0].maps) else None

    def population(self, name: str) -> InputOp | PopulationOp:
        """The op of an input or of neurons."""
        node, shape = self.graph.nodes[name], self.graph.shapes[name]
        if node.kind == "Input":
            return InputOp(self.symbols[name], shape, analog=self.choices.analog)
        way = Discretisation(self.choices.discretisation or written_discretisation(node))
        neurons = in_steps(node, self.choices.dt, way, self.choices.reset)
        if np.any(neurons.parameters.get("rate", np.zeros(1)) > 1):
            self.notes.append(f"'{name}': a step is longer than tau: Euler's method overshoots")
        parameters = {key: self.parameter(node, key, value, shape) for key, value in neurons.parameters.items()}
        fires = Compare.GT if "threshold" in parameters else None
        way = neurons.discretisation
        return PopulationOp(
            self.symbols[name], shape, f32, neurons.model, way, parameters, fires=fires, reset=neurons.reset
        )

    def parameter(self, node: Node, key: str, value: np.ndarray, shape: Shape) -> Attribute:
        """A parameter as a number, or as a weight where neurons differ."""
        single = self.single(node, key, value)
        if single.size and np.all(single.reshape(-1).view(np.int32) == single.reshape(-1).view(np.int32)[0]):
            return FloatAttr(float(single.reshape(-1)[0]), f32)
        return SymbolRefAttr(self.declare(node, key, np.broadcast_to(single, shape), WeightKind.BUFFER))

    def single(self, node: Node, key: str, value: np.ndarray) -> np.ndarray:
        """`value` in float32. Raises UserError where that has no such number."""
        with np.errstate(over="ignore"):
            single = np.asarray(value).astype(np.float32)
        if np.any(np.isinf(single) & np.isfinite(value)):
            raise node.fault(f"{key} is too large for float32: {np.abs(value).max():g}")
        return single

    def declare(self, node: Node, key: str, value: np.ndarray, kind: WeightKind = WeightKind.PARAMETER) -> str:
        """Declare a weight, once, and give its symbol."""
        name = f"{self.symbols[node.name]}.{key}"
        if name not in self.weights.by_name:
            exact = value.dtype.kind in "iu" and key == "delays"
            array = value if exact else self.single(node, key, value)
            if kind is WeightKind.PARAMETER and np.any(array != value):
                self.notes.append(f"'{node.name}': {key} is rounded to float32")
            self.weights.add(name, kind, torch.from_numpy(array.copy()))
        return name

    def links(self, name: str) -> Iterator[Link]:
        """The projections to a node."""
        for path in self.graph.paths(name):
            yield self.link(path, name)

    def link(self, path: Path, target: str) -> Link:
        """The projection of a path."""
        shape = self.graph.shapes[path.source]
        maps: list[MapOp] = []
        for node, bias in path.maps:
            maps += maps_of(node, shape, self.declare, bias=bias)
            shape = output_shape(node, shape)
        if not maps or shape != self.graph.shapes[target]:  # no map at all would be no text
            maps.append(ReshapeOp(self.graph.shapes[target]))
        delay = delays_of([node for node, _ in path.maps], self.choices.dt, self.choices.round_delays, self.notes)
        return Link(path.source, target, maps, delay)

    def delay_recurrence(self, links: Sequence[Link]) -> None:
        """Give a delay of 1 to what closes a cycle without delay."""
        edges = [(link.source, link.target) for link in links if link.least == 0]
        closing = closing_edges(edges, self.graph.inputs)
        for link in links:
            if link.least == 0 and (link.source, link.target) in closing:
                link.delay = max(link.delay, 1) if isinstance(link.delay, int) else np.maximum(link.delay, 1)
        self.notes += [
            f"'{source}' -> '{target}' is recurrent: NIR gives it no delay, it has 1 step"
            for source, target in dict.fromkeys(edge for edge in edges if edge in closing)
        ]

    def projection(self, link: Link) -> ProjectionOp:
        """The op of a projection."""
        source, target, maps = self.symbols[link.source], self.symbols[link.target], Region(Block(link.maps))
        if isinstance(link.delay, int):
            return ProjectionOp(source, target, maps, delay=link.delay)
        node = next(node for node in self.graph.nodes.values() if self.uses(link, node))
        symbol = unused(f"{self.symbols[node.name]}.delays", self.weights.by_name)
        delays = link.delay.astype(np.int32)
        self.weights.add(symbol, WeightKind.BUFFER, torch.from_numpy(delays))
        return ProjectionOp(source, target, maps, delays=(symbol, int(delays.min()), int(delays.max())))

    def uses(self, link: Link, node: Node) -> bool:
        """Is the link's first weight that of this node?"""
        weight = link.maps[0].properties["weight"]
        return isinstance(weight, SymbolRefAttr) and weight.root_reference.data == f"{self.symbols[node.name]}.weight"

    def forward(self, records: Mapping[str, str]) -> FuncOp:
        """The function that runs the network; `records` are what the outputs give. `steps` and `batch` are any."""
        shapes = [self.graph.shapes[name] for name in self.graph.inputs]
        names = [argument(self.symbols[name]) for name in self.graph.inputs]
        outputs = [self.symbols[name] for name in records]
        inputs = [tensor_type(f32, ["steps", "batch", *shape]) for shape in shapes]
        results = [tensor_type(f32, ["steps", "batch", *self.graph.shapes[name]]) for name in records.values()]
        block = Block(arg_types=inputs)
        for value, name in zip(block.args, names, strict=True):
            value.name_hint = value_name(name) if name.isascii() else None
        run = RunOp(NETWORK, block.args, [self.symbols[name] for name in records.values()], results)
        block.add_ops([run, ReturnOp(*run.results_)])
        function = FuncOp(
            "forward",
            FunctionType.from_lists(inputs, results),
            Region(block),
            arg_attrs=ArrayAttr(DictionaryAttr({"aten.name": StringAttr(name)}) for name in names),
            res_attrs=ArrayAttr(DictionaryAttr({"aten.name": StringAttr(name)}) for name in outputs),
        )
        function.attributes |= entry(names, outputs)
        return function


def entry(names: Sequence[str], outputs: Sequence[str]) -> dict[str, Attribute]:
    """How the function is called: one result alone, several by the names of their outputs."""
    anything = ArrayAttr(IntegerAttr(number, i64) for number in (0, -1, -1))
    leaves: object = 0 if len(outputs) == 1 else dict.fromkeys(outputs, 0)
    return {
        "aten.forward": StringAttr(f"({', '.join(names)})"),
        "aten.inputs": TemplateAttr(Template(tuple(map(Ref, range(len(names)))))),
        "aten.outputs": TemplateAttr(Template(tuple(map(Ref, range(len(outputs)))))),
        "aten.in_spec": StringAttr(spec_text(pytree.tree_structure((tuple(names), {})))),
        "aten.out_spec": StringAttr(spec_text(pytree.tree_structure(leaves))),
        "aten.symbols": DictionaryAttr({"batch": anything, "steps": anything}),
    }


def readout(name: str, shape: Shape) -> PopulationOp:
    """A population whose membrane is what arrives in the step."""
    parameters = {key: FloatAttr(value, f32) for key, value in READOUT.items()}
    return PopulationOp(name, shape, f32, Model.LI, Discretisation.EXPONENTIAL, parameters)


def written_discretisation(node: Node) -> str:
    """What a file of ours says of a node, else exponential."""
    written = node.metadata.get("discretisation", Discretisation.EXPONENTIAL)
    if written not in discretisations(Model.LIF)[:2]:
        raise node.fault(f"its metadata names a discretisation '{written}'", hint="known: exponential, euler")
    return written


def unused(name: str, taken: "set[str] | dict") -> str:
    """`name`, or `name_2`, and so on."""
    return name if name not in taken else next(n for k in range(2, len(taken) + 3) if (n := f"{name}_{k}") not in taken)


def argument(name: str) -> str:
    """A name of an argument for a name of a node."""
    return name if name.isidentifier() and not iskeyword(name) else f"input_{name}"
