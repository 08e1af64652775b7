"""Index arithmetic, held against whole numbers: whatever is simplified stays the same number."""

import itertools
import math

from gossamer.passes.analysis.fact_moves import matched, unravel
from gossamer.passes.analysis.index_arithmetic import Ranges, divide, quotient, remainder, substitute
from gossamer.passes.analysis.indices import Atom, Axis, Index, Load, Quotient, Remainder, Symbol, Var, at_positions
from hypothesis import given
from hypothesis import strategies as st

I0, I1, I2 = (Index.of(Axis(axis)) for axis in range(3))


def number(index: Index, at: dict[Atom, int]) -> int:
    """The value of an index where atoms have these values."""
    return sum(c * math.prod(atom_number(atom, at) for atom in monomial) for monomial, c in index.terms)


def atom_number(atom: Atom, at: dict[Atom, int]) -> int:
    match atom:
        case Quotient(dividend, divisor):
            return number(dividend, at) // number(divisor, at)
        case Remainder(dividend, divisor):
            return number(dividend, at) % number(divisor, at)
        case _:
            return at[atom]


def points(sizes: list[int]) -> list[dict[Atom, int]]:
    return [dict(zip(map(Axis, range(len(sizes))), at, strict=True)) for at in itertools.product(*map(range, sizes))]


def ranges(sizes: list[int]) -> Ranges:
    return Ranges({Axis(axis): Index.of(size) for axis, size in enumerate(sizes)})


small = st.integers(-6, 6)
sums = st.tuples(small, small, small).map(lambda c: I0 * c[0] + I1 * c[1] + c[2])


@given(sums, st.integers(1, 9))
def test_quotient_and_remainder_are_those_of_whole_numbers(index: Index, divisor: int):
    sizes = [4, 5]
    whole, rest = (f(index, Index.of(divisor), ranges(sizes)) for f in (quotient, remainder))
    for at in points(sizes):
        assert number(whole, at) == number(index, at) // divisor
        assert number(rest, at) == number(index, at) % divisor


@given(sums, sums, st.integers(1, 6))
def test_substitution_is_composition(index: Index, inner: Index, divisor: int):
    outer = quotient(index, Index.of(divisor)) + remainder(index, Index.of(divisor)) * 2
    composed = substitute(outer, {Axis(0): inner}, ranges([4, 5]))
    for at in points([4, 5]):
        assert number(composed, at) == number(outer, at | {Axis(0): number(inner, at)})


@given(sums, sums)
def test_division_leaves_a_rest(index: Index, by: Index):
    if by.terms:
        whole, rest = divide(index, by)
        assert whole * by + rest == index


@given(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=4), st.data())
def test_a_reshape_reads_in_row_major_order(before: list[int], data: st.DataObject):
    count = math.prod(before)
    after = [1] * data.draw(st.integers(0, 2))
    while count > 1:
        after.append(data.draw(st.sampled_from([d for d in range(2, count + 1) if count % d == 0])))
        count //= after[-1]
    sizes = tuple(map(Index.of, after))
    at: list[Index] = []
    start = 0
    for group, end in matched(tuple(map(Index.of, before)), sizes):
        flat = Index()
        for axis in range(start, end):
            flat = flat * sizes[axis] + Index.of(Axis(axis))
        at += unravel(flat, group, ranges(after))
        start = end
    assert len(at) == len(before)
    for place, point in enumerate(points(after)):
        read = [number(index, point) for index in at]
        assert sum(i * math.prod(before[axis + 1 :]) for axis, i in enumerate(read)) == place


def test_a_view_with_symbols_and_back_is_nothing():
    batch, length, width = Index.of("s0"), Index.of("s1"), Index.of(768)
    flat = Ranges({Axis(0): batch * length, Axis(1): width}, {"s0": 2, "s1": 2})
    full = Ranges({Axis(0): batch, Axis(1): length, Axis(2): width}, {"s0": 2, "s1": 2})
    down = (quotient(I0, length, flat), remainder(I0, length, flat), I1)
    assert [str(index) for index in down] == ["i0 // s1", "i0 % s1", "i1"]
    back = at_positions((I0 * length + I1, I2))
    assert [substitute(index, back, full) for index in down] == [I0, I1, I2]
    assert substitute(I0 * length + I1, at_positions(down), flat) == I0


def test_sizes_that_are_sums_divide_too():
    size = Index.of("s0 + 1")
    known = Ranges({Axis(0): Index.of(4), Axis(1): size})
    assert quotient(I0 * size + I1, size, known) == I0
    assert remainder(I0 * size + I1, size, known) == I1


def test_what_is_not_known_to_be_within_range_stays():
    assert str(quotient(I0 * 8 + I1, Index.of(8))) == "i0 + (i1 // 8)"
    assert str(remainder(I0 * 8 + I1, Index.of(8))) == "i1 % 8"


def test_symbols_have_a_least_value():
    size = Index.of("s0")
    assert Ranges(minima={"s0": 2}).nonnegative(size - 2)
    assert not Ranges().nonnegative(size - 2)


def test_size_expressions_are_read_as_polynomials():
    assert Index.of("4*s72") == Index.of(Symbol("s72")) * 4
    assert Index.of("s25*s28") == Index.of("s28*s25")
    assert Index.of("(s0 + 1)**2") == Index.of("s0**2 + 2*s0 + 1")
    assert str(Index.of("(s0//2)")) == "s0 // 2"


def test_entries_of_integer_tensors_are_atoms():
    entry = Index.of(Load(Var(3, name="idx"), (I1,)))
    assert str(entry + I0 * 2 - 1) == "2*i0 + %idx[i1] - 1"
    assert substitute(entry, {Axis(1): I0}) == Index.of(Load(Var(3), (I0,)))
