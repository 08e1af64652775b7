"""Memory by address: a memref is a pointer to its first element, its layout row-major.

    %v = memref.load %m[%i, %j] : memref<?x8xf32>     ->     %o = arith.addi (arith.muli %i, 8), %j
    %v = vector.load %m[%i, %j] : .., vector<4xf32>          %p = llvm.getelementptr %m[%o] : f32
                                                             %v = llvm.load %p

    vector.maskedload, vector.maskedstore              ->     llvm.masked.load, llvm.masked.store of that pointer

The pointer comes by an `unrealized_conversion_cast`, which `convert-func-to-llvm` takes away. A vector is only as
aligned as its elements: it may begin anywhere. Sizes after the first must be static.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import arith, llvm, memref, vector
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    FixedBitwidthType,
    IndexType,
    IntegerAttr,
    MemRefType,
    ModuleOp,
    UnrealizedConversionCastOp,
    VectorType,
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
from xdsl.utils.exceptions import PassFailedException

from ..dialects.kernel import PrefetchOp
from .llvm_types import lanes, llvm_type


def bytes_of(element: Attribute) -> int:
    """Bytes of an element."""
    return element.size if isinstance(element, FixedBitwidthType) else 8


def address(buffer: SSAValue, indices: Sequence[SSAValue]) -> tuple[list[Operation], SSAValue]:
    """Ops that find where `buffer[indices]` lies, and the pointer to it."""
    kind = buffer.type
    assert isinstance(kind, MemRefType)
    pointer = UnrealizedConversionCastOp.get((buffer,), (llvm.LLVMPointerType(),))
    ops: list[Operation] = [pointer]
    offset: SSAValue | None = None
    for size, index in zip(kind.get_shape(), indices, strict=True):
        if offset is not None:
            if size == DYNAMIC_INDEX:
                raise PassFailedException(f"sizes after the first are static here, got {kind}")
            length = arith.ConstantOp(IntegerAttr(size, IndexType()))
            row = arith.MuliOp(offset, length.result)
            sum_ = arith.AddiOp(row.result, index)
            ops += (length, row, sum_)
            offset = sum_.result
        else:
            offset = index
    wide = [arith.IndexCastOp(offset, i64)] if offset is not None else []
    at = [cast.result for cast in wide] or [0]
    place = llvm.GEPOp.from_mixed_indices(pointer.results[0], at, llvm_type(kind.element_type))
    return [*ops, *wide, place], place.result


class Load(RewritePattern):
    """memref.load m[i], vector.load m[i] -> llvm.load (address of m[i])"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: memref.LoadOp | vector.LoadOp, rewriter: PatternRewriter, /) -> None:
        buffer = op.memref if isinstance(op, memref.LoadOp) else op.base
        ops, pointer = address(buffer, op.indices)
        read = llvm.LoadOp(pointer, op.results[0].type, alignment=alignment(buffer))
        rewriter.replace(op, (*ops, read))


class MaskedLoad(RewritePattern):
    """vector.maskedload m[i], mask, v -> llvm.masked.load (address of m[i]), mask, v"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: vector.MaskedLoadOp, rewriter: PatternRewriter, /) -> None:
        ops, pointer = address(op.base, op.indices)
        aligned = llvm.ConstantOp(IntegerAttr(alignment(op.base), i32), i32)
        operands = [pointer, aligned.result, op.mask, op.pass_thru]
        read = llvm.CallIntrinsicOp(masked("load", op.result), operands, (op.result.type,))
        rewriter.replace(op, (*ops, aligned, read))


class MaskedStore(RewritePattern):
    """vector.maskedstore m[i], mask, v -> llvm.masked.store v, (address of m[i]), mask"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: vector.MaskedStoreOp, rewriter: PatternRewriter, /) -> None:
        ops, pointer = address(op.base, op.indices)
        aligned = llvm.ConstantOp(IntegerAttr(alignment(op.base), i32), i32)
        operands = [op.value_to_store, pointer, aligned.result, op.mask]
        rewriter.replace(op, (*ops, aligned, llvm.CallIntrinsicOp(masked("store", op.value_to_store), operands, ())))


def masked(move: str, value: SSAValue) -> str:
    """The intrinsic that moves such a vector under a mask."""
    kind = llvm_type(value.type)
    assert isinstance(kind, VectorType)
    return f"llvm.masked.{move}.v{lanes(value)}{kind.element_type}.p0"


class Store(RewritePattern):
    """memref.store v, m[i], vector.store v, m[i] -> llvm.store v, (address of m[i])"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: memref.StoreOp | vector.StoreOp, rewriter: PatternRewriter, /) -> None:
        is_scalar = isinstance(op, memref.StoreOp)
        buffer, value = (op.memref, op.value) if is_scalar else (op.base, op.vector)
        ops, pointer = address(buffer, op.indices)
        rewriter.replace(op, (*ops, llvm.StoreOp(value, pointer, alignment=alignment(buffer))))


READ, FIRST_LEVEL, SECOND_LEVEL, DATA = 0, 3, 2, 1
"""Arguments of `llvm.prefetch`. The first-level cache is too small for all that is asked for ahead, and few lines can
be on their way to it: products of one row were 1.1 to 1.4 times as fast as with it (AMD EPYC, 2026-11). What is read
at once, a few steps later, has room."""


class Prefetch(RewritePattern):
    """kernel.prefetch m[i] -> llvm.prefetch (address of m[i]), to read, into the second- or first-level cache"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: PrefetchOp, rewriter: PatternRewriter, /) -> None:
        ops, pointer = address(op.buffer, op.indices)
        level = SECOND_LEVEL if op.at_once is None else FIRST_LEVEL
        hints = [llvm.ConstantOp(IntegerAttr(value, i32), i32) for value in (READ, level, DATA)]
        call = llvm.CallIntrinsicOp("llvm.prefetch.p0", [pointer, *(hint.result for hint in hints)], ())
        rewriter.replace(op, (*ops, *hints, call))


def alignment(buffer: SSAValue) -> int:
    """That of an element."""
    assert isinstance(buffer.type, MemRefType)
    return bytes_of(buffer.type.element_type)


@dataclass(frozen=True)
class ConvertMemrefToLLVM(ModulePass):
    """See the head of this file."""

    name = "convert-memref-to-llvm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        rules = GreedyRewritePatternApplier(
            [Load(), MaskedLoad(), Store(), MaskedStore(), Prefetch()], dce_enabled=False
        )
        PatternRewriteWalker(rules, apply_recursively=False).rewrite_module(op)
