"""An imported program means what the model means, whatever the strides, and for gradients too."""

import gossamer
import pytest
import torch
from gossamer.compiler.frontends.torch_export import import_model
from gossamer.tests.imports import Wrap, result_of
from gossamer.tests.zoo import ZOO, difference
from torch import nn
from torch.nn.functional import scaled_dot_product_attention


def gradients(model: nn.Module, result: torch.Tensor) -> dict[str, torch.Tensor | None]:
    model.zero_grad()
    (result * torch.linspace(-1, 1, result.numel()).view(result.shape)).sum().backward()
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("name", ["no_grad and autocast", "straight-through gate", "ResNet-18, training", "scan"])
def test_gradients_are_those_of_eager(name: str):
    sample, twin = (ZOO[name].build() for _ in range(2))
    imported = import_model(*sample)
    ours, theirs = result_of(imported, *sample.args), twin.model(*twin.args)
    ours, theirs = (r if isinstance(r, torch.Tensor) else r[0] for r in (ours, theirs))
    assert difference(gradients(sample.model, ours), gradients(twin.model, theirs)) <= ZOO[name].tolerance * 10


def test_a_written_slice_passes_its_gradient_on():
    def write(x: torch.Tensor) -> torch.Tensor:
        out = torch.zeros(3, 4, dtype=torch.float64)
        out[1:] = x[0]
        return out

    x = torch.randn(1, 4, requires_grad=True)
    result_of(import_model(Wrap(write), (x,)), x).sum().backward()
    assert torch.equal(x.grad, torch.full((1, 4), 2.0))  # pyright: ignore


def test_no_view_relies_on_the_strides_of_the_example():
    """Attention whose bias is trained runs in another kernel, which lays its result out otherwise."""

    def attend(x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        q = x.transpose(1, 2)
        return scaled_dot_product_attention(q, q, q, bias).transpose(1, 2).reshape(2, 5, 12)

    x, bias = torch.randn(2, 5, 3, 4), torch.randn(5, 5)
    for traced in (False, True):
        imported = import_model(Wrap(attend), (x, bias.clone().requires_grad_(traced)))
        for trained in (False, True):
            bias.requires_grad_(trained)
            assert difference(result_of(imported, x, bias), attend(x, bias)) == 0


def test_an_argument_may_lie_in_memory_as_it_likes():
    imported = import_model(Wrap(lambda x: x.reshape(-1) * 2), (torch.randn(3, 4),))
    x = torch.randn(4, 3).t()
    assert torch.equal(result_of(imported, x), x.reshape(-1) * 2)


class Copied(torch.nn.Module):
    """A copy of a value that is returned as well, seen otherwise."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        kept, y = x.clone(), x * 2
        kept.copy_(y)
        return y.unsqueeze(-1), kept


def test_what_is_copied_and_its_copy_are_two_tensors():
    y, kept = gossamer.compile(Copied(), torch.randn(2, 3))(torch.ones(2, 3))
    kept.zero_()
    assert torch.equal(y, torch.full((2, 3, 1), 2.0))
