"""What `explain` says of products that skip."""

import gossamer
import pytest
import torch
from gossamer.compiler import defaults, explain_skips
from gossamer.compiler.explain import explain
from torch import nn


class ReGlu(nn.Module):
    """down(relu(gate(x)) * up(x)); `shift` opens or closes the gate."""

    def __init__(self, shift: float):
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(64, 256), nn.Linear(64, 256), nn.Linear(256, 64)
        nn.init.constant_(self.gate.bias, shift)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(torch.relu(self.gate(x)) * self.up(x))


def test_products_that_skip_say_up_to_which_density_though_kernels_stand_in_for_them():
    pytest.importorskip("llvmlite")
    found = explain(gossamer.compile(ReGlu(-1.0), torch.randn(1, 64))).skips
    taken = [line for line in found.lines if line.decision == "skips"]
    assert {line.axis for line in taken} == {"k", "n"}
    for line in taken:
        assert line.threshold is not None
        assert 0.5 < line.threshold < 1.0
        assert line.density is not None
        assert line.density < 0.3
        assert f"up to density {line.threshold:.3f}" in line.why


def test_a_gate_that_is_open_is_left_alone_and_told():
    found = explain(gossamer.compile(ReGlu(5.0), torch.randn(1, 64))).skips
    assert all(line.decision == "dense" for line in found.lines)
    assert any("in the examples" in line.reason for line in found.lines)


class Feed(nn.Module):
    """down(relu(x))"""

    def __init__(self):
        super().__init__()
        self.down = nn.Linear(1024, 768)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(torch.relu(x))


def test_tiles_say_how_high_they_are_and_what_was_measured(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("llvmlite")
    for module in (defaults, explain_skips):
        monkeypatch.setattr(module, "tile_options", lambda _: "")
    masks = torch.rand(4, 1024) < 0.05
    x = torch.where(masks[torch.arange(64) % 4], 1.0, -1.0)
    found = explain(gossamer.compile(Feed(), x)).skips
    (line,) = found.lines
    assert line.decision == "tiles"
    assert line.density == pytest.approx((x > 0).any(0).float().mean().item())
    assert line.why.startswith("tiles of ")
    assert ", clustered: density 0.0" in line.why
    assert line.threshold is not None
    assert f"up to density {line.threshold:.3f}, expected" in line.why
    assert "1 of 1 products with zeros skip" in str(found)
    assert 1.0 < found.gain <= found.limit
