"""exp with the bits of SLEEF's `expf` of 1.0 units in the last place, which torch's softmax and losses call.

    q = round(x log2 e)                    ties to even
    s = x - q log 2                        log 2 in two parts
    exp(x) = 2^q (1 + s + s s p(s))        p of degree 5; 2^q as two factors, so that subnormal numbers come out
    0 below -104, infinite above 104

The same operations in the same order as in SLEEF 3 (Shibata and Petrogalli, "SLEEF: A Portable Vectorized Library of C
Standard Mathematical Functions", IEEE TPDS 31(6), 2020), each rounded once. Attention has a rougher one, too.
"""

from collections.abc import Sequence

from xdsl.dialects import arith, llvm
from xdsl.dialects.builtin import VectorType, f32, i32
from xdsl.ir import SSAValue

from .primitives import choice, comparison, minus, plus, product
from .writing import alike, fma, real

TERMS = (
    *(0.000198527617612853646278381, 0.00139304355252534151077271, 0.00833336077630519866943359),
    *(0.0416664853692054748535156, 0.166666671633720397949219, 0.5),
)
"""p, from the highest power."""
LOG2_E = 1.442695040888963407359924681001892137
LOG_2 = 0.693145751953125, 1.428606765330187045e-06
FARTHEST = 104.0
ROUGH_TERMS = (0.00828929059, 0.0418978221, 0.166676521, 0.499991506, 0.999999701, 1.0)
ROUGH_LOG_2, ROUGH_LEAST = 0.693147182464599609375, -87.33654022216796875
"""Of `exp_u20`."""
SHIFT = 1.5 * 2.0**23
"""An f32 this large has no fraction: what is added to it is rounded."""
SHIFT_BITS, MANTISSA, BIAS = 0x4B400000, 23, 127


def exp(x: SSAValue) -> SSAValue:
    """exp x, of a number."""
    found = choice(comparison("olt")(x, real(-FARTHEST)), real(0.0), exp_near(x))
    return choice(comparison("ogt")(x, real(FARTHEST)), real(float("inf")), found)


def exp_near(x: SSAValue) -> SSAValue:
    """The same for |x| up to FARTHEST, of numbers or vectors."""
    shifted = plus(product(x, alike(LOG2_E, x)), alike(SHIFT, x))
    q = minus(shifted, alike(SHIFT, x))
    s = x
    for part in LOG_2:
        s = fma(q, alike(-part, x), s)
    found = plus(alike(1.0, x), fma(product(s, s), polynomial(TERMS, s), s))
    whole = exponent(shifted)
    half = arith.ShRSIOp(whole, alike(1, whole)).result
    for part in (half, arith.SubiOp(whole, half).result):
        found = product(found, power(part))
    return found


def exp_rough(x: SSAValue) -> SSAValue:
    """exp x within 20 units in the last place, for x from ROUGH_LEAST to 0, of vectors; 0 below -86.99. What ATen's
    `exp_u20` computes."""
    q = llvm.FFloorOp(fma(x, alike(LOG2_E, x), alike(0.5, x))).res
    s = fma(q, alike(-ROUGH_LOG_2, x), x)
    below = minus(q, alike(1.0, x))
    found = product(polynomial(ROUGH_TERMS, s), power(exponent(plus(below, alike(SHIFT, x)))))
    return product(found, alike(2.0, x))


def polynomial(terms: Sequence[float], x: SSAValue) -> SSAValue:
    """The polynomial of these terms, from the highest power."""
    series = alike(terms[0], x)
    for term in terms[1:]:
        series = fma(series, x, alike(term, x))
    return series


def exponent(shifted: SSAValue) -> SSAValue:
    """What SHIFT was added to, as i32."""
    kind = VectorType(i32, shifted.type.shape) if isinstance(shifted.type, VectorType) else i32
    bits = llvm.BitcastOp(shifted, kind).results[0]
    return arith.SubiOp(bits, alike(SHIFT_BITS, bits)).result


def power(exponent: SSAValue) -> SSAValue:
    """2^exponent, and 0 for that of the largest subnormal power."""
    kind = VectorType(f32, exponent.type.shape) if isinstance(exponent.type, VectorType) else f32
    biased = arith.AddiOp(exponent, alike(BIAS, exponent)).result
    return llvm.BitcastOp(arith.ShLIOp(biased, alike(MANTISSA, biased)).result, kind).results[0]
