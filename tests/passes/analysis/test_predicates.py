"""Predicates, held against truth tables: whatever is simplified holds in the same places, and equal masks are equal."""

import itertools
import math
from collections.abc import Callable

import torch
from gossamer.passes.analysis.index_arithmetic import Ranges, quotient, remainder
from gossamer.passes.analysis.indices import Axis, Index, Load, Var, at_positions
from gossamer.passes.analysis.predicates import (
    ALWAYS,
    NEVER,
    Compare,
    NonZero,
    Predicate,
    at_least,
    axes,
    conjunction,
    disjunction,
    equal,
    exists,
    inside,
    leaves,
    nonzero,
    reindex,
    variables,
)
from gossamer.tests.passes.analysis.fact_checks import active
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

SIZES = (3, 4)
A, B, C, X, IDS = (Var(order, f"{name}'s value", name) for order, name in enumerate(("a", "b", "c", "x", "ids")))
I0, I1, I2 = (Index.of(Axis(axis)) for axis in range(3))
POSITIONS = torch.arange(3)[:, None].expand(SIZES), torch.arange(4).expand(SIZES)
RANGES = Ranges({Axis(0): Index.of(3), Axis(1): Index.of(4)})

Meant = tuple[Predicate, Callable[[dict[object, Tensor]], Tensor]]
"""A predicate and what it must mean."""

LEAVES: list[Meant] = [
    (NonZero(A, (I0, I1)), lambda v: v[A.value] != 0),
    (NonZero(B, (I1,)), lambda v: (v[B.value] != 0).expand(SIZES)),
    (NonZero(C, (I0,)), lambda v: (v[C.value] != 0)[:, None].expand(SIZES)),
    (Compare(X, "gt", 0.5, (I0, I1)), lambda v: v[X.value] > 0.5),
    (Compare(X, "le", 0.5, (I0, I1)), lambda v: v[X.value] <= 0.5),
    (at_least(I0 - I1), lambda v: POSITIONS[0] >= POSITIONS[1]),
    (at_least(I1 - 2, RANGES), lambda v: POSITIONS[1] >= 2),
    (equal(I0 + I1, 3), lambda v: POSITIONS[0] + POSITIONS[1] == 3),
    (equal(Index.of(Load(IDS, (I0,))), I1), lambda v: v[IDS.value][:, None] == POSITIONS[1]),
    (inside(I1 - 1, Index.of(2), RANGES), lambda v: (POSITIONS[1] >= 1) & (POSITIONS[1] < 3)),
    (ALWAYS, lambda v: torch.ones(SIZES, dtype=torch.bool)),
    (NEVER, lambda v: torch.zeros(SIZES, dtype=torch.bool)),
]


def both(one: Meant, other: Meant) -> Meant:
    return one[0] & other[0], lambda v: one[1](v) & other[1](v)


def one_of(one: Meant, other: Meant) -> Meant:
    return one[0] | other[0], lambda v: one[1](v) | other[1](v)


def opposite(one: Meant) -> Meant:
    return ~one[0], lambda v: ~one[1](v)


def some_column(one: Meant) -> Meant:
    """Somewhere along axis 1."""
    return exists(one[0], Axis(1), Index.of(4), RANGES), lambda v: one[1](v).any(1, keepdim=True).expand(SIZES)


def transposed_view(one: Meant) -> Meant:
    """Read in another order: element k of the flat tensor, backwards."""
    flat = -(I0 * 4 + I1) + 11
    at = (quotient(flat, Index.of(4), RANGES), remainder(flat, Index.of(4), RANGES))
    return reindex(one[0], at_positions(at), RANGES), lambda v: one[1](v).flatten().flip(0).reshape(SIZES)


def grown(max_leaves: int) -> st.SearchStrategy[Meant]:
    """Predicates made of so many leaves."""
    return st.recursive(
        st.sampled_from(LEAVES),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda pair: both(*pair)),
            st.tuples(inner, inner).map(lambda pair: one_of(*pair)),
            inner.map(opposite),
            inner.map(some_column),
            inner.map(transposed_view),
        ),
        max_leaves=max_leaves,
    )


meant, pairs_at_most = grown(8), grown(2)


def values(seed: int) -> dict[object, Tensor]:
    """Tensors with zeros of both signs, NaN and Inf."""
    generator = torch.Generator().manual_seed(seed)

    def real(*sizes: int) -> Tensor:
        kinds = torch.tensor([0.0, -0.0, 1.0, 0.5, math.nan, -math.inf])
        return kinds[torch.randint(0, 6, sizes, generator=generator)]

    ids = torch.randint(0, 4, (3,), generator=generator)
    return {A.value: real(3, 4), B.value: real(4), C.value: real(3), X.value: real(3, 4), IDS.value: ids}


@given(meant, st.integers(0, 1000))
def test_simplified_predicates_hold_in_the_same_places(pair: Meant, seed: int):
    predicate, meaning = pair
    assert torch.equal(active(predicate, SIZES, values(seed)), meaning(values(seed))), str(predicate)


@given(st.lists(meant, min_size=1, max_size=4), st.randoms())
def test_order_and_repetition_do_not_matter(pairs: list[Meant], random):
    parts = [predicate for predicate, _ in pairs]
    again = parts + parts[:2]
    random.shuffle(again)
    assert conjunction(again) == conjunction(parts)
    assert disjunction(again) == disjunction(parts)
    assert hash(conjunction(again)) == hash(conjunction(parts))


@given(meant)
def test_negation_is_its_own_inverse(pair: Meant):
    assert ~~pair[0] == pair[0]


@given(meant, meant)
def test_negation_turns_and_into_or(one: Meant, other: Meant):
    a, b = one[0], other[0]
    assert ~(a & b) == ~a | ~b


