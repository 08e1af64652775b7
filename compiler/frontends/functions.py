"""The function of an exported program: its signature, its weights as values, its body, its writes.

input of export                                 in the function
USER_INPUT, a tensor or a symbolic number       an argument
USER_INPUT, a constant                          a literal of `aten.inputs`
PARAMETER, BUFFER, CONSTANT_TENSOR              `aten.parameter`, once each, at the top

output of export                                in the function
USER_OUTPUT, a tensor or a number               a result
USER_OUTPUT, a constant                         a literal of `aten.outputs`
BUFFER_MUTATION, PARAMETER_MUTATION             `aten.update` at the end
USER_INPUT_MUTATION                             `aten.assign` at the end
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, IntegerAttr, StringAttr, UnitAttr, i64
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ...dialects.aten import AssignOp, ObjectType, ParameterOp, TemplateAttr, UpdateOp, WeightKind
from ...dialects.diagnostics import UserError
from ...dialects.template import Argument, Ref, Template
from ...passes.analysis.memory import reads_strides
from ..signature import argument_names, leaf_names, parse_forward, spec_text
from .exporting import Export
from .graphs import Graph, value_name
from .literals import literal
from .locations import Locations
from .types import type_of
from .weights import Weights

UPDATES = (OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION)
RESULTS = (OutputKind.USER_OUTPUT, OutputKind.LOSS_OUTPUT)
UNBOUNDED = sys.maxsize - 1
"""From here on export knows no bound; in the IR that is -1 above, and the smallest `i64` below."""


@dataclass
class Leaves:
    """Arguments or results of a function among the flattened leaves of its nested inputs or outputs.

    `contiguous`: arguments that were so in the example. `values`: what those were that are no tensors and no numbers.
    """

    types: list[Attribute] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    template: list[Argument] = field(default_factory=list)
    contiguous: list[int] = field(default_factory=list)
    values: dict[int, str] = field(default_factory=dict)

    def add(self, type: Attribute, path: str) -> None:
        self.template.append(Ref(len(self.types)))
        self.types.append(type)
        self.paths.append(path)

    def attributes(self) -> ArrayAttr[DictionaryAttr]:
        named = [{"aten.name": StringAttr(path)} for path in self.paths]
        for index, text in self.values.items():
            named[index]["aten.value"] = StringAttr(text)
        return ArrayAttr(map(DictionaryAttr, named))


def function_of(exported: Export, forward: str, weights: Weights, locations: Locations) -> FuncOp:
    """The function of an exported program; `forward` is how the model is called: `(x, mask=None)`."""
    block = Block()
    graph = Graph(exported.program.graph_module, block, locations, lambda n, t: weights.add(n, WeightKind.CONSTANT, t))
    inputs = add_inputs(exported, forward, weights, graph)
    outputs = add_outputs(exported, weights, graph, graph.run())
    function = FuncOp(
        "forward",
        FunctionType.from_lists(inputs.types, outputs.types),
        Region(block),
        arg_attrs=inputs.attributes(),
        res_attrs=outputs.attributes(),
    )
    function.attributes |= {
        "aten.forward": StringAttr(forward),
        "aten.inputs": TemplateAttr(Template(tuple(inputs.template))),
        "aten.outputs": TemplateAttr(Template(tuple(outputs.template))),
        "aten.in_spec": StringAttr(spec_text(exported.in_spec)),
        "aten.out_spec": StringAttr(spec_text(exported.out_spec)),
        "aten.symbols": symbols(exported),
    }
    if found := conditions(exported):
        function.attributes["aten.conditions"] = ArrayAttr(map(StringAttr, found))
    mark_contiguous(function, inputs.contiguous)
    return function


def mark_contiguous(function: FuncOp, contiguous: Sequence[int]) -> None:
    """Mark arguments that the example gave contiguous, where it matters that they are.

    On those `x.contiguous()` left nothing in the graph: what is written to it, or read by strides, would be `x` itself.
    """
    ops = list(function.walk())
    by_strides = reads_strides(function)
    written = {op.operands[0] for op in ops if isinstance(op, AssignOp)}
    attributes = list(function.arg_attrs.data) if function.arg_attrs is not None else []
    for index in contiguous:
        if by_strides or function.args[index] in written:
            attributes[index] = DictionaryAttr(attributes[index].data | {"aten.contiguous": UnitAttr()})
    function.arg_attrs = ArrayAttr(attributes)


def add_inputs(exported: Export, forward: str, weights: Weights, graph: Graph) -> Leaves:
    """Arguments of the function and its weights as values, in the graph's `values`."""
    paths = iter(argument_names(exported.in_spec, parse_forward(forward)))
    leaves, parameters = Leaves(), dict[str, SSAValue]()
    placeholders = [node for node in graph.module.graph.nodes if node.op == "placeholder"]
    for node, spec in zip(placeholders, exported.program.graph_signature.input_specs, strict=True):
        if spec.kind is not InputKind.USER_INPUT:
            weight = weights.by_name[str(spec.target)]
            if node.users and weight.name not in parameters:
                op = ParameterOp(weight.name, type_of(weight.tensor))
                graph.append(op, node)
                parameters[weight.name] = op.value
            graph.values[node] = parameters.get(weight.name)
        elif isinstance(spec.arg, ConstantArgument):
            next(paths)
            leaves.template.append(literal(spec.arg.value))
            graph.values[node] = spec.arg.value
        else:
            path = next(paths)
            leaves.add(type_of(node.meta["val"]), path)
            graph.values[node] = argument = graph.block.insert_arg(leaves.types[-1], len(graph.block.args))
            argument.name_hint = value_name(path)
            value = node.meta["val"]
            if isinstance(value, torch.Tensor) and value.layout is torch.strided and value.is_contiguous():
                leaves.contiguous.append(len(leaves.types) - 1)
            elif not isinstance(value, torch.Tensor) and isinstance(leaves.types[-1], ObjectType):
                leaves.values[len(leaves.types) - 1] = "" if hex(id(value)) in repr(value) else repr(value)
    return leaves


