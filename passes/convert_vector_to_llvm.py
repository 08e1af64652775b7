"""Vectors as LLVM has them; loads and stores are `convert-memref-to-llvm`'s.

vector.broadcast %x : f32 to vector<4xf32>    ->    insert into lane 0, shuffle it to every lane
vector.fma, vector.shuffle                    ->    llvm.intr.fma, llvm.shufflevector
vector.create_mask %n : vector<4xi1>          ->    llvm.icmp "slt" [0, 1, 2, 3], n in every lane
vector.reduction <add>, %v into f32           ->    llvm.intr.vector.reduce.fadd, from -0.0: lane by lane in order
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import arith, llvm, vector
from xdsl.dialects.builtin import (
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IntegerAttr,
    ModuleOp,
    VectorType,
    f32,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)

from .llvm_types import lanes


def spread(value: SSAValue, kind: Attribute, count: int) -> tuple[Operation, ...]:
    """Ops the last of which is a vector of this type with `value` in each of its lanes."""
    nothing, first = llvm.UndefOp(kind), llvm.ConstantOp(IntegerAttr(0, i32), i32)
    inserted = llvm.InsertElementOp(nothing, value, first)
    everywhere = DenseArrayBase.from_list(i32, [0] * count)
    return nothing, first, inserted, llvm.ShuffleVectorOp(inserted.res, nothing.res, everywhere, kind)


class Broadcast(RewritePattern):
    """broadcast x -> shuffle(insert(x, undefined, 0), [0, 0, ..])"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: vector.BroadcastOp, rewriter: PatternRewriter, /) -> None:
        rewriter.replace(op, spread(op.source, op.vector.type, lanes(op.vector)))


class CreateMask(RewritePattern):
    """create_mask n -> [0, 1, ..] < broadcast n"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: vector.CreateMaskOp, rewriter: PatternRewriter, /) -> None:
        count = lanes(op.mask_vector)
        kind = VectorType(i64, [count])
        places = llvm.ConstantOp(DenseIntOrFPElementsAttr.from_list(kind, range(count)), kind)
        size = arith.IndexCastOp(op.mask_dim_sizes[0], i64)
        *made, everywhere = spread(size.result, kind, count)
        below = llvm.ICmpOp(places.result, everywhere.results[0], IntegerAttr(llvm.ICmpPredicateFlag.SLT.to_int(), i64))
        rewriter.replace(op, (places, size, *made, everywhere, below))


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
        rules = GreedyRewritePatternApplier(
            [Broadcast(), CreateMask(), MultiplyAdd(), Shuffle(), Reduction()], dce_enabled=False
        )
        PatternRewriteWalker(rules, apply_recursively=False).rewrite_module(op)
