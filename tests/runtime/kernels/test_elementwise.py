"""A map runs its kernel where it can, and else what it means, with the same results."""

import re
from collections.abc import Callable

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.kernel import MapOp
from gossamer.runtime.executor import Program, find
from gossamer.runtime.kernels import elementwise
from torch import Tensor

pytest.importorskip("llvmlite")

TEXT = """
func.func @step(%x: T, %y: T) -> T {
  %a = aten.call "aten.mul.Tensor"(%x, 0.1) : (T) -> T
  %b = aten.call "aten.add.Tensor"(%a, %y) : (T, T) -> T
  %c = aten.call "aten.mul.Tensor"(%b, %x) : (T, T) -> T
  func.return %c : T
}"""


def expected(x: Tensor, y: Tensor) -> Tensor:
    return (x * 0.1 + y) * x


def program(*shape: int) -> Callable[[list[Tensor]], list[Tensor]]:
    kind = f"tensor<{''.join(f'{size}x' for size in shape)}f32>"
    module = parse_text(re.sub(r"\bT\b", kind, TEXT))
    run_pipeline(module, "fuse-elementwise,lower-kernels")
    assert isinstance(find(module, "step").body.block.first_op, MapOp)
    return Program.build(module, {}, "step")


@pytest.mark.parametrize("shape", [(0,), (1,), (), (3, 5), (15,), (16,), (17,), (1023,)])
def test_any_size(shape: tuple[int, ...]):
    x, y = torch.randn(2, *shape)
    (found,) = program(*shape)([x, y])
    assert torch.equal(found, expected(x, y))


@pytest.mark.parametrize("size", [(1 << 15) + 1, 100_003])
def test_any_number_of_threads(size: int):
    x, y = torch.randn(2, size)
    run, before = program(size), torch.get_num_threads()
    try:
        for threads in (1, 2, 3, 5):
            torch.set_num_threads(threads)
            assert torch.equal(run([x, y])[0], expected(x, y))
    finally:
        torch.set_num_threads(before)


def test_what_the_kernel_cannot_read_is_computed_as_it_was(monkeypatch: pytest.MonkeyPatch):
    run = program(6, 8)
    x, y = torch.randn(2, 6, 8)
    turned = torch.randn(8, 6).T
    assert torch.equal(run([turned, y])[0], expected(turned, y))
    assert run([turned, turned])[0].stride() == turned.stride()
    asked = x.clone().requires_grad_()
    run([asked, y])[0].sum().backward()
    assert asked.grad is not None
    double = run([x.double(), y.double()])[0]
    assert double.dtype is torch.float64
    monkeypatch.setattr(elementwise, "available", lambda: False)
    assert torch.equal(program(6, 8)([x, y])[0], expected(x, y))
