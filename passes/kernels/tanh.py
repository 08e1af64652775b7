"""tanh with the bits of the vector library that torch calls: by that library, or as a double that is rounded.

    e = exp(2 x) - 1                       2 x = k log 2 + r, |r| <= log 2 / 2, e = 2^k (exp(r) - 1) + (2^k - 1)
    t = e / (e + 2)                        within 0.0002 units in the last place of an f32
    doubt: t lies within WINDOW units of the middle of two neighbouring f32, and the library may round it otherwise

On AMD the library's own results are up to 0.0019 units (0.0131 from 4 on) away from tanh x before they are rounded: one
in 200 is in doubt, and asked of the library. That this covers all there are is tried (`compiler/exact_primitives.py`).
Twice as fast as the library on a Zen 4. On Intel the library has other code, which is up to 0.07 units away and faster
than the guess; there it is called for a tile at a time.
"""

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import arith, llvm
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, f32, f64, i32, i64
from xdsl.ir import Block, Region, SSAValue

from .writing import INDEX, fma, real, whole

LIBRARY = "vmsTanh"
"""`vmsTanh(size, x, y, mode)` of the vector library."""
HELPER = "library_tanh"
"""What a kernel calls for one number."""
MODE = 0x2 | 0x140000 | 0x100
"""High accuracy, subnormal numbers kept, errors ignored: as torch calls it."""
TERMS = (
    *(2.4859589834589056e-05, 0.00019899285575896282, 0.001388885403566671, 0.00833329846980059),
    *(0.04166666671901226, 0.16666666719028936, 0.5, 1.0),
)
"""(exp(r) - 1) / r, from the highest power of r: minimax, to 1e-11 of it."""
SHIFT = 1.5 * 2.0**52
"""A double this large has no fraction: what is added to it is rounded."""
SIZES = SMALL, LARGE = 2.0**-12, 10.0
"""Below, tanh x is x; above, it is 1 or -1."""
FAR = 4.0
BITS = 29
"""Bits that a double has more than an f32."""
WINDOW = (0.0022, 0.0145)
"""Below FAR, and from there on."""


def guess(x: SSAValue) -> tuple[SSAValue, SSAValue]:
    """tanh x, and whether that is in doubt."""
    size = llvm.FAbsOp(x, f32).results[0]
    wide = llvm.FPExtOp(clamped(x, size), f64).results[0]
    t = quotient(wide)
    result = llvm.FPTruncOp(t, f32).results[0]
    is_small = arith.CmpfOp(size, real(SMALL), "olt").result
    return arith.SelectOp(is_small, x, result).result, doubt(t, arith.CmpfOp(size, real(FAR), "oge").result)


def clamped(x: SSAValue, size: SSAValue) -> SSAValue:
    """x, or what has its tanh and is not too large."""
    limit = llvm.FCopySignOp(real(LARGE), x).results[0]
    return arith.SelectOp(arith.CmpfOp(size, real(LARGE), "ogt").result, limit, x).result


def quotient(x: SSAValue) -> SSAValue:
    """e / (e + 2) for e = exp(2 x) - 1, of doubles"""
    shifted = fma(x, double(2.885390081777926814), double(SHIFT))
    k = arith.SubfOp(shifted, double(SHIFT)).result
    r = fma(k, double(-0.693147180559945286), arith.AddfOp(x, x).result)
    exponent = arith.ShLIOp(llvm.BitcastOp(shifted, i64).results[0], whole(52)).result
    power = llvm.BitcastOp(arith.AddiOp(exponent, whole(1023 << 52)).result, f64).results[0]
    series = double(TERMS[0])
    for term in TERMS[1:]:
        series = fma(series, r, double(term))
    e = fma(arith.MulfOp(series, r).result, power, arith.SubfOp(power, double(1.0)).result)
    return arith.DivfOp(e, arith.AddfOp(e, double(2.0)).result).result


def doubt(t: SSAValue, is_far: SSAValue) -> SSAValue:
    """Is a double near the middle of two f32?"""
    middle, near, far = 1 << (BITS - 1), *(round(width * 2**BITS) for width in WINDOW)
    rest = arith.AndIOp(llvm.BitcastOp(t, i64).results[0], whole((1 << BITS) - 1)).result
    first, length = (
        arith.SelectOp(is_far, whole(there), whole(here)).result
        for there, here in ((middle - far, middle - near), (2 * far, 2 * near))
    )
    return arith.CmpiOp(arith.SubiOp(rest, first).result, length, "ult").result


def one(x: SSAValue) -> SSAValue:
    """tanh x, of the library."""
    found = llvm.CallOp(HELPER, x, return_type=f32).returned
    assert found is not None
    return found


def all_of(numbers: SSAValue, count: SSAValue) -> None:
    """The same for the first `count` (an index) of the numbers at a pointer, in place."""
    size = arith.IndexCastOp(count, i32).result
    llvm.CallOp(LIBRARY, size, numbers, numbers, llvm.ConstantOp(IntegerAttr(MODE, i64), i64).result)


def library_functions() -> list[llvm.FuncOp]:
    """The library's function, and one of a single number that calls it."""
    block = Block(arg_types=[f32])
    with ImplicitBuilder(block):
        number = llvm.AllocaOp(llvm.ConstantOp(IntegerAttr(1, i64), i64).result, f32, 4).res
        llvm.StoreOp(block.args[0], number, alignment=4)
        all_of(number, arith.ConstantOp(IntegerAttr(1, INDEX)).result)
        llvm.ReturnOp(llvm.LoadOp(number, f32, alignment=4).dereferenced_value)
    pointer = llvm.LLVMPointerType()
    declared = llvm.FuncOp(LIBRARY, llvm.LLVMFunctionType([i32, pointer, pointer, i64]), llvm.LinkageAttr("external"))
    kind = llvm.LLVMFunctionType([f32], f32)
    return [declared, llvm.FuncOp(HELPER, kind, llvm.LinkageAttr("internal"), body=Region(block))]


def double(value: float) -> SSAValue:
    """An f64 constant."""
    return arith.ConstantOp(FloatAttr(value, f64)).result
