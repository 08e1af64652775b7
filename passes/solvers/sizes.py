"""Sizes as monomials: `4*s0*s1` is 4 times two symbols, and division is exact or refused.

    divide("4*s0*s1", "s0") == "4*s1"        divide("s0", "4") is None

A size that is no product (`s0 + 1`) is a symbol of its own. Pure mathematics.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Self

Size = int | str


@dataclass(frozen=True)
class Monomial:
    """coefficient * product of symbols, each as often as it is listed (sorted)."""

    coefficient: int
    symbols: tuple[str, ...] = ()

    @classmethod
    def of(cls, size: Size) -> Self:
        """Read `4*s0*s1`, `s0**2` or a number."""
        if isinstance(size, int):
            return cls(size)
        text = size.replace(" ", "")
        if not re.fullmatch(r"\w+(\*\*\d+)?(\*\w+(\*\*\d+)?)*", text):
            return cls(1, (size,))
        coefficient, symbols = 1, list[str]()
        for factor in re.split(r"(?<!\*)\*(?!\*)", text):
            base, _, power = factor.partition("**")
            times = int(power or 1)
            if base.isdigit():
                coefficient *= int(base) ** times
            else:
                symbols += [base] * times
        return cls(coefficient, tuple(sorted(symbols)))

    @property
    def size(self) -> Size:
        """As a number where there is no symbol, else as text."""
        if not self.symbols:
            return self.coefficient
        powers = Counter(self.symbols)
        parts = [s if n == 1 else f"{s}**{n}" for s, n in sorted(powers.items())]
        return "*".join(([str(self.coefficient)] if self.coefficient != 1 else []) + parts)

    def __mul__(self, other: Self) -> Self:
        return type(self)(self.coefficient * other.coefficient, tuple(sorted(self.symbols + other.symbols)))

    def divided_by(self, other: Self) -> Self | None:
        """The exact quotient, or None. Nothing divides by zero, and zero is divided by nothing."""
        if not other.coefficient or not self.coefficient or self.coefficient % other.coefficient:
            return None
        rest = Counter(self.symbols)
        rest.subtract(other.symbols)
        if any(n < 0 for n in rest.values()):
            return None
        return type(self)(self.coefficient // other.coefficient, tuple(sorted(rest.elements())))


ONE = Monomial(1)


def product(sizes: list[Size] | tuple[Size, ...]) -> Size:
    """The product of sizes."""
    total = ONE
    for size in sizes:
        total = total * Monomial.of(size)
    return total.size


def divide(size: Size, by: Size) -> Size | None:
    """size / by, exactly; None when it is not a whole monomial."""
    quotient = Monomial.of(size).divided_by(Monomial.of(by))
    return None if quotient is None else quotient.size
