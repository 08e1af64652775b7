"""Division and substitution of indices, with what is known of their ranges.

    (i0*s1 + i1) // s1      i0, because i1 < s1
    (i0*s1 + i1) % s1       i1
    (i0 // s1)*s1 + i0 % s1 i0
    (i0 // 4) // 3          i0 // 12
    i0 >= 0                 always

Everything is exact: what cannot be proved stays as it is written. Pure mathematics.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from .indices import (
    Atom,
    Axis,
    Bound,
    Index,
    Load,
    Monomial,
    Quotient,
    Remainder,
    Symbol,
    collect,
    monomial_key,
    parts,
    without,
)


@dataclass(frozen=True)
class Ranges:
    """What is known: positions lie in [0, size), symbols are at least their minimum (0 where none is given)."""

    sizes: Mapping[Atom, Index] = field(default_factory=dict)
    minima: Mapping[str, int] = field(default_factory=dict)

    def with_size(self, atom: Atom, size: Index) -> "Ranges":
        """These ranges and one more position."""
        return Ranges({**self.sizes, atom: size}, self.minima)

    def nonnegative(self, index: Index) -> bool:
        """Is a polynomial in sizes provably at least 0?"""
        low = substitute(index, {Symbol(s): Index.of(Symbol(s)) + least for s, least in self.minima.items()})
        return all(c >= 0 and all(isinstance(atom, Symbol) for atom in m) for m, c in low.terms)

    def bounds(self, index: Index) -> tuple[Index, Index] | None:
        """The least and the greatest value, as polynomials in sizes; None when unknown."""
        low = high = Index()
        for monomial, coefficient in index.terms:
            positions = [atom for atom in monomial if not isinstance(atom, Symbol)]
            scale = collect({tuple(atom for atom in monomial if isinstance(atom, Symbol)): coefficient})
            if not positions:
                low, high = low + scale, high + scale
            elif len(positions) > 1 or (last := self.last(positions[0])) is None:
                return None
            elif coefficient > 0:
                high += scale * last
            else:
                low += scale * last
        return low, high

    def last(self, atom: Atom) -> Index | None:
        """The greatest value of a position that starts at 0."""
        match atom:
            case Axis() | Bound():
                size = self.sizes.get(atom)
                return None if size is None else size - 1
            case Remainder(divisor=divisor):
                return divisor - 1
            case Quotient(dividend, divisor):
                inner = self.bounds(dividend)
                if inner is None or not self.nonnegative(inner[0]):
                    return None
                count, rest = divide(inner[1] + 1, divisor)
                return count - 1 if not rest.terms else count if rest.number is not None and count.terms else None
            case _:
                return None

    def within(self, index: Index, size: Index) -> bool:
        """Is 0 <= index < size provable?"""
        found = self.bounds(index)
        return found is not None and self.nonnegative(found[0]) and self.nonnegative(size - 1 - found[1])


NOTHING_KNOWN = Ranges()


def divide(index: Index, by: Index) -> tuple[Index, Index]:
    """index = quotient * by + rest, term by term; the rest may be outside [0, by)."""
    leading, scale = max(by.terms, key=lambda term: (len(term[0]), monomial_key(term[0])))
    whole, rest = Index(), index
    while (step := next(filter(None, (step_of(term, leading, scale) for term in rest.terms)), None)) is not None:
        whole, rest = whole + step, rest - step * by
    return whole, rest


def step_of(term: tuple[Monomial, int], leading: Monomial, scale: int) -> Index | None:
    """term / (scale * leading) where it is whole; a constant by a constant is rounded down."""
    monomial, coefficient = term
    missing = Counter(leading)
    missing.subtract(monomial)
    if any(count > 0 for count in missing.values()):
        return None
    if monomial and coefficient % scale:
        return None
    left = monomial
    for atom in leading:
        left = without(left, atom)
    return collect({left: coefficient // scale}) if coefficient // scale else None


def quotient(dividend: Index, divisor: Index, ranges: Ranges = NOTHING_KNOWN) -> Index:
    """dividend // divisor for a positive divisor, in normal form; by 0 it is never read."""
    if not divisor.terms:
        return Index()
    whole, rest = divide(dividend, divisor)
    if not rest.terms or ranges.within(rest, divisor):
        return whole
    inner = rest.atom
    if isinstance(inner, Quotient):
        return whole + quotient(inner.dividend, inner.divisor * divisor, ranges)
    return whole + Index.of(Quotient(rest, divisor))


def remainder(dividend: Index, divisor: Index, ranges: Ranges = NOTHING_KNOWN) -> Index:
    """dividend % divisor for a positive divisor, in normal form; by 0 it is never read."""
    if not divisor.terms:
        return Index()
    _, rest = divide(dividend, divisor)
    if not rest.terms or ranges.within(rest, divisor):
        return rest
    inner = rest.atom
    if isinstance(inner, Remainder) and not divide(inner.divisor, divisor)[1].terms:
        return remainder(inner.dividend, divisor, ranges)
    return Index.of(Remainder(rest, divisor))


def substitute(index: Index, by: Mapping[Atom, Index], ranges: Ranges = NOTHING_KNOWN) -> Index:
    """`index` with atoms replaced, in normal form under `ranges` of the new atoms."""
    total = Index()
    for monomial, coefficient in index.terms:
        term = Index.of(coefficient)
        for atom in monomial:
            term = term * replaced(atom, by, ranges)
        total += term
    return recombine(total)


def replaced(atom: Atom, by: Mapping[Atom, Index], ranges: Ranges) -> Index:
    if atom in by:
        return by[atom]
    inside = tuple(substitute(part, by, ranges) for part in parts(atom))
    match atom:
        case Load(var):
            return Index.of(Load(var, inside))
        case Quotient():
            return quotient(inside[0], inside[1], ranges)
        case Remainder():
            return remainder(inside[0], inside[1], ranges)
        case _:
            return Index.of(atom)


def recombine(index: Index) -> Index:
    """(e // d)*d + e % d -> e"""
    for monomial, _ in index.terms:
        for atom in monomial:
            if not isinstance(atom, Remainder):
                continue
            scale = index.coefficient(atom)
            whole = quotient(atom.dividend, atom.divisor)
            part = whole.atom
            if part is not None and index.coefficient(part) == scale * atom.divisor:
                rest = index - scale * Index.of(atom) - scale * atom.divisor * whole
                return recombine(rest + scale * atom.dividend)
    return index
