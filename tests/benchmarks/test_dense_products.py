"""Products with the library's bits, tiny."""

import pytest
from gossamer.benchmarks.dense_products import COLUMNS, dense_products


def test_every_product_is_compared_or_counted_as_left_out():
    pytest.importorskip("llvmlite")
    section = dense_products(True, lambda what: None)
    (left_out,) = (int(note.split("; ")[1].split()[0]) for note in section.notes if "left out" in note)
    assert len(section.rows) + left_out == 9
    for row in section.rows:
        assert len(row) == len(COLUMNS)
        assert all(float(row[place]) > 0 for place in (5, 6, 7, 9, 10, 11)), row[0]
        assert 0 < int(row[3]) <= 128
        assert row[4] in "ab"
