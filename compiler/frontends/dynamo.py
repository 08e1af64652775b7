"""`torch.compile(model, backend="gossamer")`: dynamo finds the graphs, AOTAutograd splits them, each runs as a program.

    model code ── dynamo ──> graph, graph, ..          breaks, guards and sizes that vary are dynamo's
    graph ── AOTAutograd ──> forward, backward         functional aten ops; writes to inputs come back as results
    forward ── import_graph ──> module ── passes ──> Program

Options: `torch.compile(model, backend="gossamer", options={"exact": "bitwise", "pipeline": "simplify"})`.
A graph takes its weights as inputs, so nothing here is bound to a model.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch.fx import GraphModule, Node
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region, SSAValue

from ...dialects.aten import TemplateAttr, WeightKind
from ...dialects.diagnostics import UserError, did_you_mean
from ...dialects.template import Argument, Ref, Template
from ...runtime.executor import Program
from ..entry import entry_function, leaves_of
from ..options import common_device, exactness
from ..pipeline import DEFAULT_PIPELINE, run_pipeline
from .graphs import Graph, value_name
from .literals import literal
from .locations import Locations
from .types import type_of
from .weights import Weights

NAME = "gossamer"
OPTIONS = ("exact", "pipeline")


def backend(graph: GraphModule, inputs: Sequence[Any], *, options: Mapping[str, Any] | None = None) -> Callable:
    """Compile one graph of dynamo's, with its backward pass where it has one.

    Raises UserError for an option that is none.
    """
    from torch._dynamo.backends.common import aot_autograd

    options = options or {}
    for name in options:
        if name not in OPTIONS:
            raise UserError(f"backend gossamer has no option '{name}'", hint=did_you_mean(name, OPTIONS))
    return aot_autograd(fw_compiler=partial(compile_graph, options=options))(graph, inputs)


def register() -> None:
    """Make the backend known to torch by its name, where the package's entry point did not."""
    from torch._dynamo.backends import registry

    if NAME not in registry._COMPILER_FNS:
        registry.register_backend(backend, name=NAME)


def compile_graph(graph: GraphModule, inputs: Sequence[Any], options: Mapping[str, Any]) -> Callable[[list[Any]], Any]:
    """A function from the graph's inputs, as a list that it empties, to its results."""
    module, weights = import_graph(graph)
    module.attributes |= exactness(options.get("exact"))
    run_pipeline(module, options.get("pipeline", DEFAULT_PIPELINE))
    function = entry_function(module)
    leaves = leaves_of(function, "aten.outputs", function.function_type.outputs.data)
    program = Program.build(module, weights, device=common_device(inputs))

    def run(arguments: list[Any]) -> list[Any]:
        values = tuple(arguments)
        arguments.clear()
        results = program(values)
        return [results[leaf.index] if isinstance(leaf, Ref) else leaf for leaf in leaves]

    run._boxed_call = True  # pyright: ignore[reportFunctionMemberAccess]
    return run


def import_graph(graph: GraphModule) -> tuple[ModuleOp, dict[str, torch.Tensor]]:
    """A graph whose inputs are all arguments, as a module; and the tensors that it holds itself."""
    block, weights = Block(), Weights({})
    walker = Graph(graph, block, Locations(graph), lambda n, t: weights.add(n, WeightKind.CONSTANT, t))
    inputs = [node for node in graph.graph.nodes if node.op == "placeholder"]
    for node in inputs:
        walker.values[node] = value = block.insert_arg(type_of(node.meta.get("val")), len(block.args))
        value.name_hint = value_name(node.name)
    results, outputs = returned(walker)
    block.add_op(ReturnOp(*results))
    function = FuncOp(
        "forward",
        FunctionType.from_lists([value.type for value in block.args], [value.type for value in results]),
        Region(block),
        arg_attrs=ArrayAttr(DictionaryAttr({"aten.name": StringAttr(node.name)}) for node in inputs),
    )
    function.attributes["aten.inputs"] = TemplateAttr(Template(tuple(map(Ref, range(len(inputs))))))
    function.attributes["aten.outputs"] = TemplateAttr(outputs)
    return ModuleOp([*weights.declarations(), function]), weights.tensors()


def returned(walker: Graph) -> tuple[list[SSAValue], Template]:
    """What the graph gives back: values, and where they and literals stand."""
    results: list[SSAValue] = []
    leaves: list[Argument] = []
    for output in walker.run():
        value = walker.values[output] if isinstance(output, Node) else output
        leaves.append(Ref(len(results)) if isinstance(value, SSAValue) else literal(value))
        if isinstance(value, SSAValue):
            results.append(value)
    return results, Template(tuple(leaves))