def add_outputs(exported: Export, weights: Weights, graph: Graph, outputs: tuple[object, ...]) -> Leaves:
    """Writes and the return at the end of the block."""
    specs = exported.program.graph_signature.output_specs
    placeholders = {node.name: node for node in graph.module.graph.nodes if node.op == "placeholder"}
    paths = iter(leaf_names(exported.out_spec))
    leaves, results, writes = Leaves(), list[SSAValue](), list[Operation]()
    for spec, output in zip(specs, outputs, strict=True):
        value = graph.values[output] if isinstance(output, Node) else output
        if spec.kind in RESULTS and isinstance(value, SSAValue):
            leaves.add(value.type, next(paths))
            results.append(value)
        elif spec.kind in RESULTS:
            next(paths)
            leaves.template.append(literal(value))
        elif spec.kind in UPDATES and isinstance(value, SSAValue):
            writes.append(UpdateOp(weights.by_name[str(spec.target)].name, value))
        elif spec.kind is OutputKind.USER_INPUT_MUTATION and isinstance(value, SSAValue):
            target = graph.values[placeholders[str(spec.target)]]
            assert isinstance(target, SSAValue)
            writes.append(AssignOp(target, value))
        else:
            raise UserError(f"an exported program with outputs of kind {spec.kind.name} is not a forward computation")
    graph.block.add_ops([*writes, ReturnOp(*results)])
    return leaves


def symbols(exported: Export) -> DictionaryAttr:
    """`{s72 = [min, max, size in the example inputs]}`, -1 where there is no bound or no size."""
    environment = shape_environment(exported)
    hints = environment.backed_var_to_val if environment else {}
    table: dict[str, Attribute] = {}
    for symbol, bounds in sorted(exported.program.range_constraints.items(), key=lambda item: str(item[0])):
        lower = int(bounds.lower) if bounds.lower > -UNBOUNDED else -sys.maxsize - 1
        upper = int(bounds.upper) if bounds.upper < UNBOUNDED else -1
        numbers = (lower, upper, int(hints.get(symbol, -1)))
        table[str(symbol)] = ArrayAttr(IntegerAttr(number, i64) for number in numbers)
    return DictionaryAttr(table)


def shape_environment(exported: Export) -> ShapeEnv | None:
    """What torch knows of the size symbols of an exported program; None where all sizes are fixed."""
    values = (node.meta.get("val") for node in exported.program.graph.nodes)
    mode = next((v.fake_mode for v in values if isinstance(v, torch._subclasses.FakeTensor)), None)
    return mode.shape_env if mode else None


def conditions(exported: Export) -> list[str]:
    """Conditions on sizes that the model asked for and that held: `Ne(Mod(s27, 2), 0)`.

    Bounds of a single symbol stand in `aten.symbols`, and equal sizes have one symbol, but for those left out here:
    a size that export takes to be two or more may be 0 or 1.
    """
    environment = shape_environment(exported)
    found = {environment.simplify(guard.expr) for guard in environment.guards} if environment else set()
    return sorted(str(condition) for condition in found if not is_bound(condition))


def is_bound(condition: Any) -> bool:
    """Is a condition (of sympy's) always true, a bound of one symbol, or that one is not 0 or 1?"""
    sides = condition.args
    symbol = next((side for side in sides if side.is_Symbol), None)
    number = next((side for side in sides if side.is_number), None)
    if not condition.free_symbols or (symbol is None or number is None):
        return not condition.free_symbols
    return not condition.func.__name__.startswith(("Eq", "Ne", "Uneq")) or number in (0, 1)
