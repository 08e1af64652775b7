"""Predicates over index tuples, in normal form: which positions of a tensor are active.

    nz(%relu)                            the elements of %relu that are not 0 (NaN is not 0)
    nz(%mask)[i0, i2]                    rows (i0, i2) that the mask keeps
    nz(%a) and not nz(%b)                both, and here without the second
    i0 >= i1 and %lengths[i2] > i1       positions compared: causal, and inside the sequence
    any(nz(%x)[i0, j1] for j1 < 64)      rows in which something is not 0

Closed under and, or, not, `exists` (any-reduction) and `reindex` (permute, reshape, broadcast, slice, gather). Two
uses of one mask get equal predicates: operands of `and` and `or` are sorted by where their tensors are defined,
negation stands at the leaves, and what the laws of idempotence, absorption and complement remove is gone.
Pure mathematics: a tensor is a `Var`, a position an `Index`.
"""

import math
from collections.abc import Iterator, Mapping

from .index_arithmetic import NOTHING_KNOWN, Ranges, substitute
from .indices import Atom, Axis, Bound, Index, Load, Var
from .predicate_forms import (
    ALWAYS,
    NEVER,
    And,
    AtLeast,
    Compare,
    Constant,
    Exists,
    NonZero,
    Not,
    Or,
    Predicate,
    Zero,
    conjunction,
    disjunction,
    negation,
)

__all__ = [
    "ALWAYS", "NEVER", "And", "AtLeast", "Compare", "Constant", "Exists", "NonZero", "Not", "Or", "Predicate", "Zero",
    "at_least", "atoms", "axes", "conjunction", "disjunction", "equal", "exists", "inside", "leaves", "negation",
    "nonzero", "reindex", "variables",
]  # fmt: skip

# -- construction -----------------------------------------------------------------------------------------------


def nonzero(var: Var, rank: int) -> Predicate:
    """The elements of `var` that are not 0, at their own positions."""
    return NonZero(var, tuple(Index.of(Axis(k)) for k in range(rank)))


