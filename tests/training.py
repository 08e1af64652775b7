"""What tests ask of a training step: that it does what eager does, to the bit."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import gossamer
import torch
from torch import nn
from torch.nn import functional


class Perceptron(nn.Module):
    def __init__(self, p: float = 0.0):
        super().__init__()
        self.up, self.down, self.norm, self.p = nn.Linear(8, 16), nn.Linear(16, 8), nn.LayerNorm(8), p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.dropout(functional.gelu(self.up(x)), self.p, self.training)
        return self.norm(self.down(hidden) + x)


def squared(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(model(x), y)


def pairs(count: int = 3, dtype: torch.dtype = torch.float32) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.randn(4, 8, dtype=dtype), torch.randn(4, 8, dtype=dtype)) for _ in range(count)]


def same(ours: torch.Tensor | None, eager: torch.Tensor | None) -> bool:
    """Equal to the bit, NaN included, and laid out alike; or both None."""
    if ours is None or eager is None:
        return ours is eager
    if eager.layout is torch.sparse_coo:
        parts = ((t.is_coalesced(), t._indices().tolist(), t._values().tolist()) for t in (ours, eager))
        return ours.layout is eager.layout and next(parts) == next(parts)
    if ours.dtype is not eager.dtype or ours.shape != eager.shape or ours.stride() != eager.stride():
        return False
    return torch.equal(ours.contiguous().view(-1).view(torch.uint8), eager.contiguous().view(-1).view(torch.uint8))


def differences(ours: nn.Module, eager: nn.Module) -> list[str]:
    """What gradients and buffers of two models are not the same."""
    parameters = zip(ours.named_parameters(), eager.parameters(), strict=True)
    buffers = zip(ours.named_buffers(), eager.buffers(), strict=True)
    found = [f"gradient of {name}" for (name, own), other in parameters if not same(own.grad, other.grad)]
    return found + [f"buffer {name}" for (name, own), other in buffers if not same(own, other)]


def check_call(
    step: Any,
    model: nn.Module,
    eager: nn.Module,
    loss_fn: Callable[..., torch.Tensor],
    batch: tuple[Any, ...],
    seed: int,
) -> None:
    """One call of a step of `model` does to the bit what `eager` does: loss, gradients, buffers and random numbers."""
    for each in (model, eager):
        each.zero_grad()
    torch.manual_seed(seed)
    loss = step(*batch)
    drawn = torch.rand(())
    torch.manual_seed(seed)
    expected = loss_fn(eager, *batch)
    expected.backward()
    assert torch.equal(drawn, torch.rand(())), "the random stream is elsewhere"
    assert same(loss, expected.detach()), f"batch {seed}: loss {loss} is not {expected}"
    assert not loss.requires_grad
    assert not (found := differences(model, eager)), f"batch {seed}: {found}"


def check_training(
    model: nn.Module,
    loss_fn: Callable[..., torch.Tensor],
    batches: Iterable[tuple[Any, ...]],
    optimizer: Callable[[Any], torch.optim.Optimizer] = lambda parameters: torch.optim.AdamW(parameters, lr=1e-2),
) -> Any:
    """Train a copy in eager beside the model: losses, gradients, buffers and weights are the same to the bit.

    The step is compiled with the first batch. Gives it.
    """
    eager, batches = copy.deepcopy(model), list(batches)
    step = gossamer.compile_training(model, loss_fn, batches[0])
    optimizers = [optimizer([p for p in m.parameters() if p.requires_grad]) for m in (model, eager)]
    for number, batch in enumerate(batches):
        check_call(step, model, eager, loss_fn, batch, number)
        for each in optimizers:
            each.step()
    assert all(same(a, b) for a, b in zip(model.parameters(), eager.parameters(), strict=True))
    return step
