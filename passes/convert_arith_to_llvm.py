"""Numbers as LLVM has them. An index has 64 bits; a bf16 is the upper half of an f32, and goes as 16 bits.

    arith.addi, addf, cmpi, select, ..         ->    llvm.add, fadd, icmp, select, ..         (table below)
    arith.index_cast %i : index to i64         ->    %i
    arith.extf %x : bf16 to f32                ->    bitcast(zext(x) << 16)
    arith.truncf %x : f32 to bf16              ->    (bits + 0x7fff + (bits >> 16 & 1)) >> 16, and 0x7fc0 where NaN

Rounding is to nearest, ties to even, with a NaN as torch rounds it. It needs no comparison of vectors:
0x7f800000 - (bits & 0x7fffffff) is negative where x is NaN, and its sign, spread, is the mask.
"""

from collections.abc import Callable
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import arith, llvm
from xdsl.dialects.builtin import (
    AnyFloat,
    BFloat16Type,
    ContainerType,
    DenseIntOrFPElementsAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    ModuleOp,
    VectorType,
    f32,
    i16,
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

BINARY: dict[type[Operation], Callable[[SSAValue, SSAValue], Operation]] = {
    arith.AddiOp: llvm.AddOp,
    arith.SubiOp: llvm.SubOp,
    arith.MuliOp: llvm.MulOp,
    arith.DivUIOp: llvm.UDivOp,
    arith.DivSIOp: llvm.SDivOp,
    arith.RemUIOp: llvm.URemOp,
    arith.AndIOp: llvm.AndOp,
    arith.OrIOp: llvm.OrOp,
    arith.XOrIOp: llvm.XOrOp,
    arith.ShLIOp: llvm.ShlOp,
    arith.ShRUIOp: llvm.LShrOp,
    arith.ShRSIOp: llvm.AShrOp,
    arith.AddfOp: llvm.FAddOp,
    arith.SubfOp: llvm.FSubOp,
    arith.MulfOp: llvm.FMulOp,
    arith.DivfOp: llvm.FDivOp,
}
"""Ops of two operands that LLVM has as they are."""


class Binary(RewritePattern):
    """a op b -> a op b"""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter, /) -> None:
        if (make := BINARY.get(type(op))) is not None:
            rewriter.replace(op, make(op.operands[0], op.operands[1]))


class Constant(RewritePattern):
    """A number; an index as one of 64 bits."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: arith.ConstantOp, rewriter: PatternRewriter, /) -> None:
        value = op.value
        if isinstance(value, IntegerAttr) and isinstance(value.type, IndexType):
            value = IntegerAttr(value.value.data, i64)
        kind = i64 if isinstance(op.result.type, IndexType) else op.result.type
        rewriter.replace(op, llvm.ConstantOp(value, kind))


class Compare(RewritePattern):
    """cmpi -> icmp, cmpf -> fcmp"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: arith.CmpiOp | arith.CmpfOp, rewriter: PatternRewriter, /) -> None:
        predicate = IntegerAttr(op.predicate.value.data, i64)
        make = llvm.ICmpOp if isinstance(op, arith.CmpiOp) else llvm.FCmpOp
        rewriter.replace(op, make(op.lhs, op.rhs, predicate))


class Select(RewritePattern):
    """select -> llvm.select"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: arith.SelectOp, rewriter: PatternRewriter, /) -> None:
        rewriter.replace(op, llvm.SelectOp(op.cond, op.lhs, op.rhs))


class Widen(RewritePattern):
    """extui -> zext"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: arith.ExtUIOp, rewriter: PatternRewriter, /) -> None:
        rewriter.replace(op, llvm.ZExtOp(op.input, op.result.type))


class IndexCast(RewritePattern):
    """index_cast x -> x, of 64 bits; from fewer bits, a sign extension"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: arith.IndexCastOp, rewriter: PatternRewriter, /) -> None:
        given, wanted = (bits(value.type) for value in (op.input, op.result))
        if given == wanted:
            rewriter.replace(op, (), (op.input,))
        else:
            make = llvm.SExtOp if given < wanted else llvm.TruncOp
            rewriter.replace(op, make(op.input, IntegerType(wanted)))


def bits(kind: Attribute) -> int:
    """Bits of an integer or an index."""
    return kind.width.data if isinstance(kind, IntegerType) else 64


class Extend(RewritePattern):
    """extf x : bf16 to f32 -> bitcast(zext(x) << 16)"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: arith.ExtFOp, rewriter: PatternRewriter, /) -> None:
        if element(op.input) not in (BFloat16Type(), i16) or element(op.result) != f32:  # i16: it was just rounded
            return
        wide = llvm.ZExtOp(op.input, like(op.result, i32))
        sixteen = constant(16, wide.res.type)
        shifted = llvm.ShlOp(wide.res, sixteen.result)
        rewriter.replace(op, (wide, sixteen, shifted, llvm.BitcastOp(shifted.res, op.result.type)))


class Round(RewritePattern):
    """truncf x : f32 to bf16 -> the upper half of what is nearest"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: arith.TruncFOp, rewriter: PatternRewriter, /) -> None:
        if element(op.input) != f32 or element(op.result) != BFloat16Type():
            return
        kind, ops = like(op.input, i32), list[Operation]()

        def emit(made: Operation) -> SSAValue:
            ops.append(made)
            return made.results[0]

        def fixed(value: int) -> SSAValue:
            return emit(constant(value, kind))

        x = emit(llvm.BitcastOp(op.input, kind))
        odd = emit(llvm.AndOp(emit(llvm.LShrOp(x, fixed(16))), fixed(1)))
        nearest = emit(llvm.LShrOp(emit(llvm.AddOp(emit(llvm.AddOp(x, odd)), fixed(0x7FFF))), fixed(16)))
        magnitude = emit(llvm.AndOp(x, fixed(0x7FFFFFFF)))
        is_nan = emit(llvm.AShrOp(emit(llvm.SubOp(fixed(0x7F800000), magnitude)), fixed(31)))
        number = emit(llvm.AndOp(nearest, emit(llvm.XOrOp(is_nan, fixed(-1)))))
        whole = emit(llvm.OrOp(number, emit(llvm.AndOp(is_nan, fixed(0x7FC0)))))
        emit(llvm.TruncOp(whole, like(op.input, i16)))
        rewriter.replace(op, ops)


def element(value: SSAValue) -> Attribute:
    """The type of a number, or of a vector's."""
    return value.type.get_element_type() if isinstance(value.type, ContainerType) else value.type


def like(value: SSAValue, kind: IntegerType | AnyFloat) -> Attribute:
    """`kind`, in as many lanes as `value` has."""
    return VectorType(kind, value.type.shape) if isinstance(value.type, VectorType) else kind


def constant(value: int, kind: Attribute) -> llvm.ConstantOp:
    """An i32, in every lane."""
    if isinstance(kind, VectorType):
        return llvm.ConstantOp(DenseIntOrFPElementsAttr.from_list(kind, [value]), kind)
    return llvm.ConstantOp(IntegerAttr(value, i32), kind)


@dataclass(frozen=True)
class ConvertArithToLLVM(ModulePass):
    """See the head of this file."""

    name = "convert-arith-to-llvm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        rules = [Binary(), Constant(), Compare(), Select(), Widen(), IndexCast(), Extend(), Round()]
        PatternRewriteWalker(
            GreedyRewritePatternApplier(rules, dce_enabled=False), apply_recursively=False
        ).rewrite_module(op)
