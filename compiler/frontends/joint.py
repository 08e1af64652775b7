"""A training step as a module: forward, loss and backward in one function.

    def loss_fn(model, x, y):                   aten.weight parameter @fc.weight : tensor<1x4xf32> digest ".."
        return mse(model(x), y)                 func.func @step(%x: .., %y: .., %tangent: tensor<f32>)
                                          ->        -> (tensor<f32> {train.loss}, .. {train.gradient_of = "fc.weight"})
                                                  %fc.weight = aten.parameter @fc.weight
                                                  %mm = aten.call "aten.mm.default"(..)
                                                      attributes {train.phase = "forward", train.path = "fc"} ..
                                                  aten.update @calls, %add
                                                  func.return %loss, %gradient

Each op has its `train.phase`, its module's `train.path` and, in a repeated block, its `train.layer`. `%tangent` is the
gradient of the loss: ones, or the scale of a GradScaler. Weights stay live tensors of the model beside the module.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._functorch._aot_autograd.descriptors import (
    AOTInput,
    BufferAOTInput,
    GradAOTOutput,
    InputMutationAOTOutput,
    ParamAOTInput,
    PlainAOTInput,
    PlainAOTOutput,
    TangentAOTInput,
)
from torch.fx import Node
from torch.utils import _pytree as pytree
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    DictionaryAttr,
    FunctionType,
    LocationAttr,
    ModuleOp,
    StringAttr,
    UnitAttr,
    i64,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ...dialects.aten import AssignOp, ParameterOp, TemplateAttr, UpdateOp, WeightKind
from ...dialects.diagnostics import Place, UserError
from ...dialects.remat import LAYER, PHASE, set_number
from ...dialects.remat import PATH as MODULE
from ...dialects.template import Argument, Ref, Template
from ...runtime.shards import Layouts, part_of
from ..signature import argument_names, forward_text, parse_forward, spec_text
from .graphs import Graph, Value, value_name
from .joint_capture import PATH, PLACE, Capture, capture
from .joint_failures import joint_failure, no_place, refuse_draws, refuse_opaque
from .joint_layers import layer_of, layers
from .joint_shards import check_model, told
from .literals import literal
from .locations import Locations, definition_of, location
from .types import type_of
from .weights import Weights

ALIASES = (torch.ops.aten.detach.default, torch.ops.aten.alias.default)
"""Ops that give back their input."""


@dataclass(frozen=True)
class ImportedStep:
    """A training step as a module. `weights` are the model's own tensors by the names of its `aten.weight`s, and of
    DTensors this rank's parts; `parameters` are as the model has them, `layouts` tell what is a DTensor outside."""

    module: ModuleOp
    weights: dict[str, torch.Tensor]
    parameters: Mapping[str, torch.Tensor]
    layouts: Layouts

    @property
    def function(self) -> FuncOp:
        """The module's only function."""
        return next(op for op in self.module.ops if isinstance(op, FuncOp))


def import_step(model: nn.Module, loss_fn: Callable[..., Any], example: tuple[Any, ...]) -> ImportedStep:
    """The step that `loss_fn(model, *example)` and its backward pass are.

    Raises UserError where it cannot be captured, saying why, where and what to do.
    """
    check_model(model)
    leaves, spec = pytree.tree_flatten(example)
    signature = batch_signature(loss_fn)
    try:
        parse_forward(signature).bind(*example)
    except TypeError as error:
        hint = f"it is called as loss_fn(model, *example), and takes {signature} beside the model"
        raise UserError(f"loss_fn cannot be called with the example: {error}", hint=hint) from None
    in_spec = pytree.tree_structure((example, {}))
    names = argument_names(in_spec, parse_forward(signature))
    refuse_opaque(dict(zip(names, leaves, strict=True)))
    try:
        captured = capture(model, loss_fn, spec, leaves)
    except UserError:
        raise
    except Exception as error:
        raise joint_failure(model, error) from error
    live = {**captured.parameters, **captured.buffers, **named_tensors(model)}
    weights = Weights({name: part_of(tensor) for name, tensor in live.items()})
    for name, parameter in captured.parameters.items():
        weights.add(name, WeightKind.PARAMETER, part_of(parameter))
    for name, buffer in captured.buffers.items():
        weights.add(name, WeightKind.BUFFER, part_of(buffer))
    step = Step(captured, weights, names, list(map(part_of, leaves)), layers(model))
    function = step.function()
    refuse_draws(captured.drawn)
    function.attributes |= {
        "aten.forward": StringAttr(signature),
        "aten.inputs": TemplateAttr(Template(tuple(step.template))),
        "aten.in_spec": StringAttr(spec_text(in_spec)),
    }
    devices = {tensor.device for tensor in captured.parameters.values()}
    if len(devices) == 1:
        function.attributes["train.device"] = StringAttr(str(devices.pop()))
    function.location = definition_of(loss_fn.forward if isinstance(loss_fn, nn.Module) else loss_fn)
    weights.add_aliases()
    module = ModuleOp([*weights.declarations(), function])
    module.verify()
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    layouts = told(captured.layouts, step.name_of, zip(step.tensors, tensors, strict=True))
    return ImportedStep(module, weights.tensors(), captured.parameters, layouts)


