"""Lists of positions: by example, and that no list ever misses a position."""

import torch
from gossamer.passes.analysis.index_arithmetic import Ranges, remainder
from gossamer.passes.analysis.indices import Axis, Bound, Index, Load, Var
from gossamer.passes.analysis.listed import Listing, listings
from gossamer.passes.analysis.predicates import ALWAYS, NEVER, NonZero, Predicate, at_least, equal, exists, inside
from gossamer.tests.passes.analysis.fact_checks import active
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

ROWS, SIZE = 3, 6
K, J, M = (Var(order, f"{name}'s value", name) for order, name in enumerate("kjm"))
ROW, COLUMN = Index.of(Axis(0)), Index.of(Axis(1))
RANGES = Ranges({Axis(0): Index.of(ROWS), Axis(1): Index.of(SIZE)})
ENTRY = Axis(2)
WITHIN = RANGES.with_size(ENTRY, Index.of(2))


def some(index: Index) -> Predicate:
    """Is the column one that `index` names, for an entry of it?"""
    return exists(equal(index, COLUMN, WITHIN), ENTRY, Index.of(2), WITHIN)


def entry(var: Var, *at: Index) -> Index:
    return Index.of(Load(var, (*at, Index.of(ENTRY))))


def wrapped(index: Index, size: int = SIZE) -> Index:
    return remainder(index, Index.of(size), WITHIN)


KEPT = NonZero(M, (ROW,))
FOUR = equal(COLUMN, 4, RANGES)
PREDICATES: dict[str, tuple[Predicate, list[Listing]]] = {
    "entries": (some(entry(K)), [Listing(((K, 0),))]),
    "of every row": (some(entry(J, ROW)), [Listing(((J, 0),))]),
    "counted from the end": (some(wrapped(entry(K))), [Listing(((K, 0),))]),
    "counted from another end": (some(wrapped(entry(K), SIZE - 1)), []),
    "moved": (some(wrapped(entry(K) + 3)), [Listing(((K, 3),))]),
    "moved back": (some(entry(K) - 1), [Listing(((K, -1),))]),
    "a position": (FOUR, [Listing(positions=(4,))]),
    "some rows of a position": (KEPT & FOUR, [Listing(positions=(4,))]),
    "either": (FOUR | some(entry(K)) | some(entry(J, ROW)), [Listing(((K, 0), (J, 0)), (4,))]),
    "both": (some(entry(K)) & some(entry(J, ROW)), [Listing(((K, 0),)), Listing(((J, 0),))]),
    "a list or a mask": (FOUR | KEPT, []),
    "twice as far": (some(entry(K) * 2), []),
    "where the list says": (some(Index.of(Load(K, (COLUMN,)))), []),
    "a range": (inside(COLUMN - 1, Index.of(2), RANGES), []),
    "rows only": (equal(ROW, 1, RANGES), []),
    "all": (ALWAYS, []),
    "none": (NEVER, [Listing()]),
}


def values(seed: int) -> dict[object, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    entries, rows = (torch.randint(0, SIZE, sizes, generator=generator) for sizes in ((2,), (ROWS, 2)))
    return {K.value: entries, J.value: rows, M.value: torch.randint(0, 2, (ROWS,), generator=generator)}


def test_lists_are_read_off():
    for name, (predicate, expected) in PREDICATES.items():
        assert listings(predicate, 1, SIZE) == expected, name


LEAVES = st.sampled_from([predicate for predicate, _ in PREDICATES.values()])
GROWN = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        inner.map(lambda predicate: ~predicate),
        inner.map(lambda predicate: exists(predicate, Axis(0), Index.of(ROWS), RANGES)),
    ),
    max_leaves=5,
)


@given(GROWN, st.integers(0, 1000))
def test_no_list_misses_a_position(predicate: Predicate, seed: int):
    tensors = values(seed)
    holds = active(predicate, (ROWS, SIZE), tensors).any(0).nonzero().flatten().tolist()
    for found in listings(predicate, 1, SIZE):
        entries = [e + offset for var, offset in found.entries for e in tensors[var.value].flatten().tolist()]
        named = {e % SIZE for e in entries} | set(found.positions)
        assert named >= set(holds), str(predicate)


def test_a_bound_position_is_not_the_axis():
    """The position of a quantifier runs over something else."""
    assert listings(equal(Index.of(Bound(1)), 3), 1, SIZE) == []
    assert listings(at_least(COLUMN - 5), 1, SIZE) == []
