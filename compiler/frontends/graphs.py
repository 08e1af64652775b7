"""One op per node: an fx graph as a block.

    add   = aten.add.Tensor(x, y, alpha=2)      %add = aten.call "aten.add.Tensor"(%x, %y, alpha = 2)
    split = aten.split.Tensor(x, 2)             %split, %split_1 = aten.call "aten.split.Tensor"(%x, 2) unpack
    item  = operator.getitem(split, 1)          (nothing: %split_1)
    cond  = cond(p, true_graph, .., [x])        %cond = aten.call "cond"(%p, region<0>, .., [%x]) unpack {..}

Nothing is refused: an op that no pass knows is carried by name. `_assert_tensor_metadata`, a note that export makes
to itself, is left out.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import torch
from torch.fx import GraphModule, Node
from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ...dialects.aten import CallOp, ObjectType, ParameterOp, YieldOp
from ...dialects.template import Argument, Ref, RegionRef, Template
from .effects import effects_of
from .literals import argument, literal
from .locations import Locations
from .types import type_of
from .weights import Weight

DROPPED = frozenset({"aten._assert_tensor_metadata.default"})

Value: TypeAlias = "SSAValue | list[SSAValue] | GraphModule | object"
"""What a node stands for: a value, the elements of a sequence, a function, or a Python constant."""


def target_name(target: object) -> str:
    """`aten.add.Tensor`, `cond`, `operator.mul`, `math.floor`, `torch.sym_max`."""
    if isinstance(target, torch._ops.OpOverload):
        return str(target)
    if isinstance(target, torch._ops.HigherOrderOperator):
        return target.name()
    module, name = getattr(target, "__module__", "?"), getattr(target, "__qualname__", str(target))
    return f"{module.removeprefix('_')}.{name}"


def result_types(node: Node) -> tuple[list[Attribute], bool]:
    """Types of the results of a call, and whether it gives a sequence."""
    value = node.meta.get("val")
    if isinstance(value, list | tuple):
        return [type_of(item) for item in value], True
    taken = [user.args[1] for user in node.users if user.target is operator.getitem]
    if value is None and taken:
        return [ObjectType(StringAttr("unknown"))] * (1 + max(i for i in taken if isinstance(i, int))), True
    return ([type_of(value)] if value is not None or node.users else []), False


class Arguments:
    """The template of one call as it is written, with the operands and functions it refers to."""

    def __init__(self, graph: "Graph"):
        self.graph = graph
        self.operands: list[SSAValue] = []
        self.regions: list[Region] = []

    def __call__(self, value: object) -> Argument:
        """`value` as an argument; each operand is listed once however often it is written."""
        return argument(value, self.leaf)

    def leaf(self, value: object) -> Argument:
        if isinstance(value, Node):
            value = self.graph.values[value]
            if isinstance(value, list):
                return tuple(map(self.leaf, value))
        if isinstance(value, SSAValue):
            if value not in self.operands:
                self.operands.append(value)
            return Ref(self.operands.index(value))
        if isinstance(value, GraphModule):
            self.regions.append(self.graph.function(value))
            return RegionRef(len(self.regions) - 1)
        return argument(value, literal)

    def template(self, args: Iterable[object], kwargs: Mapping[str, object] | None = None) -> Template:
        """The template of a call's arguments."""
        positional = tuple(map(self, args))
        return Template(positional, tuple((key, self(value)) for key, value in (kwargs or {}).items()))


def value_name(name: str) -> str:
    """A name for a value: `linear_4` -> `linear.4`, since a number after `_` is not part of a name to the printer."""
    plain = re.sub(r"[^\w.$-]", ".", re.sub(r"_(\d+)$", r".\1", name))
    return plain if plain[:1].isalpha() or plain[:1] in "_$" else f"arg.{plain}"


class Graph:
    """Appends the nodes of one fx graph to a block. `constant` declares a tensor that the graph holds itself."""

    def __init__(
        self,
        module: GraphModule,
        block: Block,
        locations: Locations,
        constant: Callable[[str, torch.Tensor], Weight],
    ):
        self.module, self.block = module, block
        self.locations, self.constant = locations, constant
        self.values: dict[Node, Value] = {}

    def run(self) -> tuple[object, ...]:
        """Append all nodes but placeholders, which stand in `values` already; the output's arguments."""
        for node in self.module.graph.nodes:
            if node.op == "get_attr":
                self.values[node] = self.attribute(node)
            elif node.op == "call_function" and target_name(node.target) not in DROPPED:
                self.values[node] = self.call(node)
            elif node.op == "output":
                outputs = node.args[0]
                return tuple(outputs) if isinstance(outputs, list | tuple) else (outputs,)
        return ()

    def append(self, op: Operation, node: Node) -> None:
        """Put `op` at the end, named and located as `node` is."""
        op.location = self.locations(node)
        for result in op.results:
            result.name_hint = value_name(node.name)
        self.block.add_op(op)

    def attribute(self, node: Node) -> Value:
        """A function or a tensor that the graph module holds."""
        value = operator.attrgetter(str(node.target))(self.module)
        if not isinstance(value, torch.Tensor):
            return value
        op = ParameterOp(self.constant(str(node.target), value).name, type_of(value))
        self.append(op, node)
        return op.value

    def call(self, node: Node) -> Value:
        """One call; what is taken out of a sequence is one of its results."""
        if node.target is operator.getitem and isinstance(node.args[0], Node):
            sequence, index = self.values[node.args[0]], node.args[1]
            if isinstance(sequence, list) and isinstance(index, int):
                return sequence[index]
        arguments = Arguments(self)
        template = arguments.template(node.args, node.kwargs)
        types, unpack = result_types(node)
        op = CallOp(
            target_name(node.target),
            template,
            arguments.operands,
            types,
            regions=arguments.regions,
            effects=effects_of(node),
            unpack=unpack,
        )
        self.append(op, node)
        return list(op.results) if unpack else op.results[0] if op.results else None

    def function(self, module: GraphModule) -> Region:
        """A graph given to a higher-order op, as a region that takes everything it reads as an argument."""
        inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
        block = Block(arg_types=[type_of(node.meta.get("val")) for node in inputs])
        graph = Graph(module, block, self.locations, self.constant)
        for node, value in zip(inputs, block.args, strict=True):
            value.name_hint = value_name(node.name)
            graph.values[node] = value
        outputs = Arguments(graph)
        template = outputs.template(graph.run())
        block.add_op(YieldOp(template, outputs.operands))
        return Region(block)
