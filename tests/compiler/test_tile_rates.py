"""Rates of tiles: positive, kept, and what the pass takes."""

import pytest
import torch
from gossamer.compiler import tile_rates
from gossamer.compiler.pipeline import parse_passes
from gossamer.dialects.tiles import HEIGHTS
from gossamer.passes.choose_tiles import ChooseTiles


def test_measured_rates_are_positive_and_of_two_digits():
    pytest.importorskip("llvmlite")
    found = tile_rates.measure()
    assert set(found) == {"cached", "cache", "half_flops", *tile_rates.NAMES}
    assert all(value > 0 and float(f"{value:.1e}") == value for value in found.values())


def machine(device: str) -> ChooseTiles:
    (step,) = parse_passes(ChooseTiles.name + tile_rates.tile_options(torch.device(device)))
    assert isinstance(step, ChooseTiles)
    return step


def test_options_are_what_the_pass_takes(monkeypatch: pytest.MonkeyPatch):
    known = dict.fromkeys(("flops", "weights", "call"), 2.0) | {"copy_k": 1.0}
    own = {"cached": 3.0, "cache": 4.0, "half_flops": 5.0}
    own |= {f"{name}_{height}": float(height) for name in ("rate", "half_rate") for height in HEIGHTS}
    monkeypatch.setattr(tile_rates, "skip_rates", lambda: known)
    monkeypatch.setattr(tile_rates, "tile_rates", lambda: own)
    monkeypatch.setattr(tile_rates.native, "available", lambda: True)
    found = machine("cpu").machine
    assert found.rates == found.half_rates == tuple(map(float, HEIGHTS))
    assert (found.flops, found.weights, found.call, found.cached, found.half_flops) == (2.0, 2.0, 2.0, 3.0, 5.0)
    assert machine("cuda").machine.rates == (0.0,)
    monkeypatch.setattr(tile_rates.native, "available", lambda: False)
    assert machine("cpu").machine.rates == (0.0,)
