"""Dropout with a mask of one byte is eager's dropout to the bit, and so is its gradient."""

import pytest
import torch
from gossamer.runtime.custom_ops.dropout import dropout, dropout_backward
from gossamer.tests.training import same
from torch.nn import functional

SPECIAL = [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e-40, 3e38]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(0,), (1,), (7, 33), (2, 3, 4, 5)])
def test_results_and_gradients_are_eager_s(dtype: torch.dtype, shape: tuple[int, ...]):
    for percent in range(1, 100, 7):
        p = percent / 100
        x, gradient = torch.randn(shape), torch.randn(shape)
        for tensor in (x, gradient):
            tensor.view(-1)[: len(SPECIAL)] = torch.tensor(SPECIAL)[: tensor.numel()]
        x, gradient = x.to(dtype).requires_grad_(), gradient.to(dtype)
        torch.manual_seed(percent)
        expected = functional.dropout(x, p)
        expected.backward(gradient)
        torch.manual_seed(percent)
        result, mask = dropout(x.detach(), p)
        assert mask.dtype is torch.bool
        assert same(result, expected.detach())
        assert same(dropout_backward(gradient, mask, p), x.grad)


def test_layouts_are_eager_s():
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last).requires_grad_()
    for gradient in (torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)):
        x.grad = None
        torch.manual_seed(0)
        expected = functional.dropout(x, 0.3)
        (own,) = torch.autograd.grad(expected, x, gradient)
        torch.manual_seed(0)
        result, mask = dropout(x.detach(), 0.3)
        assert same(result, expected.detach())
        assert same(dropout_backward(gradient, mask, 0.3), own)


def test_the_op_fits_what_torch_asks_of_one():
    torch.library.opcheck(
        dropout, (torch.randn(4, 5, requires_grad=True), 0.3), test_utils=("test_schema", "test_faketensor")
    )
    torch.library.opcheck(dropout_backward, (torch.randn(4, 5), torch.rand(4, 5) > 0.5, 0.3))
