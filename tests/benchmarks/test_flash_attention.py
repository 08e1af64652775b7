"""Attention with the library's bits, tiny."""

import pytest
from gossamer.benchmarks.flash_attention import COLUMNS, flash_attention


def test_attention_and_its_gradients_are_compared_or_counted_as_left_out():
    pytest.importorskip("llvmlite")
    section = flash_attention(True, lambda what: None)
    (left_out,) = (int(note.split("; ")[1].split()[0]) for note in section.notes if "left out" in note)
    assert len(section.rows) + left_out == 2
    for row in section.rows:
        assert len(row) == len(COLUMNS)
        assert row[2] in ("there", "back")
        assert all(float(row[place]) >= 0 for place in (4, 5, 6)), row[0]
