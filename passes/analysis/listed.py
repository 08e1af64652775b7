"""Positions of one axis that integers list: what a predicate says of an axis, where that is a list.

    any(%i[j1] % 100 == i1 for j1 < 4)             entries of %i                of axis 1
    any(%i[i0, j1] + 3 == i1 for j1 < 4)           entries of %i, and 3 more    for any row
    i1 == 5 or any(%i[j1] == i1 for j1 < 4)        entries of %i, and 5
    nz(%m)[i0] and i1 == 5                         5
    i1 >= 5                                        no list

A list may name more than where the predicate holds, and never less; its entries count modulo the size of the axis.
Pure mathematics: a tensor is a `Var`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from .indices import Axis, Index, Load, Remainder, Var
from .predicates import NEVER, And, Exists, Or, Predicate, Zero, slope_of


@dataclass(frozen=True)
class Listing:
    """Entries of integer tensors, each plus a number, and single positions."""

    entries: tuple[tuple[Var, int], ...] = ()
    positions: tuple[int, ...] = ()

    def __or__(self, other: "Listing") -> "Listing":
        entries = dict.fromkeys((*self.entries, *other.entries))
        return Listing(tuple(entries), tuple(sorted({*self.positions, *other.positions})))


def listings(predicate: Predicate, axis: int, size: int) -> list[Listing]:
    """Lists that each name every position of `axis`, of `size`, at which `predicate` holds for some other positions."""
    match predicate:
        case _ if predicate == NEVER:
            return [Listing()]
        case And(parts):
            return [found for part in parts for found in listings(part, axis, size)]
        case Or(parts):
            return joined(listings(part, axis, size) for part in parts)
        case Exists(body=body):
            return listings(body, axis, size)
        case Zero(index):
            found = listing(index, axis, size)
            return [] if found is None else [found]
        case _:
            return []


def joined(choices: Iterable[list[Listing]]) -> list[Listing]:
    """One list for all alternatives, of the first of each; none where an alternative has none."""
    total = Listing()
    for found in choices:
        if not found:
            return []
        total |= found[0]
    return [total]


def listing(index: Index, axis: int, size: int) -> Listing | None:
    """What index == 0 says of the position on `axis`, if that is an entry or a number."""
    slope = slope_of(index, Axis(axis))
    if slope not in (1, -1):
        return None
    named = (index - Index.of(Axis(axis)) * slope) * -slope
    if isinstance(whole := named.atom, Remainder) and whole.divisor.number == size:
        named = whole.dividend
    if named.number is not None:
        return Listing(positions=(named.number,) if 0 <= named.number < size else ())
    offset = dict(named.terms).get((), 0)
    entry = (named - offset).atom
    return Listing(((entry.var, offset),)) if isinstance(entry, Load) else None
