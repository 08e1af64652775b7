"""How a machine stores weights: in few bits, times a scale that many share.

    weight = mantissa * scale of the population * 2^-k        mantissa: a few bits; k: one for each projection

| sign     | where the sign of a mantissa of b bits is                                     | mantissa              |
|----------|-------------------------------------------------------------------------------|-----------------------|
| `bit`    | one of its bits                                                               | -2^(b-1) .. 2^(b-1)-1 |
| `shared` | one of its bits, or none where all weights of a projection have one sign      | or up to 2^b-1        |
| `apart`  | elsewhere: excitation and inhibition are kept apart                           | -(2^b-1) .. 2^b-1     |
| `source` | elsewhere: all synapses of a neuron have its sign                             | -(2^b-1) .. 2^b-1     |
| `type`   | with the weight, in the neuron: a weight by type of axon, a bit for a synapse | none                  |

Neurons in real numbers can be read in any unit: the scale of their population is free. That of neurons in whole numbers
is a power of two, 1 or more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import reduce

import numpy as np

DIGITS = 53
"""Bits of a float64's mantissa."""


class Sign(StrEnum):
    """Where the sign of a weight is."""

    BIT = "bit"
    SHARED = "shared"
    APART = "apart"
    SOURCE = "source"
    TYPE = "type"


@dataclass(frozen=True)
class WeightFormat:
    """Mantissas of `bits`; a projection's scale is one of `exponents` powers of two of its population's."""

    bits: int
    sign: Sign
    exponents: int = 1

    def __str__(self) -> str:
        return f"{self.bits} bits"

    def bounds(self, low: float, high: float) -> tuple[int, int]:
        """The least and the greatest mantissa of a projection with weights from `low` to `high`."""
        whole = 2**self.bits - 1
        if self.sign is Sign.BIT or (self.sign is Sign.SHARED and low < 0 < high):
            return -(whole // 2) - 1, whole // 2
        return (-whole, whole) if self.sign is not Sign.SHARED else (0, whole) if low >= 0 else (-whole, 0)

    def needed(self, weights: np.ndarray) -> float:
        """The smallest scale with which no weight of a projection is cut off that need not be."""
        low, high = extremes(weights)
        least, most = self.bounds(low, high)
        return max(high / most if most else 0.0, low / least if least else 0.0)


def extremes(weights: np.ndarray) -> tuple[float, float]:
    """The least and the greatest, and 0."""
    return min(float(weights.min(initial=0)), 0.0), max(float(weights.max(initial=0)), 0.0)


def scales(form: WeightFormat, projections: Sequence[np.ndarray], whole: bool) -> list[float]:
    """The scale of each projection to one population: one that keeps every weight as it is where there is one, else the
    finest that cuts none off."""
    return exact_scales(form, projections, whole) or finest_scales(form, projections, whole)


def finest_scales(form: WeightFormat, projections: Sequence[np.ndarray], whole: bool) -> list[float]:
    """The largest by need, the others the same or halves of it."""
    needed = [form.needed(weights) for weights in projections]
    largest = max(needed, default=0.0) or 1.0
    if whole:
        largest = 2.0 ** max(0, math.ceil(math.log2(largest)))
    lowest = max(largest * 2.0 ** (1 - form.exponents), 1.0 if whole else 0.0)
    return [
        max(largest * 2.0 ** -math.floor(math.log2(largest / need)), lowest) if need else largest for need in needed
    ]


def exact_scales(form: WeightFormat, projections: Sequence[np.ndarray], whole: bool) -> list[float] | None:
    """Scales, powers of two apart, of which all weights are multiples that fit; None where there are none."""
    units = [divisor(weights) for weights in projections]
    if None in units:
        return None
    common = reduce(gcd, filter(None, units), Fraction(0)) or Fraction(1)
    if whole:
        common = twos(common)
    found = [common * twos(unit / common) for unit in units if unit]
    least = min(found, default=common)
    most = least * 2 ** (form.exponents - 1)
    given = [float(min(common * twos(unit / common), most) if unit else least) for unit in units if unit is not None]
    pairs = zip(projections, given, strict=True)
    return given if all(np.array_equal(stored(form, weights, scale), weights) for weights, scale in pairs) else None


def gcd(one: Fraction, other: Fraction) -> Fraction:
    """The greatest number of which both are multiples."""
    both = one.denominator * other.denominator
    return Fraction(math.gcd(one.numerator * other.denominator, other.numerator * one.denominator), both)


def twos(value: Fraction) -> Fraction:
    """The power of two in a fraction whose denominator is one: 12 -> 4, 3/8 -> 1/8."""
    return Fraction(value.numerator & -value.numerator, value.denominator)


def divisor(weights: np.ndarray) -> Fraction | None:
    """The greatest number of which all weights are multiples, 0 of none; None where they are too far apart."""
    mantissa, exponent = np.frexp(np.abs(weights[weights != 0].astype(np.float64)))
    if not len(mantissa):
        return Fraction(0)
    least = int(exponent.min()) - DIGITS
    shift = exponent - DIGITS - least
    whole = (mantissa * 2.0**DIGITS).astype(np.int64)
    spare = np.log2(whole & -whole)
    if (DIGITS + shift - min(spare + shift)).max() > 62:
        return None
    common = int((spare + shift).min())
    parts = np.ldexp(mantissa, exponent - least - common).astype(np.int64)
    return Fraction(2) ** (least + common) * int(np.gcd.reduce(parts))


def stored(form: WeightFormat, weights: np.ndarray, scale: float) -> np.ndarray:
    """The nearest weights that a machine holds at a scale, of the type of `weights`; halves go to even mantissas."""
    least, most = form.bounds(*extremes(weights))
    return (np.clip(np.rint(weights.astype(np.float64) / scale), least, most) * scale).astype(weights.dtype)
