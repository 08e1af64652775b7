"""Values that depend on weights alone, computed once.

    %b = aten.parameter @lif.beta                       aten.weight constant @lif.beta.clamp : tensor<f32> digest ".."
    %s, %z = aten.call "scan"(region<0>, .., [%b])
    ^bb0(%v, %x, %b1):                            ->    %s, %z = aten.call "scan"(region<0>, .., [%b])
      %c = aten.call "aten.clamp.default"(%b1, 0, 1)    ^bb0(%v, %x, %b1):
                                                          %c = aten.parameter @lif.beta.clamp

Bitwise. The new weights do not follow those that they are made of: not for programs that are trained.
"""

import torch
from torch import Tensor
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Region, SSAValue
from xdsl.rewriter import Rewriter
from xdsl.transforms.dead_code_elimination import region_dce

from ...dialects.aten import CallOp, ParameterOp, WeightKind, WeightOp
from ...runtime.calls import arguments, resolve
from ...runtime.weights import digest
from .types import type_of


def fold_weights(module: ModuleOp, weights: dict[str, Tensor]) -> None:
    """Fold in every function of `module`, into `weights`."""
    for op in list(module.ops):
        for region in op.regions:
            region_dce(region)
            Folding(module, weights).run(region, {})


class Folding:
    """Folds the calls of regions; values of weights by SSA value, with a name."""

    def __init__(self, module: ModuleOp, weights: dict[str, Tensor]):
        self.module, self.weights = module, weights

    def run(self, region: Region, known: dict[SSAValue, str]) -> None:
        """Fold one region; `known` are its arguments that are weights."""
        for op in list(region.block.ops):
            if isinstance(op, ParameterOp):
                known[op.value] = op.weight.root_reference.data
            elif isinstance(op, CallOp) and op.target.data == "scan":
                inside = zip(op.regions[0].block.args, self.scan_operands(op), strict=True)
                self.run(op.regions[0], {arg: known[value] for arg, value in inside if value in known})
            elif isinstance(op, CallOp) and self.foldable(op, known):
                known[op.results[0]] = self.fold(op, known)

    def scan_operands(self, op: CallOp) -> list[SSAValue]:
        """What each argument of a scan's function is bound to."""
        _, *parts = op.template.data.args
        return [op.operands[leaf.index] for part in parts for leaf in part]  # pyright: ignore

    def foldable(self, op: CallOp, known: dict[SSAValue, str]) -> bool:
        """Is a call a pure function of weights?"""
        plain = not op.regions and op.effects is None and len(op.results) == 1 and op.unpack is None
        return plain and bool(op.operands) and all(operand in known for operand in op.operands)

    def fold(self, op: CallOp, known: dict[SSAValue, str]) -> str:
        """Compute a call, and put its result as a weight in its place."""
        values = [self.weights[known[operand]] for operand in op.operands]
        args, kwargs = arguments(op.template.data, values)
        with torch.no_grad():
            result = resolve(op)(*args, **kwargs)
        word = op.target.data.split(".")[1]
        stem = f"{known[op.operands[0]]}.{word}"
        name = next(n for n in (stem, *(f"{stem}_{i}" for i in range(len(self.weights)))) if n not in self.weights)
        self.weights[name] = result
        declared = WeightOp(name, WeightKind.CONSTANT, type_of(result), digest(result))
        declared.location = op.location
        self.module.body.block.insert_op_before(declared, self.module.body.block.first_op)  # pyright: ignore
        parameter = ParameterOp(name, declared.type)
        Rewriter.replace_op(op, parameter)
        known[parameter.value] = name
        return name
