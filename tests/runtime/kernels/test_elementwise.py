"""A map runs its kernel where it can, and else what it means, with the same results."""

import re
from collections.abc import Callable, Iterator

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.exact import MapOp
from gossamer.runtime import kernel_code
from gossamer.runtime.bits import same_bits
from gossamer.runtime.executor import Program, find
from torch import Tensor

pytest.importorskip("llvmlite")

TEXT = """
func.func @step(%x: T, %y: T) -> T {
  %a = aten.call "aten.mul.Tensor"(%x, 0.1) : (T) -> T
  %b = aten.call "aten.add.Tensor"(%a, %y) : (T, T) -> T
  %c = aten.call "aten.mul.Tensor"(%b, %x) : (T, T) -> T
  func.return %c : T
}"""


TANH_TEXT = """
func.func @step(%x: T) -> T {
  %a = aten.call "aten.tanh.default"(%x) : (T) -> T
  %b = aten.call "aten.neg.default"(%x) : (T) -> T
  %c = aten.call "aten.tanh.default"(%b) : (T) -> T
  %d = aten.call "aten.mul.Tensor"(%a, %c) : (T, T) -> T
  func.return %d : T
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


GUESSED = 'fuse-elementwise{guessed="aten.tanh.default"},lower-kernels'
SPECIAL = torch.tensor([0.0, -0.0, 1e-45, -1e-39, 1e-5, 9.0, -9.1, 20.0, torch.inf, -torch.inf, torch.nan])
SIZES = (1, 31, 32, 33, 100, 511, 512, 513, 40_003)


def of_tanh(size: int, passes: str) -> Iterator[tuple[Tensor, Tensor]]:
    """What a kernel makes of numbers of several sizes, special ones among them, and what torch does."""
    module = parse_text(re.sub(r"\bT\b", f"tensor<{size}xf32>", TANH_TEXT))
    run_pipeline(module, passes)
    assert any(isinstance(op, MapOp) for op in module.walk())
    run = Program.build(module, {}, "step")
    for scale in (0.01, 0.5, 3.0):
        x = torch.randn(size) * scale
        x[-11:] = SPECIAL[:size]
        yield run([x])[0], x.tanh() * x.neg().tanh()


@pytest.mark.usefixtures("library_tanh")
@pytest.mark.parametrize("size", SIZES)
def test_the_library_is_asked_for_tiles(size: int):
    assert all(same_bits(*pair) for pair in of_tanh(size, "fuse-elementwise,lower-kernels"))


@pytest.mark.usefixtures("guessed_tanh")
@pytest.mark.parametrize("size", SIZES)
def test_guesses_are_the_librarys(size: int):
    assert all(same_bits(*pair) for pair in of_tanh(size, GUESSED))


@pytest.mark.usefixtures("library_tanh")
@pytest.mark.parametrize("size", SIZES)
def test_guesses_are_near_everywhere(size: int):
    for found, expected in of_tanh(size, GUESSED):
        torch.testing.assert_close(found, expected, rtol=4e-7, atol=0.0, equal_nan=True)


@pytest.mark.usefixtures("library_tanh")
def test_what_a_library_is_asked_for_may_hang_on_what_it_gave():
    text = """
    func.func @step(%x: T, %y: T) -> T {
      %a = aten.call "aten.tanh.default"(%x) : (T) -> T
      %b = aten.call "aten.add.Tensor"(%a, %y) : (T, T) -> T
      %c = aten.call "aten.tanh.default"(%b) : (T) -> T
      %d = aten.call "aten.mul.Tensor"(%c, %a) : (T, T) -> T
      func.return %d : T
    }"""
    for size in (1, 700, 1024):
        module = parse_text(re.sub(r"\bT\b", f"tensor<{size}xf32>", text))
        run_pipeline(module, "fuse-elementwise,lower-kernels")
        assert sum(isinstance(op, MapOp) for op in module.walk()) == 1
        x, y = torch.randn(2, size)
        (found,) = Program.build(module, {}, "step")([x, y])
        assert same_bits(found, (x.tanh() + y).tanh() * x.tanh())


def test_a_kernel_that_calls_what_is_not_there_does_not_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kernel_code, "callable_names", lambda: frozenset())
    module = parse_text(re.sub(r"\bT\b", "tensor<40xf32>", TANH_TEXT))
    run_pipeline(module, "fuse-elementwise,lower-kernels")
    x = torch.randn(40)
    assert torch.equal(Program.build(module, {}, "step")([x])[0], x.tanh() * x.neg().tanh())


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
    monkeypatch.setattr(kernel_code, "available", lambda: False)
    assert torch.equal(program(6, 8)([x, y])[0], expected(x, y))
