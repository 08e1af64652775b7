"""A cross entropy is fused only where its kernel has eager's bits, and then no step holds the matrix between."""

from collections.abc import Callable

import gossamer
import pytest
import torch
from gossamer.compiler import exact_cross_entropy as trying
from gossamer.dialects.exact import CrossEntropyBackwardOp
from gossamer.passes.kernels import cross_entropy, exponential
from gossamer.runtime.allocations import allocations
from gossamer.tests.training import check_training
from torch import Tensor, nn
from torch.nn.functional import cross_entropy as loss_of
from xdsl.ir import SSAValue

pytest.importorskip("llvmlite")


def rounds_twice(x: SSAValue) -> SSAValue:
    one = exponential.real(1.0)
    return exponential.minus(exponential.plus(exponential.exp(x), one), one)


@pytest.mark.usefixtures("exact_loss")
@pytest.mark.parametrize(
    ("name", "other"),
    [("exp", rounds_twice), ("negative", lambda x: x), ("choice", lambda condition, yes, no: no)],
    ids=["another exponential", "another sign", "targets that are not ignored"],
)
def test_what_is_not_eagers_is_found(monkeypatch: pytest.MonkeyPatch, name: str, other: Callable[..., SSAValue]):
    monkeypatch.setattr(cross_entropy, name, other)
    assert not trying.is_exact()


def test_nothing_is_fused_where_nothing_compiles(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trying.native, "available", lambda: False)
    assert trying.exact_cross_entropy.__wrapped__() is False


@pytest.mark.usefixtures("exact_loss")
@pytest.mark.parametrize("options", [{}, {"reduction": "sum"}, {"ignore_index": 3}])
def test_a_step_has_eagers_bits_in_fewer_bytes(options: dict):
    model, classes = nn.Linear(16, 300), torch.randint(300, (128,))

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return loss_of(model(x), y, **options)

    batch = (torch.randn(128, 16), classes)
    step, plain = check_training(model, loss, [batch]), gossamer.compile_training(model, loss, batch, fuse=False)
    assert sum(isinstance(op, CrossEntropyBackwardOp) for op in step.module.walk()) == 1
    args = [*batch, torch.ones(())]
    most = [allocations(each.module, each.weights, args, "step").peak for each in (step, plain)]
    assert most[1] - most[0] > 4 * 128 * 300 - 64
