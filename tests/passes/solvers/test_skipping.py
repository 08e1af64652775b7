"""The price of skipping: break-even densities and gains."""

import pytest
from gossamer.passes.solvers.skipping import SkippedProduct, Skipper, gain, listing, union

MACHINE = Skipper()
DOWN = SkippedProduct(rows=1, inputs=4096, outputs=1024, width=4, along_k=True)
UP = SkippedProduct(rows=1, inputs=1024, outputs=4096, width=4, along_k=False)


def test_copies_set_the_break_even():
    """A copy that costs c times the product breaks even at 1 / (1 + c)."""
    for copy in (0.0, 1.0, 3.0, 19.0):
        machine = Skipper(start_k=0.0, copy_k=copy, copy_n=copy, call=0.0)
        for work in (DOWN, UP):
            assert work.break_even(machine) == pytest.approx(0.98 / (1.0 + copy), abs=0.005)


def test_a_copy_that_touches_every_row_has_a_price_at_density_zero():
    assert DOWN.break_even(Skipper(start_k=1.0, call=0.0)) == 0.0
    assert DOWN.skipping(Skipper(start_k=0.5, call=0.0), 0.0) == pytest.approx(0.5 * DOWN.dense(MACHINE))


def test_a_kernel_that_copies_nothing_breaks_even_near_one():
    kernel = Skipper(start_k=0.0, copy_k=0.0, copy_n=0.0, calls=0)
    assert DOWN.break_even(kernel) > 0.9


def test_a_list_costs_by_its_length_not_by_its_axis():
    """A few candidates of a vocabulary are found sooner than its scores are looked through."""
    vocabulary = SkippedProduct(rows=1, inputs=1024, outputs=128_000, width=4, along_k=False)
    assert listing(MACHINE, 100) < vocabulary.support(MACHINE) < listing(MACHINE, 100_000)


def test_a_product_of_nothing_never_pays():
    assert SkippedProduct(1, 8, 8, 4, True).break_even(MACHINE) == 0.0


def test_break_even_is_where_the_times_meet():
    for work in (DOWN, UP):
        limit = work.break_even(MACHINE)
        assert 0.0 < limit < 1.0
        assert work.skipping(MACHINE, limit) <= work.dense(MACHINE)
        assert work.skipping(MACHINE, limit + 0.05) > work.dense(MACHINE) * 0.98


def test_more_rows_share_the_copy():
    many = SkippedProduct(512, 4096, 1024, 4, True)
    assert many.break_even(MACHINE) > DOWN.break_even(MACHINE)


def test_gains_follow_amdahl():
    """Two of three equal products at density d: 3 / (1 + 2 d) at most."""
    expected, limit = gain([(1.0, 10.0, 20.0)] * 2, 1.0)
    assert limit == pytest.approx(3 / 1.1)
    assert expected == pytest.approx(3 / 1.2)


@pytest.mark.parametrize(
    ("density", "rows", "share"), [(0.1, 1, 0.10), (0.1, 4, 0.34), (0.05, 8, 0.34), (0.02, 16, 0.28), (0.01, 64, 0.47)]
)
def test_the_union_of_random_rows(density: float, rows: int, share: float):
    assert union(density, rows) == pytest.approx(share, abs=0.006)
