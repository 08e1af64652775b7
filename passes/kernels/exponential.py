"""exp with the bits of SLEEF's `expf` of 1.0 units in the last place, which torch's softmax and losses call.

    q = round(x log2 e)                    ties to even
    s = x - q log 2                        log 2 in two parts
    exp(x) = 2^q (1 + s + s s p(s))        p of degree 5; 2^q as two factors, so that subnormal numbers come out
    0 below -104, infinite above 104

The same operations in the same order as in SLEEF 3 (Shibata and Petrogalli, "SLEEF: A Portable Vectorized Library of C
Standard Mathematical Functions", IEEE TPDS 31(6), 2020), each rounded once.
"""

from xdsl.dialects import arith, llvm
from xdsl.dialects.builtin import IntegerAttr, f32, i32
from xdsl.ir import SSAValue

from .primitives import choice, comparison, minus, plus, product
from .writing import fma, real

TERMS = (
    *(0.000198527617612853646278381, 0.00139304355252534151077271, 0.00833336077630519866943359),
    *(0.0416664853692054748535156, 0.166666671633720397949219, 0.5),
)
"""p, from the highest power."""
LOG2_E = 1.442695040888963407359924681001892137
LOG_2 = 0.693145751953125, 1.428606765330187045e-06
FARTHEST = 104.0
SHIFT = 1.5 * 2.0**23
"""An f32 this large has no fraction: what is added to it is rounded."""
SHIFT_BITS, MANTISSA, BIAS = 0x4B400000, 23, 127


def exp(x: SSAValue) -> SSAValue:
    """exp x"""
    shifted = plus(product(x, real(LOG2_E)), real(SHIFT))
    q = minus(shifted, real(SHIFT))
    s = x
    for part in LOG_2:
        s = fma(q, real(-part), s)
    series = real(TERMS[0])
    for term in TERMS[1:]:
        series = fma(series, s, real(term))
    found = plus(real(1.0), fma(product(s, s), series, s))
    whole = arith.SubiOp(llvm.BitcastOp(shifted, i32).results[0], number(SHIFT_BITS)).result
    half = arith.ShRSIOp(whole, number(1)).result
    for exponent in (half, arith.SubiOp(whole, half).result):
        found = product(found, power(exponent))
    found = choice(comparison("olt")(x, real(-FARTHEST)), real(0.0), found)
    return choice(comparison("ogt")(x, real(FARTHEST)), real(float("inf")), found)


def power(exponent: SSAValue) -> SSAValue:
    """2^exponent"""
    biased = arith.AddiOp(exponent, number(BIAS)).result
    return llvm.BitcastOp(arith.ShLIOp(biased, number(MANTISSA)).result, f32).results[0]


def number(value: int) -> SSAValue:
    """An i32 constant."""
    return arith.ConstantOp(IntegerAttr(value, i32)).result
