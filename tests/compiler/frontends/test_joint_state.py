"""What attributes carry from one call to the next is refused where the loss reads it, and left alone where not."""

from collections.abc import Callable
from typing import Any

import gossamer
import pytest
import torch
from gossamer.dialects.diagnostics import UserError
from torch import nn

from ...training import Perceptron, check_training, pairs, squared


class Stateful(nn.Module):
    """`after(self, y)` is what it gives for the result `y` of its layer."""

    def __init__(self, after: Callable[[Any, torch.Tensor], torch.Tensor]):
        super().__init__()
        self.inner, self.after, self.count, self.last = Perceptron(p=0.2), after, 0, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self, self.inner(x))


def counts(self: Any, y: torch.Tensor) -> torch.Tensor:
    self.count += 1
    return y * self.count


def anneals(self: Any, y: torch.Tensor) -> torch.Tensor:
    self.count += 1
    return y if self.count > 1 else y.tanh()


def remembers(self: Any, y: torch.Tensor) -> torch.Tensor:
    y = y if self.last is None else y + self.last
    self.last = y.detach()
    return y


def begins(self: Any, y: torch.Tensor) -> torch.Tensor:
    y = y + getattr(self, "scale", 2.0)
    self.scale = 3.0
    return y


def logs(self: Any, y: torch.Tensor) -> torch.Tensor:
    self.count += 1
    self.last, self.seen = y, y.relu()
    return y + self.last


def resets(self: Any, y: torch.Tensor) -> torch.Tensor:
    self.last = None
    return remembers(self, y)


@pytest.mark.parametrize(
    ("after", "name"), [(counts, "count"), (anneals, "count"), (remembers, "last"), (begins, "scale")]
)
def test_a_loss_that_depends_on_its_last_call_is_refused(after: Any, name: str):
    model = nn.Sequential(Stateful(after))
    with pytest.raises(UserError, match=f"last call left in '0.{name}'(?s:.*)register_buffer"):
        gossamer.compile_training(model, squared, pairs(1)[0])
    assert vars(model[0]).get("count") == 0
    assert vars(model[0]).get("last") is None
    assert "scale" not in vars(model[0])


@pytest.mark.parametrize("after", [logs, resets])
def test_what_is_left_and_never_read_is_no_other_step(after: Any):
    model = Stateful(after)
    gossamer.compile_training(model, squared, pairs(1)[0])
    assert (model.count, model.last) == (0, None)
    check_training(model, squared, pairs())
