"""Which tiles win: by overlap, by height, by what finding them costs."""

import pytest
from gossamer.dialects.tiles import HEIGHTS as KNOWN
from gossamer.passes.solvers.skipping import union
from gossamer.passes.solvers.tiles import (
    HEIGHTS,
    Candidate,
    TiledProduct,
    Tiler,
    by_candidate,
    candidates,
    choose,
)

MACHINE = Tiler()
MANY = TiledProduct(rows=128, inputs=3072, outputs=768, width=4)
FEW = TiledProduct(rows=16, inputs=3072, outputs=768, width=4)


def unshared(density: float) -> dict[Candidate, float]:
    """Rows that are active at random: nothing to bring together."""
    own = [union(density, height) for height in HEIGHTS]
    return by_candidate(own, own)


def clusters(density: float, groups: int) -> dict[Candidate, float]:
    """Neighbours of different groups."""
    own = [union(density, min(height, groups)) for height in HEIGHTS]
    return by_candidate(own, [density] * len(HEIGHTS))


def test_the_heights_are_those_of_the_dialect():
    assert HEIGHTS == KNOWN


def test_tiles_are_lower_than_all_rows_together():
    assert candidates(1) == []
    assert candidates(2) == [Candidate(1)]
    assert {one.height for one in candidates(16)} == {1, 2, 4, 8}
    assert {one.height for one in candidates(17)} == set(HEIGHTS)
    assert Candidate(1, True) not in candidates(64)


def test_groups_of_rows_are_brought_together():
    choice = choose(MANY, clusters(0.05, 4), union(0.05, 4), MACHINE)
    assert choice.candidate is not None
    assert choice.candidate.clustered
    assert choice.candidate.height >= 8
    assert choice.gain > 5.0


def test_rows_without_overlap_are_left_in_their_order_in_low_tiles():
    choice = choose(MANY, unshared(0.05), union(0.05, 128), MACHINE)
    assert choice.candidate is not None
    assert not choice.candidate.clustered
    assert choice.candidate.height <= 8
    assert choice.density < 0.4


@pytest.mark.parametrize("density", [0.5, 0.9, 1.0])
def test_rows_that_are_not_sparse_stay_dense(density: float):
    assert choose(MANY, unshared(density), union(density, 128), MACHINE).candidate is None


def test_a_union_that_is_as_sparse_as_its_rows_is_kept():
    shared = dict.fromkeys(clusters(0.1, 1), 0.1)
    assert choose(FEW, shared, 0.1, MACHINE, skips=True).candidate is None
    assert choose(FEW, unshared(0.1), union(0.1, 16), MACHINE, skips=True).candidate is not None


def test_nothing_is_chosen_without_kernels_or_for_other_numbers():
    densities, over_all = clusters(0.05, 4), union(0.05, 4)
    assert choose(MANY, densities, over_all, Tiler(rates=())).candidate is None
    assert choose(TiledProduct(128, 3072, 768, 8), densities, over_all, MACHINE).candidate is None
    assert choose(MANY, {}, over_all, MACHINE).candidate is None


def test_a_library_that_is_fast_at_bf16_leaves_less_to_gain():
    half = TiledProduct(16, 8192, 2048, 2)
    found = clusters(0.25, 4)
    assert choose(half, found, union(0.25, 4), MACHINE).candidate is None
    assert choose(half, found, union(0.25, 4), Tiler(half_flops=0.5e11)).candidate is not None


def test_calls_that_cost_more_than_the_product_never_pay():
    assert choose(TiledProduct(32, 64, 64, 4), clusters(0.01, 4), 0.04, MACHINE).candidate is None


def test_break_even_is_where_the_times_meet():
    for candidate in candidates(128):
        limit = MANY.break_even(MACHINE, candidate)
        assert 0.0 < limit <= 1.0
        assert MANY.tiled(MACHINE, candidate, limit) <= MANY.dense(MACHINE)
        assert limit == 1.0 or MANY.tiled(MACHINE, candidate, limit + 0.01) > 0.97 * MANY.dense(MACHINE)


def test_a_weight_out_of_cache_is_read_once_and_bounds_the_gain():
    large = TiledProduct(16, 8192, 2048, 4)
    assert large.reading(MACHINE) > 2.0 * TiledProduct(16, 2048, 2048, 4).reading(MACHINE) * 4
    one = Candidate(1)
    spent = large.tiled(MACHINE, one, 0.1, 0.8) - large.tiled(MACHINE, one, 0.1, 0.0)
    assert spent == pytest.approx(0.8 * large.reading(MACHINE))


def test_finding_clusters_is_a_small_part_of_the_product():
    for height in HEIGHTS[1:]:
        assert MANY.finding(Candidate(height, True)) < 0.1 * MANY.dense(MACHINE)
