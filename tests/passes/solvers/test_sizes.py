"""Sizes as monomials, held against numbers put in for the symbols."""

from gossamer.passes.solvers.sizes import Monomial, Size, divide, product
from hypothesis import given
from hypothesis import strategies as st

SYMBOLS = {"s0": 3, "s1": 5, "u2": 7}
powers = st.dictionaries(st.sampled_from(sorted(SYMBOLS)), st.integers(1, 3))


@st.composite
def sizes(draw: st.DrawFn) -> Size:
    """`12`, `s0`, `4*s0**2*s1`, the factors in any order."""
    factors = [s if n == 1 else f"{s}**{n}" for s, n in draw(powers).items()]
    coefficient = draw(st.integers(0 if not factors else 1, 12))
    texts = draw(st.permutations(factors + ([str(coefficient)] if coefficient != 1 or not factors else [])))
    return "*".join(texts) if factors else coefficient


def number(size: Size) -> int:
    """The size with numbers for its symbols."""
    return size if isinstance(size, int) else eval(size, {}, SYMBOLS)


@given(sizes())
def test_reading_a_size_keeps_its_value_and_writing_it_is_canonical(size):
    written = Monomial.of(size).size
    assert number(written) == number(size)
    assert Monomial.of(written) == Monomial.of(size)


@given(st.lists(sizes(), max_size=4), st.randoms())
def test_a_product_is_the_product_in_any_order(factors, random):
    total = product(factors)
    expected = 1
    for factor in factors:
        expected *= number(factor)
    assert number(total) == expected
    random.shuffle(factors)
    assert product(factors) == total


@given(sizes(), sizes())
def test_division_undoes_a_product_and_is_exact(a, b):
    quotient = divide(a, b)
    if quotient is not None:
        assert number(quotient) * number(b) == number(a)
    if number(a) and number(b):
        assert divide(product([a, b]), b) == Monomial.of(a).size


def test_what_is_no_product_is_a_symbol_of_its_own():
    assert divide("s0 + 1", "s0") is None
    assert divide("s0 + 1", "s0 + 1") == 1
    assert divide("2*s0 + 1", 2) is None
    assert divide("s0 + 2*s1", "s1") is None
    assert divide("2*s0", "4") is None
    assert divide(0, 2) is None
    assert divide(4, 0) is None
