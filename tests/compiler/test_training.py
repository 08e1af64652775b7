import torch
from torch import nn
from torch.nn import functional

from ..training import check_training


class Perceptron(nn.Module):
    def __init__(self, p: float = 0.0):
        super().__init__()
        self.up, self.down, self.norm, self.p = nn.Linear(8, 16), nn.Linear(16, 8), nn.LayerNorm(8), p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.dropout(functional.gelu(self.up(x)), self.p, self.training)
        return self.norm(self.down(hidden) + x)


def squared(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(model(x), y)


def pairs(count: int = 4):
    return [(torch.randn(4, 8), torch.randn(4, 8)) for _ in range(count)]


def test_a_perceptron_trains_as_in_eager():
    check_training(Perceptron(), squared, pairs())


def test_dropout_draws_what_eager_draws():
    check_training(Perceptron(p=0.3), squared, pairs())
