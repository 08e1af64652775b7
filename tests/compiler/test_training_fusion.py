"""A step of fused ops has eager's loss and gradients to the bit, within any budget, and takes what it says."""

import copy
import sys
from collections.abc import Callable
from typing import Any

import gossamer
import pytest
import torch
from gossamer.compiler.exact_cross_entropy import exact_cross_entropy
from gossamer.compiler.exact_primitives import found as exact_elementwise
from gossamer.compiler.explain_memory import title
from gossamer.dialects.exact import ExactOp, MapOp
from gossamer.runtime import kernel_code, native
from gossamer.tests.training import check_call, check_training, squared
from torch import Tensor, nn
from torch.nn.functional import dropout, silu

pytest.importorskip("llvmlite")


class Gelu(nn.Module):
    """GPT-2's own activation."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (1.0 + torch.tanh(0.7978845608028654 * (x + 0.044715 * torch.pow(x, 3.0))))


class Gated(nn.Module):
    """A gated layer, a residual that is scaled, and masks."""

    def __init__(self, p: float = 0.0):
        super().__init__()
        self.gate, self.up, self.down, self.p = nn.Linear(16, 33), nn.Linear(16, 33), nn.Linear(33, 16), p

    def forward(self, x: Tensor) -> Tensor:
        hidden = silu(self.gate(x)) * self.up(x) / 3
        return x + 0.5 * dropout(self.down(hidden), self.p, self.training) - torch.sigmoid(x) * x.clamp_min(0).neg()


def net() -> nn.Module:
    return nn.Sequential(
        nn.Linear(16, 64), Gelu(), nn.Linear(64, 16), Gated(), nn.Linear(16, 64), Gelu(), nn.Linear(64, 16)
    )


def noisy() -> nn.Module:
    return nn.Sequential(
        Gated(0.2), nn.Linear(16, 64), Gelu(), nn.Dropout(0.3), nn.ReLU(), nn.Linear(64, 16), Gated(0.1)
    )


def pictures() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), Gelu(), nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8),
        nn.ReLU(), Gelu(), nn.Conv2d(8, 3, 3, padding=1),
    )  # fmt: skip


def rows() -> tuple[Tensor, Tensor]:
    return torch.randn(24, 16), torch.randn(24, 16)


def images() -> tuple[Tensor, Tensor]:
    return torch.randn(2, 3, 9, 7), torch.randn(2, 3, 9, 7)


def channels_last() -> tuple[Tensor, Tensor]:
    one, two = (part.to(memory_format=torch.channels_last) for part in images())
    return one, two


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any]]] = {
    "perceptron": (net, rows),
    "dropout": (noisy, rows),
    "convolution": (pictures, images),
    "channels last": (pictures, channels_last),
}


@pytest.mark.parametrize(("make", "batch"), CASES.values(), ids=CASES)
def test_a_step_is_eagers_in_any_budget(make: Callable[[], nn.Module], batch: Callable[[], Any]):
    torch.manual_seed(0)
    model = make().train()
    step = check_training(model, squared, [batch() for _ in range(2)])
    assert any(isinstance(op, MapOp) for op in step.module.walk())
    plain = gossamer.compile_training(model, squared, batch(), memory_budget="100%", fuse=False)
    assert not any(isinstance(op, MapOp) for op in plain.module.walk())
    eager = copy.deepcopy(model)
    for number, budget in enumerate(("100%", "90%")):
        step.fit(batch(), budget)
        assert step.memory.predicted == step.memory.measured
        assert step.memory.keep_all <= plain.memory.keep_all
        check_call(step, model, eager, squared, batch(), number)


@pytest.mark.usefixtures("library_tanh")
def test_maps_are_explained_by_what_they_compute():
    step = gossamer.compile_training(net(), squared, rows())
    titles = {title(op) for op in step.module.walk() if isinstance(op, MapOp)}
    assert all("+" in each or each == "tanh" for each in titles)
    assert any(each.startswith("mul+pow+add") for each in titles)


def test_a_step_is_eagers_without_llvmlite(monkeypatch: pytest.MonkeyPatch):
    cached = (exact_elementwise, exact_cross_entropy, native.wide)
    for name in ("llvmlite", "llvmlite.binding"):
        monkeypatch.setitem(sys.modules, name, None)
    for module in (native, kernel_code):
        monkeypatch.setattr(module, "available", lambda: False)
    try:
        for each in cached:
            each.cache_clear()
        step = check_training(net(), squared, [rows() for _ in range(2)])
    finally:
        for each in cached:
            each.cache_clear()
    assert not any(isinstance(op, ExactOp) for op in step.module.walk())
