"""Sizes are read in one way everywhere."""

import pytest
from gossamer.dialects.byte_sizes import read_bytes
from gossamer.dialects.diagnostics import UserError


def test_sizes_are_read():
    assert read_bytes("36GiB") == 36 * 2**30
    assert read_bytes(" 1.5 gb") == 1_500_000_000
    assert read_bytes("1e9 B") == read_bytes("1E+9") == 10**9
    assert read_bytes(".5KiB") == read_bytes("512.") == 512
    assert read_bytes("9007199254740993") == read_bytes(9007199254740993) == 2**53 + 1
    assert read_bytes("2TiB") == 2**41


@pytest.mark.parametrize("text", ["", "GiB", "12 parsecs", "1.2.3GiB", "0", ".", "-3", "nan", "1e400", "0.1", "60%"])
def test_what_is_no_size_is_refused(text: str):
    with pytest.raises(UserError, match=r"memory .*: expected bytes") as caught:
        read_bytes(text)
    assert "36GiB" in caught.value.hint
