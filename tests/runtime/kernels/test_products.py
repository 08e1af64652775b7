"""Products that skip are the dense product where the skipped part contributes nothing."""

import pytest
import torch
from torch.nn.functional import linear

X, W, B = "tensor<?x?xf32>", "tensor<?x?xf32>", "tensor<?xf32>"


def product(axis: str, bias: bool = True) -> str:
    """`%x` by `%w` along the support of `%of`."""
    given = f"bias %b : {B} " if bias else ""
    return f"""
    func.func @forward(%x: {X}, %w: {W}, %b: {B}, %of: {X}) -> {X} {{
      %d = sparse.support %of : {X} -> !sparse.domain<"?">
      %y = sparse.matmul %x, %w[%d] {axis} {given}: {X}, {W}, !sparse.domain<"?"> -> {X}
      func.return %y : {X}
    }}"""


ROWS = pytest.mark.parametrize("rows", [0, 1, 2, 5])
DENSITY = pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
BIAS = pytest.mark.parametrize("bias", [True, False])


@ROWS
@DENSITY
@BIAS
def test_a_sum_over_the_support_is_the_whole_sum(execute, rows, density, bias):
    x = torch.randn(rows, 24) * (torch.rand(rows, 24) < density)
    w, b = torch.randn(16, 24), torch.randn(16)
    (y,) = execute(product("k", bias), [x, w, b, x])
    torch.testing.assert_close(y, linear(x, w, b if bias else None), rtol=1e-5, atol=1e-5)


@DENSITY
def test_a_weight_that_lies_k_major_gives_the_same_sum(execute, density):
    x = torch.randn(2, 24) * (torch.rand(2, 24) < density)
    w, b = torch.randn(24, 16).t(), torch.randn(16)
    (y,) = execute(product("k"), [x, w, b, x])
    torch.testing.assert_close(y, linear(x, w, b), rtol=1e-5, atol=1e-5)


@ROWS
@DENSITY
@BIAS
def test_outputs_outside_the_domain_are_zero_and_the_others_those_of_the_product(execute, rows, density, bias):
    x, w, b = torch.randn(rows, 24), torch.randn(16, 24), torch.randn(16)
    read = torch.rand(3, 16) < density
    (y,) = execute(product("n", bias), [x, w, b, read.float()])
    expected = linear(x, w, b if bias else None).masked_fill(~read.any(0), 0.0)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)


def test_nan_counts_as_active_and_negative_zero_does_not(execute):
    text = """
    func.func @forward(%x: tensor<2x4xf32>) -> f32 {
      %d = sparse.support %x : tensor<2x4xf32> -> !sparse.domain<4>
      %r = sparse.density %d : !sparse.domain<4>
      func.return %r : f32
    }"""
    assert execute(text, [torch.tensor([[0.0, -0.0, float("nan"), 0.0], [0.0, -0.0, 0.0, 1.0]])]) == [0.5]


def test_gradients_reach_what_was_not_skipped():
    from gossamer.runtime.domain import Domain
    from gossamer.runtime.kernels.products import skip_k, skip_n

    x = (torch.randn(3, 24, dtype=torch.float64) * (torch.arange(24) % 5 == 0)).requires_grad_()
    w, b = (torch.randn(*size, dtype=torch.float64, requires_grad=True) for size in ((16, 24), (16,)))
    support = Domain.of(torch.arange(24) % 5 == 0)
    read = torch.arange(16) % 3 == 0
    skip_k(x, w, support, b).square().sum().backward()
    found = [t.grad.clone() for t in (w, b) if t.grad is not None]
    w.grad = b.grad = x.grad = None
    linear(x, w, b).square().sum().backward()
    torch.testing.assert_close(found, [w.grad, b.grad])
    w.grad = b.grad = x.grad = None
    skip_n(x, w, Domain.of(read), b).square().sum().backward()
    found = [t.grad.clone() for t in (x, w, b) if t.grad is not None]
    w.grad = b.grad = x.grad = None
    (linear(x, w, b) * read).square().sum().backward()
    torch.testing.assert_close(found, [x.grad, w.grad, b.grad])