def lowest_terms(index: Index) -> Index:
    """`index` divided by what its coefficients have in common, the constant rounded down."""
    common = math.gcd(*(coefficient for monomial, coefficient in index.terms if monomial)) or 1
    scaled = ((monomial, coefficient // common) for monomial, coefficient in index.terms)
    return Index(tuple(term for term in scaled if term[1]))


def at_least(index: Index, ranges: Ranges = NOTHING_KNOWN) -> Predicate:
    """index >= 0"""
    index = lowest_terms(index)
    found = ranges.bounds(index)
    if found is not None and ranges.nonnegative(found[0]):
        return ALWAYS
    if found is not None and ranges.nonnegative(-found[1] - 1):
        return NEVER
    return AtLeast(index)


def equal(left: Index, right: Index | int, ranges: Ranges = NOTHING_KNOWN) -> Predicate:
    """left == right"""
    index = left - right
    if index.number is not None:
        return Constant(index.number == 0)
    is_rounded = -lowest_terms(-index) != lowest_terms(index)
    if is_rounded:
        return NEVER
    index = lowest_terms(index)
    if at_least(index, ranges) == NEVER or at_least(-index, ranges) == NEVER:
        return NEVER
    if index.terms[-1][1] < 0:
        index = -index
    atom = index.atom
    return Not(NonZero(atom.var, atom.at)) if isinstance(atom, Load) else Zero(index)


def inside(index: Index, size: Index, ranges: Ranges = NOTHING_KNOWN) -> Predicate:
    """0 <= index < size"""
    return at_least(index, ranges) & at_least(size - 1 - index, ranges)


# -- quantifiers ------------------------------------------------------------------------------------------------


def height(predicate: Predicate) -> int:
    """How deep quantifiers are nested."""
    match predicate:
        case Exists(level):
            return level
        case Not(of):
            return height(of)
        case And(parts) | Or(parts):
            return max(map(height, parts))
        case _:
            return 0


def exists(body: Predicate, position: Atom, size: Index, ranges: Ranges = NOTHING_KNOWN) -> Predicate:
    """Does `body` hold for some `position` in [0, size)?"""
    if isinstance(body, Or):
        return disjunction(exists(part, position, size, ranges) for part in body.parts)
    parts = body.parts if isinstance(body, And) else (body,)
    inner = [part for part in parts if position in atoms(part)]
    outer = conjunction(part for part in parts if position not in atoms(part))
    if not inner:
        return outer & at_least(size - 1, ranges)
    for part in inner:
        if (found := only_position(part, position)) is not None:
            return inside(found, size, ranges) & reindex(body, {position: found}, ranges)
    if len(inner) == 1 and (best := best_position(inner[0], position, size)) is not None:
        return outer & reindex(inner[0], {position: best}, ranges) & at_least(size - 1, ranges)
    bound = Bound(1 + max(map(height, inner)))
    renamed = ranges.with_size(bound, size)
    return outer & Exists(bound.level, size, reindex(conjunction(inner), {position: Index.of(bound)}, renamed))


def slope_of(index: Index, position: Atom) -> int | None:
    """The number before `position`, which occurs nowhere else in `index`."""
    slope = index.coefficient(position)
    rest = index - slope * Index.of(position)
    return slope.number if slope.number and position not in rest.atoms() else None


def only_position(leaf: Predicate, position: Atom) -> Index | None:
    """Where `leaf` says position == something."""
    slope = slope_of(leaf.index, position) if isinstance(leaf, Zero) else None
    if not isinstance(leaf, Zero) or slope not in (1, -1):
        return None
    rest = leaf.index - Index.of(position) * slope
    return -rest if slope == 1 else rest


def best_position(leaf: Predicate, position: Atom, size: Index) -> Index | None:
    """Where index >= 0 holds if anywhere: at one of the ends."""
    slope = slope_of(leaf.index, position) if isinstance(leaf, AtLeast) else None
    return None if slope is None else Index() if slope < 0 else size - 1


# -- re-indexing ------------------------------------------------------------------------------------------------


def reindex(predicate: Predicate, by: Mapping[Atom, Index], ranges: Ranges = NOTHING_KNOWN) -> Predicate:
    """`predicate` with positions replaced: P(f(i)). `ranges` are those of the new positions."""

    def moved(index: Index) -> Index:
        return substitute(index, by, ranges)

    match predicate:
        case NonZero(var, at):
            return NonZero(var, tuple(map(moved, at)))
        case Compare(var, relation, constant, at):
            return Compare(var, relation, constant, tuple(map(moved, at)))
        case AtLeast(index):
            return at_least(moved(index), ranges)
        case Zero(index):
            return equal(moved(index), 0, ranges)
        case Not(of):
            return ~reindex(of, by, ranges)
        case And(parts):
            return conjunction(reindex(part, by, ranges) for part in parts)
        case Or(parts):
            return disjunction(reindex(part, by, ranges) for part in parts)
        case Exists(level, size, body):
            position = Bound(level)
            kept = {atom: index for atom, index in by.items() if atom != position}
            inner = ranges.with_size(position, moved(size))
            return exists(reindex(body, kept, inner), position, moved(size), ranges)
        case _:
            return predicate


# -- questions --------------------------------------------------------------------------------------------------


def leaves(predicate: Predicate) -> Iterator[Predicate]:
    """The leaves, from left to right."""
    match predicate:
        case Not(of) | Exists(body=of):
            yield from leaves(of)
        case And(parts) | Or(parts):
            for part in parts:
                yield from leaves(part)
        case _:
            yield predicate


def positions(leaf: Predicate) -> tuple[Index, ...]:
    """The indices that a leaf reads."""
    match leaf:
        case NonZero(at=at) | Compare(at=at):
            return at
        case AtLeast(index) | Zero(index):
            return (index,)
        case _:
            return ()


def atoms(predicate: Predicate) -> dict[Atom, None]:
    """Every atom of the indices that a predicate reads, in order of occurrence."""
    return {atom: None for leaf in leaves(predicate) for index in positions(leaf) for atom in index.atoms()}


def axes(predicate: Predicate) -> tuple[int, ...]:
    """The free axes that a predicate depends on, in order of occurrence."""
    return tuple(atom.number for atom in atoms(predicate) if isinstance(atom, Axis))


def variables(predicate: Predicate) -> tuple[Var, ...]:
    """The tensors that a predicate reads, in order of definition."""
    read = {leaf.var for leaf in leaves(predicate) if isinstance(leaf, NonZero | Compare)}
    read |= {atom.var for atom in atoms(predicate) if isinstance(atom, Load)}
    return tuple(sorted(read, key=lambda var: var.order))
