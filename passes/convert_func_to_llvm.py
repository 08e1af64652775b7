"""Functions as LLVM has them, and with them the types of all values: the last of the conversions.

    func.func @f(%m: memref<?x8xf32>, %i: index) { .. func.return }
      -> llvm.func @f(%m: !llvm.ptr {llvm.noalias}, %i: i64) { .. llvm.return }

    memref  -> !llvm.ptr       index -> i64       bf16 -> i16, alone and in vectors

Casts between what is now the same type are gone. Buffers given to one function must not overlap where one of them is
written: they are marked `noalias`.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import func, llvm
from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    MemRefType,
    ModuleOp,
    UnitAttr,
    UnrealizedConversionCastOp,
)
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)
from xdsl.rewriter import Rewriter

from .llvm_types import llvm_type


class Return(RewritePattern):
    """func.return -> llvm.return"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: func.ReturnOp, rewriter: PatternRewriter, /) -> None:
        rewriter.replace(op, llvm.ReturnOp(op.arguments[0] if op.arguments else None))


class Function(RewritePattern):
    """func.func -> llvm.func, of one result at most"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: func.FuncOp, rewriter: PatternRewriter, /) -> None:
        inputs, outputs = op.function_type.inputs.data, op.function_type.outputs.data
        if len(outputs) > 1:
            return
        alone = DictionaryAttr({"llvm.noalias": UnitAttr()})
        types = [llvm_type(kind) for kind in inputs]
        attributes = [alone if isinstance(kind, MemRefType) else DictionaryAttr({}) for kind in inputs]
        made = llvm.FuncOp(
            op.sym_name,
            llvm.LLVMFunctionType(types, llvm_type(outputs[0]) if outputs else None),
            llvm.LinkageAttr("external"),
            body=rewriter.move_region_contents_to_new_regions(op.body),
            other_props={"arg_attrs": ArrayAttr(attributes)},
        )
        rewriter.replace(op, made)


class SameCast(RewritePattern):
    """A cast to the type that a value has is that value."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: UnrealizedConversionCastOp, rewriter: PatternRewriter, /) -> None:
        if len(op.inputs) == len(op.outputs) == 1 and op.inputs[0].type == op.outputs[0].type:
            rewriter.replace(op, (), op.inputs)


@dataclass(frozen=True)
class ConvertFuncToLLVM(ModulePass):
    """See the head of this file."""

    name = "convert-func-to-llvm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        apply_rules(op, Return(), Function())
        convert_types(op)
        apply_rules(op, SameCast())


def convert_types(module: ModuleOp) -> None:
    """Give every value inside the functions of `module` the type that LLVM has for it."""
    for op in module.walk():
        arguments = (argument for region in op.regions for block in region.blocks for argument in block.args)
        for value in (*op.results, *arguments):
            if (kind := llvm_type(value.type)) != value.type:
                Rewriter.replace_value_with_new_type(value, kind)


def apply_rules(module: ModuleOp, *rules: RewritePattern) -> None:
    """Apply `rules` once to every op."""
    applier = GreedyRewritePatternApplier(list(rules), dce_enabled=False)
    PatternRewriteWalker(applier, apply_recursively=False).rewrite_module(module)
