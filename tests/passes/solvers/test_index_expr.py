"""Simplification never changes a value; ways to write one mask come out as one expression."""

from itertools import permutations

import torch
from gossamer.passes.solvers.index_expr import (
    FALSE,
    TRUE,
    Apply,
    Axis,
    Constant,
    Element,
    Expr,
    apply,
    axes_of,
    conjuncts,
    sources_of,
    substitute,
)
from gossamer.tests.passes.expressions import evaluate
from hypothesis import given, settings
from hypothesis import strategies as st

SPACE = (3, 4)
MASK, OTHER = (Element(name, (Axis(0), Axis(1)), True) for name in ("mask", "other"))
WHOLE, FLOATS = (Element(name, (Axis(0), Axis(1)), False) for name in ("integers", "floats"))
LENGTH = Element("length", (Axis(0),), False)


def tensors(seed: int) -> dict[str, torch.Tensor]:
    """New values for every source; floats hold NaN and zeros too."""
    draw = torch.Generator().manual_seed(seed)
    odd = torch.tensor([0.0, -0.0, torch.nan, torch.inf, 1.0, -1.5, 2.0])
    return {
        "mask": torch.rand(SPACE, generator=draw) < 0.5,
        "other": torch.rand(SPACE, generator=draw) < 0.5,
        "integers": torch.randint(-1, 3, SPACE, generator=draw),
        "floats": odd[torch.randint(0, len(odd), SPACE, generator=draw)],
        "length": torch.randint(0, 4, SPACE[:1], generator=draw),
    }


INF = float("inf")
leaves: st.SearchStrategy[Expr] = st.sampled_from(
    [Axis(0), Axis(1), MASK, OTHER, WHOLE, FLOATS, LENGTH, TRUE, FALSE]
    + [Constant(v) for v in (-1, 0, 1, 2, 0.0, -0.0, 1.0, 0.5, -2.0, INF, -INF, float("nan"))]
)
TWO = ("lt", "le", "gt", "ge", "eq", "ne", "add", "sub", "mul", "and", "or")


def grown(inner: st.SearchStrategy[tuple[Expr, Expr]]) -> st.SearchStrategy[tuple[Expr, Expr]]:
    """An expression as it is built by `apply`, beside the same one left as it was written."""

    def written(name: str, parts: tuple[tuple[Expr, Expr], ...]) -> tuple[Expr, Expr]:
        return apply(name, *(p[0] for p in parts)), Apply(name, tuple(p[1] for p in parts))

    return st.one_of(
        st.builds(lambda n, a, b: written(n, (a, b)), st.sampled_from(TWO), inner, inner),
        st.builds(lambda n, a: written(n, (a,)), st.sampled_from(("not", "nz", "number")), inner),
        st.builds(lambda c, a, b: written("where", (c, a, b)), inner, inner, inner),
    )


expressions = st.recursive(leaves.map(lambda e: (e, e)), grown, max_leaves=8)


def values(e: Expr, seed: int) -> torch.Tensor:
    return evaluate(e, SPACE, tensors(seed)).to(torch.float64)


@settings(max_examples=600, deadline=None)
@given(expressions, st.integers(0, 10**6))
def test_simplification_never_changes_the_value(pair, seed):
    simplified, plain = pair
    found, wanted = values(simplified, seed), values(plain, seed)
    assert torch.allclose(found, wanted, rtol=0, atol=0, equal_nan=True), (simplified, plain)


@settings(max_examples=200, deadline=None)
@given(expressions, st.integers(0, 10**6))
def test_reading_at_swapped_indices_transposes(pair, seed):
    simplified, plain = pair
    swapped = substitute(simplified, lambda k: Axis(1 - k))
    found = evaluate(swapped, SPACE[::-1], tensors(seed)).to(torch.float64)
    assert torch.allclose(found, values(plain, seed).T, equal_nan=True, rtol=0, atol=0)


@settings(max_examples=200, deadline=None)
@given(expressions, st.integers(0, 10**6), st.integers(0, 10**6))
def test_an_expression_depends_on_nothing_but_its_sources_and_axes(pair, seed, other):
    e = pair[0]
    first, second = tensors(seed), tensors(other)
    mixed = {name: (first if name in sources_of(e) else second)[name] for name in first}
    assert torch.equal(evaluate(e, SPACE, first).nan_to_num(7), evaluate(e, SPACE, mixed).nan_to_num(7))
    found = evaluate(e, SPACE, first)
    for axis in {0, 1} - axes_of(e):
        assert torch.equal(found.nan_to_num(7), found.narrow(axis, 0, 1).expand(SPACE).nan_to_num(7))


@settings(max_examples=200, deadline=None)
@given(expressions, st.integers(0, 10**6))
def test_conjuncts_together_are_the_whole(pair, seed):
    e = apply("nz", pair[0])
    assert torch.equal(values(apply("and", *conjuncts(e)), seed), values(e, seed))


