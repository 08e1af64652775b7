"""Indices as polynomials: where an op reads, as a formula in the position that it writes.

    view [s0, s1, 8] -> [s0*s1, 8]       reads   i0 // s1, i0 % s1, i1
    view back [s0*s1, 8] -> [s0, s1, 8]  reads   i0*s1 + i1, i2        and (i0*s1 + i1) // s1 is i0 again
    slice(start = 2, step = 3)           reads   3*i0 + 2
    index_select(x, 0, idx)              reads   %idx[i0]

Coefficients are whole numbers; the atoms of a polynomial are size symbols, positions `i0, i1, ..` on free axes,
bound positions `j1, ..` of a quantifier, quotients and remainders, and entries of integer tensors. Like terms are
collected, so that equal indices are equal objects; `index_arithmetic.py` divides and substitutes. Pure mathematics.
"""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TypeAlias

Key: TypeAlias = "tuple[int | str | Key, ...]"


@dataclass(frozen=True)
class Var:
    """A tensor of the program. `order` says how early it is defined; `value` tells programs apart."""

    order: int
    value: object = None
    name: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"%{self.name or self.order}"


@dataclass(frozen=True)
class Symbol:
    """A size that is known only at run time."""

    name: str

    @property
    def key(self) -> Key:
        return (5, self.name)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Axis:
    """The position on free axis `number`."""

    number: int

    @property
    def key(self) -> Key:
        return (0, self.number)

    def __str__(self) -> str:
        return f"i{self.number}"


@dataclass(frozen=True)
class Bound:
    """The position that a quantifier at height `level` runs over."""

    level: int

    @property
    def key(self) -> Key:
        return (1, self.level)

    def __str__(self) -> str:
        return f"j{self.level}"


@dataclass(frozen=True)
class Load:
    """An entry of an integer tensor."""

    var: Var
    at: "tuple[Index, ...]"

    @cached_property
    def key(self) -> Key:
        return (2, self.var.order, tuple(index.key for index in self.at))

    def __str__(self) -> str:
        return f"{self.var}{subscript(self.at)}"


@dataclass(frozen=True)
class Quotient:
    """dividend // divisor, rounded down."""

    dividend: "Index"
    divisor: "Index"

    @cached_property
    def key(self) -> Key:
        return (3, self.dividend.key, self.divisor.key)

    def __str__(self) -> str:
        return f"({self.dividend.factor} // {self.divisor.factor})"


@dataclass(frozen=True)
class Remainder:
    """dividend % divisor, from 0 up to the divisor."""

    dividend: "Index"
    divisor: "Index"

    @cached_property
    def key(self) -> Key:
        return (4, self.dividend.key, self.divisor.key)

    def __str__(self) -> str:
        return f"({self.dividend.factor} % {self.divisor.factor})"


Atom: TypeAlias = Symbol | Axis | Bound | Load | Quotient | Remainder
Monomial: TypeAlias = tuple[Atom, ...]


@dataclass(frozen=True)
class Index:
    """A sum of coefficient * atoms, collected and sorted."""

    terms: tuple[tuple[Monomial, int], ...] = ()

    @classmethod
    def of(cls, source: "int | str | Atom | Index") -> "Index":
        """A number, a size expression, an atom."""
        if isinstance(source, Index):
            return source
        match source:
            case int():
                return cls((((), source),) if source else ())
            case str():
                return parse(source)
            case _:
                return cls((((source,), 1),))

    @cached_property
    def key(self) -> Key:
        return tuple((monomial_key(monomial), coefficient) for monomial, coefficient in self.terms)

    @property
    def number(self) -> int | None:
        """The value of a constant."""
        if not self.terms:
            return 0
        monomial, coefficient = self.terms[0]
        return coefficient if len(self.terms) == 1 and not monomial else None

    @property
    def atom(self) -> Atom | None:
        """The atom, where the index is nothing more."""
        if len(self.terms) == 1 and self.terms[0][1] == 1 and len(self.terms[0][0]) == 1:
            return self.terms[0][0][0]
        return None

    def atoms(self) -> Iterator[Atom]:
        """Every atom, those inside quotients, remainders and subscripts too, from left to right."""
        for monomial, _ in self.terms:
            for atom in monomial:
                yield atom
                for part in parts(atom):
                    yield from part.atoms()

    def coefficient(self, atom: Atom) -> "Index":
        """What stands before `atom`."""
        return collect({without(m, atom): c for m, c in self.terms if atom in m})

    def __add__(self, other: "Index | int") -> "Index":
        added = Index.of(other)
        if not self.terms or not added.terms:
            return self if self.terms else added
        total = dict(self.terms)
        for monomial, coefficient in added.terms:
            total[monomial] = total.get(monomial, 0) + coefficient
        return collect(total)

    def __neg__(self) -> "Index":
        return Index(tuple((monomial, -coefficient) for monomial, coefficient in self.terms))

    def __sub__(self, other: "Index | int") -> "Index":
        return self + -Index.of(other)

    def __mul__(self, other: "Index | int") -> "Index":
        left, right = self, Index.of(other)
        if left.number is not None:
            left, right = right, left
        if (factor := right.number) is not None:
            return Index(tuple((m, c * factor) for m, c in left.terms)) if factor else Index()
        total: Counter[Monomial] = Counter()
        for m, c in left.terms:
            for n, d in right.terms:
                total[tuple(sorted((*m, *n), key=lambda atom: atom.key))] += c * d
        return collect(total)

    @property
    def factor(self) -> str:
        """The text where it is a factor of something."""
        text = str(self)
        return f"({text})" if len(self.terms) > 1 else text

    def __str__(self) -> str:
        ordered = [term for term in self.terms if term[0]] + [term for term in self.terms if not term[0]]
        text = " + ".join(map(show_term, ordered)).replace("+ -", "- ") or "0"
        whole = self.atom
        return text[1:-1] if isinstance(whole, Quotient | Remainder) else text


