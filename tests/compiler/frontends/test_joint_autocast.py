"""A weight that is used more than once under autocast has eager's gradient: summed before it is cast back."""

import copy
from collections.abc import Callable

import gossamer
import pytest
import torch
from gossamer.compiler.training import TrainingStep
from torch import nn

from ...training import check_training, differences, pairs, squared


class Loop(nn.Module):
    """One linear layer, `times` times; `cast` is how the model itself casts in between."""

    def __init__(self, times: int, cast: Callable[[nn.Linear, torch.Tensor], torch.Tensor] | None = None):
        super().__init__()
        self.linear, self.times, self.cast = nn.Linear(8, 8), times, cast

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.times):
            x = self.linear(x).tanh()
        return x if self.cast is None else self.cast(self.linear, x)


def once(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """One region of autocast."""
    with torch.autocast("cpu", torch.bfloat16):
        return squared(model, x, y)


def twice(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Two regions, one after the other, and one within the other."""
    with torch.autocast("cpu", torch.bfloat16):
        x = model(x).float()
    with torch.autocast("cpu", torch.bfloat16):
        with torch.autocast("cpu", torch.bfloat16):
            x = model(x)
        return squared(model, x.float(), y)


def between(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Autocast off in between, where the weight is read as it is."""
    with torch.autocast("cpu", torch.bfloat16):
        x = model(x)
        with torch.autocast("cpu", enabled=False):
            x = model(x.float())
        return squared(model, x, y)


def casts(step: TrainingStep, name: str = "linear_weight") -> int:
    """How often a weight is cast."""
    return step.program.source.count(f"_to_copy_default({name}, dtype=torch_bfloat16")


@pytest.mark.parametrize("times", [1, 2, 3, 5])
@pytest.mark.parametrize("loss", [once, twice, between])
def test_a_weight_is_cast_once_in_a_region(times: int, loss: Callable[..., torch.Tensor]):
    step = check_training(Loop(times), loss, pairs())
    assert casts(step) == (2 if loss is twice else 1)


@pytest.mark.parametrize(
    "cast",
    [
        lambda linear, x: x @ linear.weight.bfloat16() @ linear.weight.bfloat16(),
        lambda linear, x: x @ linear.weight.to(torch.bfloat16),
        lambda linear, x: (x.float() * linear.weight[0]) + linear.weight.sum(),
    ],
)
def test_casts_of_the_model_s_own_stay(cast: Callable[[nn.Linear, torch.Tensor], torch.Tensor]):
    check_training(Loop(3, cast), once, pairs())


def test_a_frozen_weight():
    model = Loop(3)
    model.linear.weight.requires_grad_(False)
    check_training(model, once, pairs())


def test_autocast_around_the_whole_step():
    model, batch = Loop(4), pairs(1)[0]
    eager = copy.deepcopy(model)
    with torch.autocast("cpu", torch.bfloat16):
        step = gossamer.compile_training(model, squared, batch)
        step(*batch)
        loss = squared(eager, *batch)
    loss.backward()
    assert casts(step) == 1
    assert not differences(model, eager)
