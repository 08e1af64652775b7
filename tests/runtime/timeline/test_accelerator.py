"""Accelerators come from files in which every number has a unit and a source."""

from pathlib import Path

import pytest
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime.timeline.accelerator import ACCELERATORS, SECTIONS, known_accelerators, load_accelerator

TEXT = (ACCELERATORS / "a100-nvlink.toml").read_text()


@pytest.mark.parametrize("name", known_accelerators())
def test_every_constant_tells_its_source(name: str):
    found = load_accelerator(name)
    assert found.name == name
    assert found.sources.keys() == {f"{section}.{key}" for section, keys in SECTIONS.items() for key in keys}
    assert 0 < found.budget < found.capacity


def test_constants_are_in_base_units():
    found = load_accelerator("a100-nvlink")
    assert (found.peak, found.bus_bandwidth) == (312e12, 230e9)
    assert found.latency == pytest.approx(20e-6)
    assert found.send(20e9) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("value = 312", "value = 0", "expected a number above 0, found 0"),
        ("value = 0.9", "value = 1.1", "expected a share from 0 to 1, found 1.1"),
        ("TFLOP/s", "TB/s", "expected one of the units FLOP/s, GFLOP/s, TFLOP/s, found 'TB/s'"),
        ("bus_bandwidth", "bus_bandwith", "did you mean 'bus_bandwidth'?"),
    ],
)
def test_a_faulty_file_says_where_and_why(tmp_path: Path, old: str, new: str, message: str):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        load_accelerator(path)
    assert message in str(error.value)
    assert error.value.place


def test_an_accelerator_that_nobody_knows_is_refused():
    with pytest.raises(UserError, match=r"no accelerator is called 'a100-nvlnk'\n  hint: did you mean 'a100-nvlink'"):
        load_accelerator("a100-nvlnk")