def show_term(term: tuple[Monomial, int]) -> str:
    monomial, coefficient = term
    atoms = "*".join(map(str, monomial))
    if not monomial or abs(coefficient) != 1:
        return f"{coefficient}*{atoms}" if atoms else str(coefficient)
    return atoms if coefficient == 1 else f"-{atoms}"


def subscript(at: tuple[Index, ...]) -> str:
    """`[i1, i0]`; nothing where a tensor is read at its own position."""
    if all(index.atom == Axis(axis) for axis, index in enumerate(at)):
        return ""
    return f"[{', '.join(map(str, at))}]"


def parts(atom: Atom) -> tuple[Index, ...]:
    """The indices inside an atom."""
    match atom:
        case Load(at=at):
            return at
        case Quotient(dividend, divisor) | Remainder(dividend, divisor):
            return dividend, divisor
        case _:
            return ()


def at_positions(at: tuple[Index, ...]) -> dict[Atom, Index]:
    """What stands for position i0, i1, .. of a tensor that is read at `at`."""
    return {Axis(axis): index for axis, index in enumerate(at)}


def monomial_key(monomial: Monomial) -> Key:
    return tuple(atom.key for atom in monomial)


def without(monomial: Monomial, atom: Atom) -> Monomial:
    """`monomial` divided by `atom`."""
    position = monomial.index(atom)
    return (*monomial[:position], *monomial[position + 1 :])


def collect(total: Mapping[Monomial, int]) -> Index:
    """The sum of terms, without those that cancelled."""
    kept = [(monomial, coefficient) for monomial, coefficient in total.items() if coefficient]
    if len(kept) > 1:
        kept.sort(key=lambda term: monomial_key(term[0]))
    return Index(tuple(kept))


# -- sizes ------------------------------------------------------------------------------------------------------


@lru_cache
def parse(text: str) -> Index:
    """A size expression; what is no sum of products is a symbol of its own."""
    try:
        return read(ast.parse(text, mode="eval").body)
    except SyntaxError:
        return Index.of(Symbol(text))


def read(node: ast.expr) -> Index:
    match node:
        case ast.Constant(value=int(number)):
            return Index.of(number)
        case ast.Name(id=name):
            return Index.of(Symbol(name))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -read(operand)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return read(left) + read(right)
        case ast.BinOp(op=ast.Sub(), left=left, right=right):
            return read(left) - read(right)
        case ast.BinOp(op=ast.Mult(), left=left, right=right):
            return read(left) * read(right)
        case ast.BinOp(op=ast.Pow(), left=left, right=ast.Constant(value=int(power))) if power > 0:
            result = read(left)
            for _ in range(power - 1):
                result = result * read(left)
            return result
        case _:
            return Index.of(Symbol(ast.unparse(node)))


def product(sizes: "tuple[Index, ...] | list[Index]") -> Index:
    """The product of sizes."""
    total = Index.of(1)
    for size in sizes:
        total = total * size
    return total