def named_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by every name that they have."""
    return dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))


def batch_signature(loss_fn: Callable[..., Any]) -> str:
    """How a step is called: as `loss_fn` is, without the model."""
    forward = loss_fn.forward if isinstance(loss_fn, nn.Module) else loss_fn
    parameters = list(parse_forward(forward_text(forward)).parameters.values())
    if not parameters:
        raise UserError("loss_fn takes no arguments", hint="it is called as loss_fn(model, *batch)")
    kept = parameters if parameters[0].kind is parameters[0].VAR_POSITIONAL else parameters[1:]
    return str(parse_forward("()").replace(parameters=kept)).replace("Ellipsis", "...")


class JointLocations(Locations):
    """Where nodes come from, as they were annotated; a backward node is where its forward op is."""

    def __call__(self, node: Node) -> LocationAttr:
        found = (node.meta.get("custom") or {}).get(PLACE)
        return location(Place(*found)) if found else super().__call__(node)


class JointGraph(Graph):
    """Appends nodes as ops that say which pass, module and repeated block they belong to."""

    numbers: dict[str, int]

    def append(self, op: Operation, node: Node) -> None:
        super().append(op, node)
        if isinstance(op, ParameterOp):
            return
        backward = node.meta.get("partitioner_tag") == "is_backward"
        path = str((node.meta.get("custom") or {}).get(PATH, ""))
        op.attributes[PHASE] = StringAttr("backward" if backward else "forward")
        if path:
            op.attributes[MODULE] = StringAttr(path)
        if (number := layer_of(path, self.numbers)) is not None:
            set_number(op, LAYER, number)

    def call(self, node: Node) -> Value:
        if node.target in ALIASES and isinstance(node.args[0], Node):
            return self.values[node.args[0]]
        return super().call(node)


class Step:
    """Builds the function of a captured step. `names` are those of the batch's leaves."""

    def __init__(
        self,
        captured: Capture,
        weights: Weights,
        names: Sequence[str],
        leaves: Sequence[Any],
        numbers: dict[str, int],
    ):
        self.captured, self.weights, self.leaves = captured, weights, leaves
        self.tensors = [name for name, leaf in zip(names, leaves, strict=True) if isinstance(leaf, torch.Tensor)]
        self.block = Block()
        self.graph = JointGraph(captured.graph, self.block, JointLocations(captured.graph), self.constant)
        self.graph.numbers = numbers
        self.weight_names = {f"p{i}": name for i, name in enumerate(captured.parameters)}
        self.weight_names |= {f"b{i}": name for i, name in enumerate(captured.buffers)}
        self.arguments: list[DictionaryAttr] = []
        self.template: list[Argument] = []
        self.inputs: dict[int, SSAValue] = {}

    def constant(self, name: str, tensor: torch.Tensor):
        """A tensor that the code holds itself. Raises UserError for one that wants a gradient."""
        if tensor.requires_grad:
            raise UserError(
                f"the loss reads a tensor of shape {list(tensor.shape)} that requires a gradient and is no parameter",
                hint="register it as an nn.Parameter of the model, or detach it",
            )
        return self.weights.add(name, WeightKind.CONSTANT, tensor)

    def function(self) -> FuncOp:
        """The whole function, but for how it is called."""
        nodes = {node.meta["desc"]: node for node in self.captured.graph.graph.nodes if node.op == "placeholder"}
        for descriptor, node in nodes.items():
            if isinstance(descriptor, ParamAOTInput | BufferAOTInput):
                self.add_weight(self.weight_names[descriptor.target], node)
        self.add_batch({d.idx: node for d, node in nodes.items() if isinstance(d, PlainAOTInput)})
        for descriptor, node in nodes.items():
            if isinstance(descriptor, TangentAOTInput):
                self.add_argument(node, {"aten.name": StringAttr("scale"), "train.tangent": UnitAttr()})
            elif not isinstance(descriptor, ParamAOTInput | BufferAOTInput | PlainAOTInput):
                raise no_place(descriptor, self.captured.graph.graph)
        results, attributes = self.add_outputs(self.graph.run())
        return FuncOp(
            "step",
            FunctionType.from_lists([a.type for a in self.block.args], [value.type for value in results]),
            Region(self.block),
            arg_attrs=ArrayAttr(self.arguments),
            res_attrs=ArrayAttr(attributes),
        )

    def add_weight(self, name: str, node: Node) -> None:
        """A parameter or buffer as a value, where something reads it."""
        if node.users:
            op = ParameterOp(self.weights.by_name[name].name, type_of(self.weights.by_name[name].tensor))
            self.graph.append(op, node)
            op.value.name_hint = value_name(name)
            self.graph.values[node] = op.value

    def add_batch(self, nodes: dict[int, Node]) -> None:
        """Tensors of the batch as arguments, everything else in it as literals."""
        position = 0
        for leaf in self.leaves:
            if not isinstance(leaf, torch.Tensor):
                self.template.append(literal(leaf))
                continue
            strides = DenseArrayBase.from_list(i64, leaf.stride())
            name = {"aten.name": StringAttr(self.tensors[position]), "aten.strides": strides}
            self.template.append(Ref(position))
            self.inputs[position] = self.add_argument(nodes[position], name)
            position += 1

    def add_argument(self, node: Node, attributes: dict[str, Attribute]) -> SSAValue:
        """One argument of the function."""
        argument = self.block.insert_arg(type_of(node.meta["val"]), len(self.block.args))
        argument.name_hint = value_name(str(attributes["aten.name"].data))  # pyright: ignore
        self.arguments.append(DictionaryAttr(attributes))
        self.graph.values[node] = argument
        return argument

    def add_outputs(self, outputs: tuple[object, ...]) -> tuple[list[SSAValue], list[DictionaryAttr]]:
        """Writes and the return at the end of the block; the results with what each is."""
        descriptors = self.captured.graph.graph.output_node().meta["desc"]
        results: list[tuple[SSAValue, dict[str, Attribute]]] = []
        for descriptor, output in zip(descriptors, outputs, strict=True):
            value = self.graph.values[output] if isinstance(output, Node) else None
            match descriptor:
                case _ if not isinstance(value, SSAValue):
                    continue
                case PlainAOTOutput():
                    results.insert(0, (value, {"train.loss": UnitAttr()}))
                case GradAOTOutput(grad_of=source):
                    results.append((value, self.gradient_of(source)))
                case InputMutationAOTOutput(mutated_input=BufferAOTInput(target=target)):
                    self.block.add_op(UpdateOp(self.weights.by_name[self.weight_names[target]].name, value))
                case InputMutationAOTOutput(mutated_input=PlainAOTInput(idx=index)):
                    self.block.add_op(AssignOp(self.inputs[index], value))
                case _:
                    raise no_place(descriptor, self.captured.graph.graph)
        self.block.add_op(ReturnOp(*(value for value, _ in results)))
        return [value for value, _ in results], [DictionaryAttr(attributes) for _, attributes in results]

    def gradient_of(self, source: AOTInput) -> dict[str, Attribute]:
        """What a gradient is of: a parameter, or an argument."""
        kind = "train.gradient_of" if isinstance(source, ParamAOTInput) else "train.gradient_of_input"
        return {kind: StringAttr(self.name_of(source))}

    def name_of(self, source: AOTInput) -> str:
        """The name of a parameter or an argument."""
        if isinstance(source, ParamAOTInput):
            return self.weight_names[source.target]
        if isinstance(source, PlainAOTInput):
            return self.tensors[source.idx]
        raise no_place(source, self.captured.graph.graph)
