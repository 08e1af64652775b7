"""The gradient of a cross entropy by its kernel is eager's, and what the kernel cannot read is computed as it was."""

from collections.abc import Callable

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.compiler.pipeline import run_pipeline
from gossamer.runtime import kernel_code
from gossamer.runtime.executor import Program
from torch import Tensor

pytest.importorskip("llvmlite")

TEXT = """
func.func @step(%d: tensor<f32>, %s: S, %t: T, %n: tensor<f32>) -> S {
  %g = aten.call "aten.nll_loss_backward.default"(%d, %s, %t, none, RED, -7, %n) : (tensor<f32>, S, T, tensor<f32>) -> S
  %h = aten.call "aten._log_softmax_backward_data.default"(%g, %s, 1, torch.float32) : (S, S) -> S
  func.return %h : S
}"""


pytestmark = pytest.mark.usefixtures("exact_loss")


def programs(rows: int, columns: int, reduction: int = 1) -> list[Callable[[list[Tensor]], list[Tensor]]]:
    """As eager does it, and by the kernel."""
    text = TEXT.replace("S", f"tensor<{rows}x{columns}xf32>").replace("T", f"tensor<{rows}xi64>")
    module = parse_text(text.replace("RED", str(reduction)))
    eager = Program.build(module.clone(), {}, "step")
    run_pipeline(module, "fuse-cross-entropy,lower-kernels")
    return [eager, Program.build(module, {}, "step")]


def given(rows: int, columns: int, ignored: float = 0.2) -> list[Tensor]:
    target = torch.randint(columns, (rows,))
    target[torch.rand(rows) < ignored] = -7
    scores = torch.log_softmax(torch.randn(rows, columns) * 10, 1)
    return [torch.randn(()), scores, target, (target != -7).sum().float()]


def bits(tensor: Tensor) -> Tensor:
    return tensor.nan_to_num(7.0).view(torch.int32)


@pytest.mark.parametrize("reduction", [1, 2])
@pytest.mark.parametrize("size", [(1, 2), (3, 15), (2, 16), (5, 17), (7, 33), (40, 1001), (0, 5)])
def test_any_size(size: tuple[int, int], reduction: int):
    eager, fused = programs(*size, reduction)
    for ignored in (0.0, 0.3, 1.0):
        values = given(*size, ignored)
        assert torch.equal(bits(fused(values)[0]), bits(eager(values)[0]))


@pytest.mark.parametrize("number", [0.0, -0.0, 1e-45, 3e38, torch.inf, torch.nan])
def test_special_numbers(number: float):
    eager, fused = programs(9, 37)
    gradient, scores, target, total = given(9, 37)
    special = scores.clone()
    special[torch.rand(9, 37) < 0.1] = number
    for values in ([torch.tensor(number), scores, target, total], [gradient, special, target, total],
                   [gradient, scores, target, torch.tensor(number)]):  # fmt: skip
        assert torch.equal(bits(fused(values)[0]), bits(eager(values)[0]))


def test_any_number_of_threads():
    (eager, fused), values, before = programs(97, 1013), given(97, 1013), torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(fused(values)[0], eager(values)[0])
    finally:
        torch.set_num_threads(before)


def test_what_the_kernel_cannot_read_is_computed_as_it_was(monkeypatch: pytest.MonkeyPatch):
    eager, fused = programs(6, 8)
    gradient, scores, target, total = given(6, 8)
    turned = [gradient, scores.T.contiguous().T, target, total]
    assert torch.equal(fused(turned)[0], eager(turned)[0])
    monkeypatch.setattr(kernel_code, "available", lambda: False)
    _, meant = programs(6, 8)
    assert torch.equal(meant([gradient, scores, target, total])[0], eager([gradient, scores, target, total])[0])
