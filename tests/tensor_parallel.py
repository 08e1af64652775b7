"""A GPT-2 that ranks train between them: heads and hidden units split over the ranks, as Megatron does it.

Column-split layers copy their input (its gradient is summed over the ranks), row-split ones sum their output.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed import _functional_collectives as collectives
from transformers import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention, GPT2Block
from transformers.pytorch_utils import Conv1D


def world() -> dist.ProcessGroup:
    """The group of all ranks."""
    assert dist.group.WORLD is not None
    return dist.group.WORLD


class Copy(torch.autograd.Function):
    """The same on all ranks; its gradient is summed over them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return collectives.all_reduce(gradients[0], "sum", world())


class Sum(torch.autograd.Function):
    """The sum over the ranks, whose gradient all of them have."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return collectives.all_reduce(x, "sum", world())

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0]


class Columns(nn.Module):
    """Some outputs of a Conv1D: those of one rank."""

    def __init__(self, whole: Conv1D, columns: Tensor):
        super().__init__()
        self.weight = nn.Parameter(whole.weight.detach()[:, columns].clone())
        self.bias = nn.Parameter(whole.bias.detach()[columns].clone())

    def forward(self, x: Tensor) -> Tensor:
        return Copy.apply(x) @ self.weight + self.bias


class Rows(nn.Module):
    """Some inputs of a Conv1D: those of one rank. The bias is added once."""

    def __init__(self, whole: Conv1D, rows: Tensor):
        super().__init__()
        self.weight = nn.Parameter(whole.weight.detach()[rows].clone())
        self.bias = nn.Parameter(whole.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return Sum.apply(x @ self.weight) + self.bias


def part(size: int, rank: int, count: int) -> Tensor:
    """The positions of one rank among `size`."""
    return torch.arange(size).chunk(count)[rank]


def split_layers(model: nn.Module, rank: int, count: int) -> nn.Module:
    """A copy of a GPT-2 of which every block is one rank's part."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, GPT2Attention):
            width, own = module.embed_dim, part(module.embed_dim, rank, count)
            both = torch.cat([own, own + width, own + 2 * width])
            module.set_submodule("c_attn", Columns(module.c_attn, both))
            module.set_submodule("c_proj", Rows(module.c_proj, own))
            module.num_heads //= count
            module.split_size //= count
        if isinstance(module, GPT2MLP):
            hidden = part(module.c_fc.weight.shape[1], rank, count)
            module.set_submodule("c_fc", Columns(module.c_fc, hidden))
            module.set_submodule("c_proj", Rows(module.c_proj, hidden))
    return model


def own_part(name: str, gradient: Tensor, rank: int, count: int) -> Tensor:
    """What a rank has of the gradient of the whole model's parameter `name`."""
    if name.endswith(("c_attn.weight", "c_attn.bias")):
        return torch.cat([block.chunk(count, -1)[rank] for block in gradient.chunk(3, -1)], -1)
    if name.endswith(("c_fc.weight", "c_fc.bias")):
        return gradient.chunk(count, -1)[rank]
    return gradient.chunk(count)[rank] if name.endswith("c_proj.weight") else gradient


class Blocks(nn.Module):
    """Blocks of GPT-2 and a norm."""

    def __init__(self, layers: int = 2, width: int = 32, heads: int = 4, dropout: float = 0.0):
        super().__init__()
        config = GPT2Config(
            n_embd=width, n_head=heads, n_layer=layers, resid_pdrop=dropout, attn_pdrop=dropout, use_cache=False
        )
        config._attn_implementation = "eager"
        self.h = nn.ModuleList(GPT2Block(config, layer_idx=i) for i in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.h:
            out = block(x)
            x = out if isinstance(out, Tensor) else out[0]
        return self.norm(x)


def squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return nn.functional.mse_loss(model(x), y)
