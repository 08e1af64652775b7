"""What counts as a write."""

import gc

import pytest
import torch
from gossamer.runtime.versions import Version


def write(weight: torch.Tensor) -> None:
    weight[0] = 2.0


def move(weight: torch.Tensor) -> None:
    weight.data = torch.ones(3)


@pytest.mark.parametrize("change", [write, move])
def test_a_tensor_is_itself_until_it_is_written_or_moved(change):
    weight = torch.nn.Parameter(torch.ones(3), requires_grad=False)
    seen = Version.of(weight)
    assert seen is not None
    assert seen.is_of(weight)
    assert not seen.is_of(weight.detach())
    change(weight)
    assert not seen.is_of(weight)


def test_nobody_counts_the_writes_of_an_inference_tensor():
    with torch.inference_mode():
        weight = torch.ones(3)
    assert Version.of(weight) is None


def test_a_tensor_that_is_gone_is_told_of():
    gone = []
    weight = torch.ones(3)
    seen = Version.of(weight, gone.append)
    assert seen is not None
    del weight
    gc.collect()
    assert gone == [seen.tensor]
