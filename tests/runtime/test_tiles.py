"""Tiles: which rows, which positions, how many products they make."""

import pytest
import torch
from gossamer.runtime.tiles import Tiles, clusters


def rows(*texts: str) -> torch.Tensor:
    """`a..` is active at its first position."""
    return torch.tensor([[float(letter != ".") for letter in text] for text in texts])


def test_each_tile_has_its_own_positions():
    found = Tiles.of(rows("a..b", "..c.", "d..."), 2)
    assert found.order.tolist() == [0, 1, 2, 2]
    assert [found.columns(tile).tolist() for tile in range(found.number)] == [[0, 2, 3], [0]]
    assert found.density == pytest.approx(2 * (3 + 1) / 12)


def test_clustered_rows_that_agree_are_neighbours():
    found = Tiles.of(rows("ab..", "..cd", "ef..", "..gh"), 2, clustered=True)
    assert found.order.tolist() == [0, 2, 1, 3]
    assert found.density == pytest.approx(0.5)
    assert Tiles.of(rows("ab..", "..cd", "ef..", "..gh"), 2).density == pytest.approx(1.0)


def test_every_row_is_in_one_tile():
    for count in (1, 7, 16, 33):
        active = torch.rand(count, 40) < 0.3
        for height in (1, 2, 8, 16):
            assert sorted(clusters(active, height)) == list(range(count))
            order = Tiles.of(active.float(), height, clustered=True).order
            assert set(order.tolist()) == set(range(count))
            assert len(order) % height == 0


def test_nan_counts_and_minus_zero_does_not():
    x = torch.tensor([[torch.nan, -0.0, 0.0, torch.inf]])
    assert Tiles.of(x, 1).columns(0).tolist() == [0, 3]


def test_all_axes_but_the_last_are_rows():
    found = Tiles.of(torch.ones(2, 3, 4), 2)
    assert (found.rows, found.number, found.density) == (6, 3, 1.0)


def test_no_rows_are_dense():
    found = Tiles.of(torch.ones(0, 4), 8)
    assert (found.number, found.density, found.active) == (0, 1.0, 0)


def test_everywhere_is_as_dense_as_can_be():
    assert Tiles.of(torch.zeros(2, 3), 2).whole().density == 1.0
    assert Tiles.of(torch.zeros(2, 3), 2).density == 0.0
