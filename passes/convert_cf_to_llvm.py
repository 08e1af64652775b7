"""Jumps as LLVM has them.

cf.br ^bb1(%x)                         ->    llvm.br ^bb1(%x)
cf.cond_br %c, ^bb1(%x), ^bb2          ->    llvm.cond_br %c, ^bb1(%x), ^bb2
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import cf, llvm
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)


class Branch(RewritePattern):
    """br -> llvm.br"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: cf.BranchOp, rewriter: PatternRewriter, /) -> None:
        rewriter.replace(op, llvm.BrOp(op.successor, *op.arguments))


class ConditionalBranch(RewritePattern):
    """cond_br -> llvm.cond_br"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: cf.ConditionalBranchOp, rewriter: PatternRewriter, /) -> None:
        rewriter.replace(op, llvm.CondBrOp(op.cond, op.then_block, op.then_arguments, op.else_block, op.else_arguments))


@dataclass(frozen=True)
class ConvertCfToLLVM(ModulePass):
    """See the head of this file."""

    name = "convert-cf-to-llvm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        rules = GreedyRewritePatternApplier([Branch(), ConditionalBranch()], dce_enabled=False)
        PatternRewriteWalker(rules, apply_recursively=False).rewrite_module(op)
