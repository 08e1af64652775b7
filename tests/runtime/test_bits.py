"""Tensors are the same where all bits are, but for those of NaN."""

import torch
from gossamer.runtime.allocations import changes
from gossamer.runtime.bits import same_bits


def test_bits_are_compared():
    assert same_bits(torch.tensor([float("nan"), 1.0]), torch.tensor([-float("nan"), 1.0]))
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not same_bits(torch.tensor([float("nan")]), torch.tensor([1.0]))
    assert not same_bits(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0000002]))
    assert same_bits(torch.tensor([True, False]), torch.tensor([True, False]))
    assert not same_bits(torch.tensor([True]), torch.tensor([False]))


def test_torch_is_asked_for_no_memory():
    one, two = torch.randn(2, 50)
    assert not changes(lambda: same_bits(one, two))
