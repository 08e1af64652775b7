"""Vectors as LLVM has them; loads and stores are `convert-memref-to-llvm`'s.

vector.broadcast %x : f32 to vector<4xf32>    ->    insert into lane 0, shuffle it to every lane
vector.fma, vector.shuffle                    ->    llvm.intr.fma, llvm.shufflevector
vector.reduction <add>, %v into f32           ->    llvm.intr.vector.reduce.fadd, from -0.0: lane by lane in order
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import llvm, vector
from xdsl.dialects.builtin import DenseArrayBase, FloatAttr, IntegerAttr, ModuleOp, f32, i32
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)

from .llvm_types import lanes


class Broadcast(RewritePattern):
    """broadcast x -> shuffle(insert(x, undefined, 0), [0, 0, ..])"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: vector.BroadcastOp, rewriter: PatternRewriter, /) -> None:
        nothing, first = llvm.UndefOp(op.vector.type), llvm.ConstantOp(IntegerAttr(0, i32), i32)
        inserted = llvm.InsertElementOp(nothing, op.source, first)
        everywhere = DenseArrayBase.from_list(i32, [0] * lanes(op.vector))
        spread = llvm.ShuffleVectorOp(inserted.res, nothing.res, everywhere, op.vector.type)
        rewriter.replace(op, (nothing, first, inserted, spread))


class MultiplyAdd(RewritePattern):
    """fma -> llvm.intr.fma"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: vector.FMAOp, rewriter: PatternRewriter, /) -> None:
        rewriter.replace(op, llvm.FMAOp(op.lhs, op.rhs, op.acc))


class Shuffle(RewritePattern):
    """shuffle -> llvm.shufflevector"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: vector.ShuffleOp, rewriter: PatternRewriter, /) -> None:
        mask = DenseArrayBase.from_list(i32, op.mask.get_values())
        rewriter.replace(op, llvm.ShuffleVectorOp(op.v1, op.v2, mask, op.result.type))


class Reduction(RewritePattern):
    """reduction <add> v -> llvm.intr.vector.reduce.fadd(-0.0, v)"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: vector.ReductionOp, rewriter: PatternRewriter, /) -> None:
        if op.kind.data is not vector.CombiningKindFlag.ADD or op.acc is not None or op.dest.type != f32:
            return
        start = llvm.ConstantOp(FloatAttr(-0.0, f32), f32)
        rewriter.replace(op, (start, llvm.VectorReduceFAddOp(start.result, op.vector)))


@dataclass(frozen=True)
class ConvertVectorToLLVM(ModulePass):
    """See the head of this file."""

    name = "convert-vector-to-llvm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        rules = GreedyRewritePatternApplier([Broadcast(), MultiplyAdd(), Shuffle(), Reduction()], dce_enabled=False)
        PatternRewriteWalker(rules, apply_recursively=False).rewrite_module(op)
