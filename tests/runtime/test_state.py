"""Buffers and arguments that a program writes, by the executor and by the reference."""

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.runtime import reference
from gossamer.runtime.executor import Program

MODES = {
    "program": lambda text, weights: Program.build(parse_text(text), weights),
    "reference": lambda text, weights: lambda args: reference.run(parse_text(text), weights, args),
}
run_by = pytest.mark.parametrize("build", MODES.values(), ids=MODES)

COUNTER = """
aten.weight buffer @count : tensor<i64> digest "a"
func.func @forward() -> (tensor<i64>, tensor<i64>) {
  %old = aten.parameter @count : tensor<i64>
  %new = aten.call "aten.add.Tensor"(%old, 1) : (tensor<i64>) -> tensor<i64>
  aten.update @count, %new : tensor<i64>
  func.return %new, %old : tensor<i64>, tensor<i64>
}"""


@run_by
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_a_buffer_keeps_its_state_from_call_to_call(build, mode):
    count = torch.tensor(5)
    run = build(COUNTER, {"count": count})
    with mode():
        calls = [[int(result) for result in run([])] for _ in range(3)]
    assert calls == [[6, 5], [7, 6], [8, 7]]
    assert count == 8


@run_by
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_buffers_are_read_before_any_is_written(build, mode):
    text = """
    aten.weight buffer @a : tensor<2xf32> digest "a"
    aten.weight buffer @b : tensor<2x1xf32> digest "b"
    func.func @forward() -> tensor<2xf32> {
      %a = aten.parameter @a : tensor<2xf32>
      %b = aten.parameter @b : tensor<2x1xf32>
      %flat = aten.call "aten.view.default"(%b, [2]) : (tensor<2x1xf32>) -> tensor<2xf32>
      %column = aten.call "aten.view.default"(%a, [2, 1]) : (tensor<2xf32>) -> tensor<2x1xf32>
      aten.update @a, %flat : tensor<2xf32>
      aten.update @b, %column : tensor<2x1xf32>
      func.return %flat : tensor<2xf32>
    }"""
    a, b = torch.randn(2), torch.randn(2, 1)
    old = a.clone(), b.clone()
    with mode():
        (result,) = build(text, {"a": a, "b": b})([])
    assert torch.equal(a, old[1].view(2))
    assert torch.equal(b, old[0].view(2, 1))
    assert torch.equal(result, old[1].view(2))


@run_by
def test_the_caller_sees_its_argument_change(build):
    text = """
    func.func @forward(%x: tensor<2xf32>) -> tensor<2xf32> {
      %y = aten.call "aten.mul.Tensor"(%x, 2.0) : (tensor<2xf32>) -> tensor<2xf32>
      aten.assign %x, %y : tensor<2xf32>, tensor<2xf32>
      func.return %x : tensor<2xf32>
    }"""
    x = torch.randn(2)
    old = x.clone()
    (before,) = build(text, {})([x])
    assert torch.equal(x, 2 * old)
    assert torch.equal(before, old)


@run_by
def test_batch_normalisation_trains_and_its_statistics_move(build):
    text = """
    aten.weight buffer @mean : tensor<3xf32> digest "a"
    aten.weight buffer @var : tensor<3xf32> digest "a"
    aten.weight parameter @w : tensor<3xf32> digest "a"
    func.func @forward(%x: tensor<8x3xf32>) -> tensor<8x3xf32> {
      %m = aten.parameter @mean : tensor<3xf32>
      %v = aten.parameter @var : tensor<3xf32>
      %w = aten.parameter @w : tensor<3xf32>
      %y, %a, %b, %m1, %v1 = aten.call "aten._native_batch_norm_legit_functional.default"(
          %x, %w, none, %m, %v, true, 0.1, 1.0e-05) unpack
        : (tensor<8x3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>)
          -> (tensor<8x3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>)
      aten.update @mean, %m1 : tensor<3xf32>
      aten.update @var, %v1 : tensor<3xf32>
      func.return %y : tensor<8x3xf32>
    }"""
    model = torch.nn.BatchNorm1d(3)
    weights = {"mean": torch.zeros(3), "var": torch.ones(3), "w": torch.randn(3, requires_grad=True)}
    model.weight.data.copy_(weights["w"].data)
    run, x = build(text, weights), torch.randn(8, 3)
    (y,) = run([x])
    expected = model(x)
    torch.testing.assert_close(y, expected)
    (found,) = torch.autograd.grad(y.sin().sum(), weights["w"])
    torch.testing.assert_close(found, torch.autograd.grad(expected.sin().sum(), model.weight)[0])
    torch.testing.assert_close(weights["mean"], model.running_mean)
    torch.testing.assert_close(weights["var"], model.running_var)
    assert not weights["mean"].requires_grad


@run_by
def test_backward_uses_what_a_buffer_held_when_it_was_read(build):
    text = """
    aten.weight buffer @scale : tensor<2xf32> digest "a"
    func.func @forward(%x: tensor<2xf32>) -> tensor<2xf32> {
      %s = aten.parameter @scale : tensor<2xf32>
      %y = aten.call "aten.mul.Tensor"(%x, %s) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
      aten.update @scale, %y : tensor<2xf32>
      func.return %y : tensor<2xf32>
    }"""
    scale, x = torch.randn(2), torch.randn(2, requires_grad=True)
    old = scale.clone()
    (y,) = build(text, {"scale": scale})([x])
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], old)
    assert torch.equal(scale, y)
    assert not scale.requires_grad
