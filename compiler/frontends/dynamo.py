"""`torch.compile(model, backend="gossamer")`: dynamo finds the graphs, AOTAutograd splits them, each runs as a program.

    model code ── dynamo ──> graph, graph, ..          breaks, guards and sizes that vary are dynamo's
    graph ── AOTAutograd ──> forward, backward         functional aten ops; writes to inputs come back as results
    forward ── import_graph ──> module ── passes ──> Program

Options: `torch.compile(model, backend="gossamer", options={"exact": "bitwise", "pipeline": "simplify"})`.
A graph takes its weights as inputs, so nothing here is bound to a model. Where no gradients are taken, weights that are
finite are found and watched (`static_inputs.py`), and densities measured on the first inputs: products skip there.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.utils._python_dispatch import _disable_current_modes
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region, SSAValue

from ...dialects.aten import TemplateAttr, WeightKind
from ...dialects.diagnostics import UserError, did_you_mean
from ...dialects.sparse import MatmulOp
from ...dialects.template import Argument, Ref, Template
from ...passes.analysis.skips import FINITE
from ...passes.insert_gathers import is_exact
from ...runtime.executor import Program
from ..calibration import calibrate
from ..defaults import default_pipeline
from ..dont_care import entries
from ..entry import entry_function, leaves_of
from ..options import common_device, exactness
from ..pipeline import run_pipeline
from .graphs import Graph, value_name
from .literals import literal
from .locations import Locations
from .static_inputs import StillFinite, example_of, static_inputs
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
    return aot_autograd(
        fw_compiler=partial(compile_graph, options=options),
        inference_compiler=partial(compile_graph, options=options, real=inputs),
    )(graph, inputs)


def register() -> None:
    """Make the backend known to torch by its name, where the package's entry point did not."""
    from torch._dynamo.backends import registry

    if NAME not in registry._COMPILER_FNS:
        registry.register_backend(backend, name=NAME)


def compile_graph(
    graph: GraphModule, inputs: Sequence[Any], options: Mapping[str, Any], real: Sequence[Any] | None = None
) -> Callable[[list[Any]], Any]:
    """A function from the graph's inputs, as a list that it empties, to its results.

    `real` are the inputs of the first call, where no gradients are taken.
    """
    module, weights = import_graph(graph)
    module.attributes |= exactness(options.get("exact"))
    device = common_device(inputs)

    def build(module: ModuleOp) -> Program:
        run_pipeline(module, options["pipeline"] if "pipeline" in options else default_pipeline(module, device))
        return Program.build(module, weights, device=device)

    with _disable_current_modes():
        plain = module.clone()
        known = finite_inputs(graph, module, weights, real) if real is not None else {}
        program = build(module)
    leaves = leaves_of(entry_function(module), "aten.outputs", entry_function(module).function_type.outputs.data)
    finite = StillFinite(known if any(isinstance(op, MatmulOp) for op in module.walk()) else {})
    dense = cache(partial(build, plain))

    def run(arguments: list[Any]) -> list[Any]:
        values = tuple(arguments)
        arguments.clear()
        results = (program if finite(values) else dense())(values)
        return [results[leaf.index] if isinstance(leaf, Ref) else leaf for leaf in leaves]

    run._boxed_call = True  # pyright: ignore[reportFunctionMemberAccess]
    return run


def finite_inputs(
    graph: GraphModule, module: ModuleOp, weights: Mapping[str, torch.Tensor], real: Sequence[Any]
) -> dict[int, torch.Tensor]:
    """Mark weights that are finite and measure densities; what was marked, by position."""
    example = None if is_exact(module) else example_of(graph, real)
    if example is None:
        return {}
    calibrate(module, weights, [example], static_inputs(example, real))
    attributes = entries(entry_function(module).arg_attrs)
    return {position: example[position] for position, own in enumerate(attributes) if FINITE in own}


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
