"""Rates of this machine: measured once, kept, and never in the way."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from gossamer.compiler import machine
from gossamer.compiler.machine import measure
from gossamer.passes.guard_density import GuardDensity

RATES = {"flops": 1.0e11, "bandwidth": 1.0e10, "call": 1.0e-06, "sequence": 2.0e-05}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, and measuring that takes no time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(machine, "measure", lambda: dict(RATES))
    machine.rates.cache_clear()
    yield tmp_path
    machine.rates.cache_clear()


def test_rates_are_kept_for_the_next_process(folder: Path, monkeypatch: pytest.MonkeyPatch):
    assert machine.rates() == RATES
    machine.rates.cache_clear()
    monkeypatch.setattr(machine, "measure", lambda: pytest.fail("measured again"))
    assert machine.rates() == RATES
    assert json.loads(machine.cache_file().read_text())["machine"] == machine.identity()


@pytest.mark.parametrize("text", ["", "{", '{"rates": {"flops": "fast"}}', "[]"])
def test_a_broken_file_is_measured_again(folder: Path, text: str):
    machine.cache_file().parent.mkdir(parents=True)
    machine.cache_file().write_text(text)
    assert machine.rates() == RATES


def test_a_folder_that_cannot_be_written_only_costs_time(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "gossamer").write_text("a file in the way")
    assert machine.rates() == RATES


def test_options_are_what_the_pass_takes(folder: Path):
    text = machine.guard_options()
    assert text == "{flops=100000000000.0 bandwidth=10000000000.0 call=1.0e-06 sequence=2.0e-05}"
    assert set(GuardDensity.__dataclass_fields__) >= RATES.keys()


def test_measured_rates_are_positive_and_of_two_digits():
    found = measure()
    assert found.keys() == RATES.keys()
    assert all(value > 0 and float(f"{value:.1e}") == value for value in found.values())