def same(*ways: Expr) -> bool:
    return len(set(ways)) == 1


def test_one_mask_written_in_many_ways_is_one_expression():
    number = apply("number", MASK)
    assert same(
        MASK,
        apply("not", apply("not", MASK)),
        apply("nz", number),
        apply("ne", MASK, Constant(0)),
        apply("eq", MASK, Constant(1)),
        apply("eq", MASK, Constant(True)),
        apply("and", MASK, TRUE),
        apply("or", MASK, FALSE, MASK),
        apply("where", MASK, TRUE, FALSE),
        apply("where", apply("not", MASK), FALSE, TRUE),
        apply("not", apply("nz", apply("sub", Constant(1), number))),
    )
    assert same(
        apply("le", Axis(1), Axis(0)), apply("ge", Axis(0), Axis(1)), apply("not", apply("lt", Axis(0), Axis(1)))
    )


def test_operands_of_a_conjunction_have_one_order():
    parts = (MASK, apply("nz", WHOLE), apply("le", Axis(1), Axis(0)))
    assert same(*(apply("and", *order) for order in permutations(parts)))
    assert same(*(apply("or", a, apply("or", b, c)) for a, b, c in permutations(parts)))


def test_a_mask_and_its_opposite_exclude_each_other():
    assert apply("and", MASK, apply("not", MASK)) == FALSE
    assert apply("or", MASK, apply("not", MASK)) == TRUE


def test_nan_is_neither_below_nor_above():
    below = apply("lt", FLOATS, Constant(1.0))
    assert apply("not", below) != apply("ge", FLOATS, Constant(1.0))
    assert apply("not", apply("lt", Axis(0), Constant(1))) == apply("ge", Axis(0), Constant(1))
    assert apply("eq", FLOATS, FLOATS) != TRUE


def test_infinity_times_an_index_may_be_nan():
    product = apply("mul", Axis(0), Constant(INF))
    assert apply("le", Constant(0), product) != TRUE
    assert apply("lt", product, Constant(0)) != FALSE
    assert apply("le", Constant(0), apply("mul", Axis(0), Constant(2))) == TRUE
    assert apply("lt", apply("add", Axis(0), Constant(1)), Constant(0)) == FALSE


def test_a_choice_is_made_where_the_condition_or_the_answer_is_known():
    assert apply("where", TRUE, WHOLE, FLOATS) == WHOLE
    assert apply("where", FALSE, WHOLE, FLOATS) == FLOATS
    assert apply("where", MASK, WHOLE, WHOLE) == WHOLE
    assert same(apply("where", apply("not", MASK), FLOATS, WHOLE), apply("where", MASK, WHOLE, FLOATS))


def test_sums_and_products_with_a_mask_are_choices_between_constants():
    chosen = apply("where", MASK, Constant(3), Constant(-1))
    assert apply("add", chosen, Constant(1)) == apply("where", MASK, Constant(4), Constant(0))
    assert apply("sub", Constant(1), chosen) == apply("where", MASK, Constant(-2), Constant(2))
    assert apply("mul", apply("number", MASK), Constant(5)) == apply("where", MASK, Constant(5), Constant(0))
    assert apply("nz", apply("add", chosen, Constant(1))) == MASK
    assert (
        apply("add", WHOLE, Constant(0))
        == apply("sub", WHOLE, Constant(0))
        == apply("add", Constant(0), WHOLE)
        == WHOLE
    )


def test_zero_is_what_equals_it():
    assert same(apply("nz", WHOLE), apply("ne", WHOLE, Constant(0)), apply("ne", Constant(0), WHOLE))
    assert same(apply("not", apply("nz", WHOLE)), apply("eq", WHOLE, Constant(0)))
    assert same(apply("not", MASK), apply("ne", MASK, Constant(1)), apply("eq", MASK, Constant(0)))
    assert apply("eq", WHOLE, Constant(1)) == Apply("eq", (WHOLE, Constant(1)))
    assert apply("eq", Axis(0), Constant(0)) == Apply("eq", (Axis(0), Constant(0)))
    assert apply("le", Axis(0), Axis(0)) == TRUE
    assert apply("ne", Axis(0), Axis(0)) == FALSE


def test_the_opposite_of_a_comparison_with_what_may_be_nan_is_written_out():
    for name in ("lt", "le"):
        for a, b in ((FLOATS, Constant(1)), (Axis(0), Constant(float("nan"))), (Axis(0), Constant(0.5))):
            below = apply(name, a, b)
            assert apply("not", below) == Apply("not", (below,))
    assert apply("not", apply("le", Axis(0), Axis(1))) == apply("lt", Axis(1), Axis(0))


def test_nothing_minus_something_is_not_it():
    assert apply("sub", Constant(0), WHOLE) == Apply("sub", (Constant(0), WHOLE))
