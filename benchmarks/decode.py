"""Decoding: one token through a model whose feed-forward activations are mostly zero.

| name         | model                                        | what is zero                                  |
|--------------|----------------------------------------------|-----------------------------------------------|
| opt-decode   | OPT-125m: fc2(relu(fc1(x)))                  | 95 % of relu's output: fc2 skips along k      |
| llama-decode | Llama, 768 to 2048 wide, hidden_act="relu":  | 95 % of relu(gate): up skips along n, down    |
|              | down(relu(gate(x)) * up(x))                  | along k                                       |

Weights are random, and random weights give a density of one half. Trained models of this kind are far sparser, so the
density is set by the bias in front of the ReLU: each unit's is lowered by the (1 - density) quantile of what the unit
gives on a batch of random tokens, layer by layer. Which units fire still depends on the token.

A step of decoding reads every weight once, so the limit counts weights: all of them over those that are not skipped.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, LlamaConfig, LlamaModel, OPTConfig, OPTModel

from .batches import token_ids

CONTEXT = 64
"""Tokens that the cache holds when the step is taken."""


@dataclass(frozen=True)
class Decode:
    """One step of `model` on `ids` [1, 1], after the tokens of `past`.

    `gates`: the linears in front of each ReLU. `skipped`: weights of the products that skip, of `total` in all layers.
    """

    title: str
    model: nn.Module
    ids: Tensor
    past: list[tuple[Tensor, ...]]
    density: float
    skipped: int
    total: int
    goals: dict[str, float] = field(default_factory=dict)

    @property
    def inputs(self) -> dict[str, Any]:
        """Made anew for each call, since eager models write into their cache."""
        return {"input_ids": self.ids, "past_key_values": DynamicCache(self.past), "use_cache": True}

    @property
    def options(self) -> dict[str, Any]:
        """Options of `gossamer.compile`: none."""
        return {}

    @property
    def limit(self) -> float:
        """All weights of the layers over those that have to be read."""
        return self.total / (self.total - (1.0 - self.density) * self.skipped)

    def difference(self, expected: Tensor, found: Tensor) -> float:
        """The largest absolute difference, over the largest value."""
        return float((expected - found).abs().max() / expected.abs().max())


@torch.no_grad()
def set_density(model: nn.Module, gates: list[nn.Linear], ids: Tensor, density: float) -> None:
    """Lower the bias of each of `gates`, in the order in which they run, so that a share `density` of units is > 0."""

    def lower(gate: nn.Module, _: object, given: Tensor) -> Tensor:
        assert isinstance(gate, nn.Linear)
        quantile = given.flatten(0, -2).float().quantile(1.0 - density, dim=0).to(given.dtype)
        gate.bias.data -= quantile
        return given - quantile

    hooks = [gate.register_forward_hook(lower) for gate in gates]
    model(input_ids=ids, use_cache=False)
    for hook in hooks:
        hook.remove()


def step(title: str, model: nn.Module, gates: list[nn.Linear], density: float, skipped: int, vocabulary: int) -> Decode:
    """The workload, its density set and its cache filled."""
    set_density(model, gates, token_ids(8, 64, vocabulary), density)
    with torch.no_grad():
        past = model(input_ids=token_ids(1, CONTEXT, vocabulary, seed=1), use_cache=True).past_key_values
    total = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear))
    held = [(layer.keys, layer.values) for layer in past.layers]
    ids = token_ids(1, 1, vocabulary, seed=2)
    return Decode(f"{title}, density {density:.2f}", model, ids, held, density, skipped, total)


def opt(quick: bool, density: float = 0.05, dtype: torch.dtype = torch.float32) -> Decode:
    """OPT-125m: an ordinary ReLU between two products."""
    torch.manual_seed(0)
    hidden, layers, vocabulary = (64, 2, 100) if quick else (768, 12, 50272)
    config = OPTConfig(
        vocab_size=vocabulary, hidden_size=hidden, ffn_dim=4 * hidden, num_hidden_layers=layers,
        num_attention_heads=max(hidden // 64, 2), word_embed_proj_dim=hidden,
    )  # fmt: skip
    model: Any = OPTModel(config)
    model = model.eval().to(dtype)
    gates = [layer.fc1 for layer in model.decoder.layers]
    return step("OPT, one token", model, gates, density, layers * 4 * hidden**2, vocabulary)


def llama(quick: bool, density: float = 0.05, dtype: torch.dtype = torch.float32) -> Decode:
    """A Llama whose gate is a ReLU (ReGLU): what the gate leaves at zero need not be computed."""
    torch.manual_seed(0)
    hidden, inner, layers, vocabulary = (64, 192, 2, 100) if quick else (2048, 5504, 4, 32000)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=max(hidden // 64, 2), hidden_act="relu", mlp_bias=True,
    )  # fmt: skip
    model: Any = LlamaModel(config)
    model = model.eval().to(dtype)
    gates = [layer.mlp.gate_proj for layer in model.layers]
    return step("Llama with ReGLU, one token", model, gates, density, layers * 2 * hidden * inner, vocabulary)


DECODERS: dict[str, Callable[[bool], Decode]] = {"opt-decode": opt, "llama-decode": llama}


class Gathered(nn.Module):
    """linear(x) over the non-zero positions of x, as torch can do it: gather rows of the k-major weight, multiply."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.k_major, self.bias = linear.weight.detach().t().contiguous(), linear.bias

    def forward(self, x: Tensor) -> Tensor:
        active = x.reshape(-1, x.shape[-1]).any(0).nonzero().squeeze(1)
        product = x.index_select(-1, active) @ self.k_major.index_select(0, active)
        return product if self.bias is None else product + self.bias


class GatheredGlu(nn.Module):
    """down(relu(gate(x)) * up(x)) at the positions where the gate is open."""

    def __init__(self, mlp: Any):
        super().__init__()
        self.gate, self.up = mlp.gate_proj, mlp.up_proj
        self.down = mlp.down_proj
        self.k_major = self.down.weight.detach().t().contiguous()

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.relu(self.gate(x))
        active = gate.reshape(-1, gate.shape[-1]).any(0).nonzero().squeeze(1)
        up = nn.functional.linear(x, self.up.weight.index_select(0, active), self.up.bias.index_select(0, active))
        return (gate.index_select(-1, active) * up) @ self.k_major.index_select(0, active) + self.down.bias


def by_hand(workload: Decode) -> nn.Module:
    """The model with its feed-forward parts rewritten in torch, as an expert would."""
    weights = {id(p): p for p in (*workload.model.parameters(), *workload.model.buffers())}
    model = copy.deepcopy(workload.model, dict(weights))
    for layer in layers(model):
        if hasattr(layer, "fc2"):
            layer.fc2 = Gathered(layer.fc2)
        else:
            layer.mlp = GatheredGlu(layer.mlp)
    return model


def layers(model: Any) -> Iterator[Any]:
    """The transformer layers of either model."""
    yield from (model.decoder.layers if hasattr(model, "decoder") else model.layers)
