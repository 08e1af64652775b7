"""Rates of this machine: measured once, kept, and never in the way."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from gossamer.compiler import machine
from gossamer.compiler.machine import measure, measure_skips
from gossamer.compiler.pipeline import parse_passes
from gossamer.passes.guard_density import GuardDensity
from gossamer.passes.insert_skips import InsertSkips
from gossamer.passes.solvers.skipping import Skipper

RATES = {"flops": 1.0e11, "bandwidth": 1.0e10, "call": 1.0e-06, "sequence": 2.0e-05}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, and measuring that takes no time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(machine, "measure", lambda: dict(RATES))
    for known in (machine.rates, machine.skip_rates):
        known.cache_clear()
    yield tmp_path
    for known in (machine.rates, machine.skip_rates):
        known.cache_clear()


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


def test_what_skipping_costs_is_kept_beside_it(folder: Path, monkeypatch: pytest.MonkeyPatch):
    found = {"weights": 2.0e10, "start_k": 0.5, "copy_k": 4.0, "start_n": 0.0, "copy_n": 1.5}
    monkeypatch.setattr(machine, "measure_skips", lambda: dict(found))
    machine.skip_rates.cache_clear()
    assert machine.skip_rates().items() >= found.items()
    machine.skip_rates.cache_clear()
    monkeypatch.setattr(machine, "measure_skips", lambda: pytest.fail("measured again"))
    (step,) = parse_passes("insert-skips" + machine.skip_options())
    assert isinstance(step, InsertSkips)
    rates = {"flops": 1.0e11, "bandwidth": 1.0e10, "call": 1.0e-06, "kernel": machine.KERNEL}
    assert vars(step.machine) == vars(Skipper()) | found | rates
    (elsewhere,) = parse_passes("insert-skips" + machine.skip_options(torch.device("cuda")))
    assert isinstance(elsewhere, InsertSkips)
    assert elsewhere.machine.kernel == 0.0


def test_copies_cost_something():
    found = measure_skips()
    assert found.keys() == {"weights", "start_k", "copy_k", "start_n", "copy_n"}
    assert all(value >= 0.0 for value in found.values())