@given(st.sampled_from(LEAVES), pairs_at_most)
def test_absorption_and_complement(one: Meant, other: Meant):
    a, b = one[0], other[0]
    assert a & (a | b) == a | (a & b) == a
    assert a & (~a | b) == a & b
    assert b & ~b == NEVER
    assert b | ~b == ALWAYS


@given(meant)
def test_a_predicate_depends_on_its_axes_only(pair: Meant):
    predicate, found = pair[0], active(pair[0], SIZES, values(1))
    for axis in {0, 1} - set(axes(predicate)):
        assert torch.equal(found, found.select(axis, 0).unsqueeze(axis).expand(SIZES))


@given(st.permutations([NonZero(var, (I0,)) for var in (A, B, C)]))
def test_operands_stand_in_the_order_of_their_definition(parts: list[Predicate]):
    assert str(conjunction(parts)) == "nz(%a) and nz(%b) and nz(%c)"
    assert str(disjunction(parts)) == "nz(%a) or nz(%b) or nz(%c)"


def test_predicates_read_as_sentences():
    a, b = nonzero(A, 2), nonzero(B, 1)
    assert str(a) == "nz(%a)"
    assert str(NonZero(A, (I1, I0))) == "nz(%a)[i1, i0]"
    assert str(b & ~nonzero(C, 1)) == "nz(%b) and not nz(%c)"
    assert str((a | b) & nonzero(C, 1)) == "(nz(%a) or nz(%b)) and nz(%c)"
    assert str(at_least(I0 - I1)) == "i0 >= i1"
    assert str(~at_least(I0 - I1)) == "i1 > i0"
    assert str(at_least(-I0 + 2)) == "i0 < 3"
    assert str(~equal(Index.of(Load(IDS, (I0,))), 2)) == "%ids != 2"
    assert str(exists(a, Axis(1), Index.of("s1"))) == "any(nz(%a)[i0, j1] for j1 < s1)"


def test_comparisons_of_whole_numbers_are_decided_where_they_can_be():
    assert at_least(I0, RANGES) == ALWAYS
    assert at_least(I0 - 3, RANGES) == NEVER
    assert equal(I0 * 2, 5) == NEVER
    assert equal(I0, 7, RANGES) == NEVER
    assert ~at_least(I0 - 1) == at_least(-I0)
    assert at_least(I0 * 2 - 5) == at_least(I0 - 3)


def test_nan_stands_in_no_relation_so_not_greater_is_not_less_or_equal():
    assert ~Compare(X, "gt", 0.5, (I0, I1)) != Compare(X, "le", 0.5, (I0, I1))


def test_choosing_between_the_same_is_no_choice():
    a, b, c = (nonzero(var, 1) for var in (A, B, C))
    assert (c & a) | (~c & a) == a
    assert c | (~c & b) == c | b
    assert (c & a) | (~c & b) == (~c & b) | (c & a)


def test_a_quantifier_keeps_to_what_depends_on_it():
    a, b = nonzero(A, 2), NonZero(B, (I0,))
    size = Index.of(4)
    assert exists(a & b, Axis(1), size) == exists(a, Axis(1), size) & b
    assert exists(b, Axis(1), size) == b
    assert str(exists(b, Axis(1), Index.of("s1"))) == "nz(%b) and s1 > 0"
    assert exists(b, Axis(1), Index.of("s1"), Ranges(minima={"s1": 2})) == b


def test_a_quantifier_over_one_position_is_that_position():
    ids = Index.of(Load(IDS, (I0,)))
    found = exists(equal(ids, I1) & nonzero(A, 2), Axis(1), Index.of(4))
    assert found == NonZero(A, (I0, ids)) & inside(ids, Index.of(4))


def test_a_causal_row_always_sees_itself():
    known = Ranges({Axis(0): Index.of("s0"), Axis(1): Index.of("s0")}, {"s0": 2})
    assert exists(at_least(I0 - I1), Axis(1), Index.of("s0"), known) == ALWAYS


def test_bound_positions_have_no_names():
    one = exists(NonZero(A, (I0, I1)), Axis(1), Index.of(4))
    other = exists(NonZero(A, (I0, I2)), Axis(2), Index.of(4))
    assert one == other
    nested = exists(exists(NonZero(A, (I1, I2)), Axis(2), Index.of(4)), Axis(1), Index.of(3))
    assert str(nested) == "any(any(nz(%a)[j2, j1] for j1 < 4) for j2 < 3)"


def test_a_gather_reads_through_an_index_tensor():
    moved = reindex(nonzero(B, 1), {Axis(0): Index.of(Load(IDS, (I0, I1)))})
    assert str(moved) == "nz(%b)[%ids]"
    assert variables(moved) == (B, IDS)


def test_leaves_and_tensors_are_told():
    predicate = nonzero(C, 1) & (nonzero(A, 2) | ~nonzero(B, 1))
    assert [str(leaf) for leaf in leaves(predicate)] == ["nz(%a)", "nz(%b)", "nz(%c)"]
    assert variables(predicate) == (A, B, C)
    assert axes(predicate) == (0, 1)


def test_tensors_of_two_programs_differ_though_they_are_defined_alike():
    assert NonZero(Var(0, "one"), (I0,)) != NonZero(Var(0, "other"), (I0,))
    assert NonZero(Var(0, "one", "x"), (I0,)) == NonZero(Var(0, "one", "y"), (I0,))


def test_all_truth_tables_of_two_masks_are_told_apart():
    a, b = nonzero(A, 1), nonzero(B, 1)
    terms = [(a & b), (a & ~b), (~a & b), (~a & ~b)]
    functions = {disjunction(chosen) for n in range(5) for chosen in itertools.combinations(terms, n)}
    assert len(functions) == 16
