"""What predicates are made of, and how they read. `predicates.py` builds them in normal form.

| form                | holds where                                                    |
|---------------------|----------------------------------------------------------------|
| `nz(%x)[i0, i2]`    | the entry of %x is not 0 (NaN is not)                          |
| `%x > 1.0`          | it compares so with a constant                                 |
| `i0 >= i1`          | positions, or entries of integer tensors, compare so           |
| `any(P for j1 < 8)` | P does for some j1                                             |
| `not`, `and`, `or`  | as they say; `not` stands before the first two and `any` only  |
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

from .indices import Bound, Index, Key, Load, Symbol, Var, subscript

RELATIONS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "=="}


class Predicate:
    """A boolean function of an index tuple. `&`, `|` and `~` give normal forms again."""

    @cached_property
    def key(self) -> Key:
        """Sorts predicates: by the first tensor they read, then by form."""
        raise NotImplementedError

    def __and__(self, other: "Predicate") -> "Predicate":
        return conjunction((self, other))

    def __or__(self, other: "Predicate") -> "Predicate":
        return disjunction((self, other))

    def __invert__(self) -> "Predicate":
        return negation(self)


@dataclass(frozen=True)
class Constant(Predicate):
    """Always, or never."""

    value: bool

    @cached_property
    def key(self) -> Key:
        return (-1, int(self.value))

    def __str__(self) -> str:
        return "always" if self.value else "never"


ALWAYS, NEVER = Constant(True), Constant(False)


@dataclass(frozen=True)
class NonZero(Predicate):
    """The entry of `var` is not 0; NaN is not."""

    var: Var
    at: tuple[Index, ...]

    @cached_property
    def key(self) -> Key:
        return (self.var.order, 0, tuple(index.key for index in self.at))

    def __str__(self) -> str:
        return f"nz({self.var}){subscript(self.at)}"


@dataclass(frozen=True)
class Compare(Predicate):
    """The entry of a real tensor stands in `relation` to a constant; NaN stands in none."""

    var: Var
    relation: str
    constant: float
    at: tuple[Index, ...]

    @cached_property
    def key(self) -> Key:
        return (self.var.order, 1, self.relation, repr(self.constant), tuple(index.key for index in self.at))

    def __str__(self) -> str:
        return f"{self.var}{subscript(self.at)} {RELATIONS[self.relation]} {self.constant}"


@dataclass(frozen=True)
class AtLeast(Predicate):
    """index >= 0, in whole numbers."""

    index: Index

    @cached_property
    def key(self) -> Key:
        return (first_load(self.index), 2, self.index.key)

    def __str__(self) -> str:
        constant = dict(self.index.terms).get((), 0)
        left, right = sides(self.index - constant)
        if not has_positions(left) and has_positions(right):
            return f"{right} < {left + constant + 1}"
        return f"{left} > {right}" if constant == -1 else "{} >= {}".format(*sides(self.index))


@dataclass(frozen=True)
class Zero(Predicate):
    """index == 0, the first coefficient positive."""

    index: Index

    @cached_property
    def key(self) -> Key:
        return (first_load(self.index), 3, self.index.key)

    def __str__(self) -> str:
        return "{} == {}".format(*sides(self.index))


@dataclass(frozen=True)
class Exists(Predicate):
    """There is a position `Bound(level)` in [0, size) for which `body` holds."""

    level: int
    size: Index
    body: Predicate

    @cached_property
    def key(self) -> Key:
        return (head(self.body), 4, self.size.key, self.body.key)

    def __str__(self) -> str:
        return f"any({self.body} for {Bound(self.level)} < {self.size})"


@dataclass(frozen=True)
class Not(Predicate):
    """The opposite of a leaf or of a quantifier."""

    of: Predicate

    @cached_property
    def key(self) -> Key:
        return (*self.of.key, 1)

    def __str__(self) -> str:
        return str(self.of).replace(" == ", " != ") if isinstance(self.of, Zero) else f"not {self.of}"


@dataclass(frozen=True)
class And(Predicate):
    """All of `parts`, sorted; at least two, none of them an And."""

    parts: tuple[Predicate, ...]

    @cached_property
    def key(self) -> Key:
        return (head(self.parts[0]), 5, tuple(part.key for part in self.parts))

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


@dataclass(frozen=True)
class Or(Predicate):
    """One of `parts`, sorted; at least two, none of them an Or."""

    parts: tuple[Predicate, ...]

    @cached_property
    def key(self) -> Key:
        return (head(self.parts[0]), 6, tuple(part.key for part in self.parts))

    def __str__(self) -> str:
        return " or ".join(map(str, self.parts))


NO_TENSOR = 1 << 60
"""Sorts what reads no tensor behind what does."""


def head(predicate: Predicate) -> int:
    """The order of the first tensor that a predicate reads."""
    first = predicate.key[0]
    assert isinstance(first, int)
    return first


def first_load(index: Index) -> int:
    return min((atom.var.order for atom in index.atoms() if isinstance(atom, Load)), default=NO_TENSOR)


def has_positions(index: Index) -> bool:
    """Is it more than a size?"""
    return any(not isinstance(atom, Symbol) for atom in index.atoms())


def sides(index: Index) -> tuple[Index, Index]:
    """index = left - right, all coefficients positive."""
    left = Index(tuple(term for term in index.terms if term[1] > 0))
    return left, left - index


# -- boolean algebra ----------------------------------------------------------------------------------------------


def negation(predicate: Predicate) -> Predicate:
    """not predicate: the dual of a normal form is one"""
    match predicate:
        case Constant(value):
            return Constant(not value)
        case Not(of):
            return of
        case And(parts):
            return sole(Or, map(negation, parts))
        case Or(parts):
            return sole(And, map(negation, parts))
        case AtLeast(index):
            return AtLeast(-index - 1)
        case _:
            return Not(predicate)


def conjunction(parts: Iterable[Predicate]) -> Predicate:
    """All of `parts`."""
    return combine(And, Or, parts)


def disjunction(parts: Iterable[Predicate]) -> Predicate:
    """One of `parts`."""
    return combine(Or, And, parts)


def combine(kind: type[And] | type[Or], dual: type[And] | type[Or], parts: Iterable[Predicate]) -> Predicate:
    """`kind` of parts. Each part is a clause, the set that its dual joins; `resolve` knows the laws."""
    unit = Constant(kind is And)
    clauses: list[frozenset[Predicate]] = []
    pieces = list(dict.fromkeys(piece for part in parts for piece in flat(kind, part) if piece != unit))
    if len(pieces) == 1:
        return pieces[0]
    while pieces:
        if ~unit in pieces:
            return ~unit
        clauses += [frozenset(flat(dual, piece)) for piece in pieces if piece != unit]
        clauses = resolve(kind, clauses)
        if frozenset() in clauses:
            return ~unit
        nested = [clause for clause in clauses if len(clause) == 1 and isinstance(next(iter(clause)), kind)]
        pieces = [piece for clause in nested for part in clause for piece in flat(kind, part)]
        clauses = [clause for clause in clauses if clause not in nested]
    joined = [sole(dual, clause) for clause in clauses]
    return sole(kind, joined) if joined else unit


def flat(kind: type[And] | type[Or], part: Predicate) -> tuple[Predicate, ...]:
    """What `kind` joins in `part`."""
    return part.parts if isinstance(part, kind) else (part,)


def sole(kind: type[And] | type[Or], parts: Iterable[Predicate]) -> Predicate:
    """`kind` of parts that are in normal form; one part stands alone."""
    ordered = sorted(parts, key=lambda part: part.key)
    return kind(tuple(ordered)) if len(ordered) > 1 else ordered[0]


def resolve(kind: type[And] | type[Or], clauses: list[frozenset[Predicate]]) -> list[frozenset[Predicate]]:
    """Absorption, single clauses put in, and `a or (not a and b) = a or b`, until nothing changes."""
    while True:
        clauses = sorted(set(clauses), key=lambda clause: sorted(part.key for part in clause))
        clauses = [clause for clause in clauses if not any(other < clause for other in clauses)]
        given = frozenset(part for clause in clauses if len(clause) == 1 for part in clause)
        known = [clause if len(clause) == 1 else reduced(kind, clause, given) for clause in clauses]
        if known != clauses:
            clauses = [clause for clause in known if clause is not None]
            continue
        for one, other in permutations(clauses, 2):
            clash = next((part for part in sorted(one, key=lambda p: p.key) if ~part in other), None)
            if clash is not None and one - {clash} <= other - {~clash}:
                clauses.remove(other)
                clauses.append(other - {~clash})
                break
        else:
            return clauses


def reduced(
    kind: type[And] | type[Or], clause: frozenset[Predicate], given: frozenset[Predicate]
) -> frozenset[Predicate] | None:
    """`clause` beside `given`: parts that these refute are gone; None when it holds because of them."""
    parts: set[Predicate] = set()
    for part in clause:
        left = [piece for piece in flat(kind, part) if piece not in given]
        if not left:
            return None
        if not any(~piece in given for piece in left):
            parts |= set(flat(Or if kind is And else And, sole(kind, left)))
    return frozenset(parts)
