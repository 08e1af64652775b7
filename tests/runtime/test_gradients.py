"""Gradients arrive in `.grad` as autograd would leave them: whose memory, which layout, what is called."""

import pytest
import torch
from gossamer.runtime.gradients import accumulate, storage
from torch import nn


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape))


def test_a_gradient_that_lies_right_is_taken_as_it_is():
    p, gradient = parameter(3, 4), torch.randn(3, 4)
    accumulate(p, gradient)
    assert p.grad is gradient


@pytest.mark.parametrize("gradient", [torch.randn(4, 3).t(), torch.randn(1, 4).expand(3, 4), torch.randn(3, 8)[:, ::2]])
def test_a_gradient_that_lies_otherwise_is_copied(gradient: torch.Tensor):
    p = parameter(3, 4)
    accumulate(p, gradient)
    assert p.grad is not None
    assert p.grad.stride() == (4, 1)
    assert torch.equal(p.grad, gradient)
    assert storage(p.grad) != storage(gradient)


def test_a_gradient_lies_as_its_parameter_does():
    p = nn.Parameter(torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last))
    accumulate(p, torch.randn(2, 3, 4, 4))
    assert p.grad is not None
    assert p.grad.stride() == p.stride()
    assert not p.grad.requires_grad


def test_axes_of_one_element_may_have_any_stride():
    p, gradient = parameter(1, 4), torch.randn(4, 1).t()
    accumulate(p, gradient)
    assert p.grad is gradient


def test_memory_of_others_is_not_taken():
    p, gradient = parameter(3), torch.randn(3)
    accumulate(p, gradient, {storage(gradient)})
    assert p.grad is not gradient
    assert p.grad is not None
    assert torch.equal(p.grad, gradient)


def test_more_is_added_in_place():
    p, first, more = parameter(3), torch.randn(3), torch.randn(3)
    accumulate(p, first)
    expected = first + more
    with torch.no_grad():
        accumulate(p, more)
    assert p.grad is first
    assert torch.equal(first, expected)


def test_sparse_gradients():
    p, rows = parameter(5, 2), torch.tensor([[1, 3]])
    sparse = torch.sparse_coo_tensor(rows, torch.ones(2, 2), (5, 2), check_invariants=True)
    with torch.no_grad():
        accumulate(p, sparse)
        assert p.grad is sparse
        accumulate(p, sparse.clone())
        assert p.grad is not None
        assert p.grad.is_sparse
        accumulate(p, torch.ones(5, 2))
    assert torch.equal(p.grad, 1 + 2 * torch.tensor([0.0, 1, 0, 1, 0])[:, None].expand(5, 2))


def test_hooks_see_the_gradient_in_order_and_may_replace_it():
    p, seen = parameter(2), []
    p.register_hook(lambda gradient: gradient * 2)
    p.register_hook(lambda gradient: seen.append(gradient.tolist()))
    p.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    p.grad = torch.ones(2)
    with torch.no_grad():
        accumulate(p, torch.tensor([1.0, 2.0]))
    assert seen == [[2.0, 4.0], [3.0, 5.0]]


def test_a_hook_may_remove_itself():
    p, seen = parameter(2), []
    first = p.register_hook(lambda gradient: first.remove())
    p.register_hook(lambda gradient: seen.append("hook"))
    last = p.register_post_accumulate_grad_hook(lambda p: last.remove())
    p.register_post_accumulate_grad_hook(lambda p: seen.append("post-accumulate"))
    for _ in range(2):
        accumulate(p, torch.ones(2))
        p.grad = None
    assert seen == ["hook", "post-accumulate"] * 2
