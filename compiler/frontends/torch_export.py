"""A torch model as a module: everything torch.export sees, nothing lost, nothing interpreted.

    class Model(nn.Module):                     builtin.module {
      def forward(self, x):                       aten.weight parameter @linear.weight : tensor<8x8xf32> digest ".."
        self.calls.add_(1)                        aten.weight buffer @calls : tensor<i64> digest ".."
        return {"y": self.linear(x)}              func.func @forward(%x: tensor<4x8xf32> {aten.name = "x"})
                                        ->            -> (tensor<4x8xf32> {aten.name = "y"}) {
                                                    %p_linear_weight = aten.parameter @linear.weight : ..
                                                    %linear = aten.call "aten.linear.default"(%x, %p_linear_weight) ..
                                                    aten.update @calls, %add
                                                    func.return %linear
                                                  }
                                                }

Weights stay live tensors of the model beside the module. Same model, same text.
"""

from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.utils._pytree import TreeSpec
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp

from ...dialects.diagnostics import UserError, did_you_mean
from ..entry import ADAPTED
from ..signature import forward_text
from .exporting import Export, decomposed, export, quiet
from .functions import function_of
from .locations import Locations, definition_of
from .weights import collect


@dataclass(frozen=True)
class Imported:
    """A model as a module.

    `weights` are the model's own tensors under the names of the module's `aten.weight`s. `in_spec` is the pytree of
    `(args, kwargs)`, `out_spec` that of the results. `strict` and `functional` tell how export went: traced by
    dynamo or not; free of in-place ops or as exported.
    """

    module: ModuleOp
    weights: dict[str, torch.Tensor]
    in_spec: TreeSpec
    out_spec: TreeSpec
    strict: bool
    functional: bool

    @property
    def function(self) -> FuncOp:
        """The module's only function."""
        return next(op for op in self.module.ops if isinstance(op, FuncOp))


def import_model(
    model: torch.nn.Module,
    args: Sequence[object] = (),
    kwargs: Mapping[str, object] | None = None,
    dynamic_shapes: object = None,
    adapters: bool = True,
) -> Imported:
    """Import `model` as it is called with `args` and `kwargs`.

    `dynamic_shapes` is torch.export's: None means the sizes of the example inputs; "auto" makes every axis of every
    tensor dynamic as far as the model allows it. `adapters` lets modules that do not export be read in another form
    (`frontends/adapters`). Neither the model nor the inputs change.

    Raises UserError when the model cannot be exported, saying why, where and what to do.
    """
    if not isinstance(model, torch.nn.Module):
        raise UserError(
            f"a model is a torch.nn.Module, got {type(model).__name__}",
            hint="put the function into the `forward` of a module",
        )
    if isinstance(args, torch.Tensor) or not isinstance(args, Sequence):
        raise UserError(
            f"args is the tuple of positional inputs, got {type(args).__name__}", hint="write `(x,)` for one input"
        )
    if isinstance(dynamic_shapes, str) and dynamic_shapes != "auto":
        raise UserError(f"no dynamic_shapes '{dynamic_shapes}'", hint=did_you_mean(dynamic_shapes, ["auto"]))
    exported = export(model, args, kwargs or {}, dynamic_shapes, adapters)
    imported = build(exported, forward_text(model.forward), model)
    imported.function.location = definition_of(model.forward)
    return imported


def import_exported(program: ExportedProgram) -> Imported:
    """Import what torch.export gave; `program` does not change. Weights are the program's state."""
    own = copy(program)
    own._graph_module = deepcopy(program.graph_module)
    own._graph_signature = deepcopy(program.graph_signature)
    own._module_call_graph = deepcopy(program.module_call_graph)
    signature = program.module_call_graph[0].signature
    names = (signature and signature.forward_arg_names) or ("*args", "**kwargs")
    with quiet():
        return build(decomposed(own, strict=False), f"({', '.join(names)})", None)


def build(exported: Export, forward: str, model: torch.nn.Module | None) -> Imported:
    """The module of an exported program that is called as `forward` says."""
    weights = collect(exported.program, model)
    function = function_of(exported, forward, weights, Locations(exported.original))
    module = ModuleOp([*weights.declarations(), function])
    if exported.adapted:
        module.attributes[ADAPTED] = DictionaryAttr({k: StringAttr(v) for k, v in exported.adapted.items()})
    module.verify()
    specs = exported.in_spec, exported.out_spec
    return Imported(module, weights.tensors(), *specs, exported.strict, exported.functional)
