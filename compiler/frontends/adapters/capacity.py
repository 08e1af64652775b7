"""Switch Transformers and NLLB-MoE: routers with a capacity, and experts that are modules of their own.

    for expert_idx in expert_hit:                                    y = gossamer.moe_experts(x, indices, weights,
        current = self[f"expert_{expert_idx[0]}"](x[top_x])    ->        [expert_0.wi, ..], [], [expert_0.wo, ..], [],
        y.index_add_(0, top_x, current * weights[..])                    "relu", ..)

Routing stays as it is written: who is dropped is a cumsum over tokens, and exports. A token dropped has the index of no
expert. Results are the same to the bit. Where dropout is on, or the op has no name for the activation, all experts
run, each on its tokens.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ....runtime.custom_ops import moe_experts as one_op
from .registry import reads
from .routed import activation_of, every_expert

SWITCH = {"mlp": "219e8e6f18a9", "experts": "e7c4872b5c54", "expert": "ab7639c4d3a8"}
NLLB = {"experts": "e2d5a8062687", "expert": "a6ab80957c92"}
"""Digests of the texts of `forward` that these forms stand for."""


def experts_of(module: Any, text: str) -> tuple[Sequence[Any], str] | None:
    """The experts of a `ModuleDict` in order, where they read as `text`; the op's name for their activation, or ""."""
    experts = [module[f"expert_{index}"] for index in range(module.num_experts)]
    names = {activation_of(expert.act) or "" for expert in experts}
    if any(reads(type(expert).forward) != text for expert in experts):
        return None
    return experts, names.pop() if len(names) == 1 else ""


def switch(module: Any) -> Callable[..., Tensor] | None:
    """A sparse layer of Switch Transformers: the one expert of each token, or none."""
    texts = (reads(type(module).forward), reads(type(module.experts).forward))
    known = experts_of(module.experts, SWITCH["expert"])
    if texts != (SWITCH["mlp"], SWITCH["experts"]) or known is None:
        return None
    experts, activation = known

    def moe_experts(hidden_states: Tensor) -> Tensor:
        selected, weights, _ = module.router(hidden_states)
        hidden, count = hidden_states.reshape(-1, hidden_states.shape[-1]), len(experts)
        selected, weights = selected.reshape(-1, count), weights.reshape(-1, 1)
        indices = torch.where(selected.sum(-1) > 0, selected.argmax(-1), count)[:, None]
        if not activation or any(drops(expert.dropout) for expert in experts):
            result = every_expert(hidden, indices, weights, count, lambda e, rows: experts[e](rows))
        else:
            layers = [e.wi.weight for e in experts], [], [e.wo.weight for e in experts], []
            result = one_op(hidden, indices, weights, *layers, activation, [], False, 1.0)
        return result.reshape(hidden_states.shape)

    return moe_experts


def nllb(module: Any) -> Callable[..., Tensor] | None:
    """The experts of NLLB-MoE.

    Their loop takes the router's 0/1 mask [T, E] for indices: each token goes E times, to expert 0 where the mask is
    zero and to expert 1 where it is one. So does the op, whose second operand it is.
    """
    known = experts_of(module, NLLB["expert"])
    if reads(type(module).forward) != NLLB["experts"] or known is None:
        return None
    experts, activation = known

    def moe_experts(hidden_states: Tensor, router_mask: Tensor, router_probs: Tensor) -> Tensor:
        scale = 1.0 if module.training else 1.0 - module.moe_token_dropout
        if not activation or drops(module.token_dropout) or any(drops(expert.dropout) for expert in experts):
            routed = hidden_states, router_mask, router_probs, len(experts)
            finish = module.token_dropout if module.training else lambda rows: rows * scale
            return every_expert(*routed, lambda e, rows: experts[e](rows), finish)
        inner, outer = [expert.fc1 for expert in experts], [expert.fc2 for expert in experts]
        layers = [[getattr(layer, name) for layer in side] for side in (inner, outer) for name in ("weight", "bias")]
        return one_op(hidden_states, router_mask, router_probs, *layers, activation, [], False, scale)

    return moe_experts


def drops(dropout: Any) -> bool:
    """Whether a dropout module draws random numbers."""
    return dropout.training and dropout.p > 0
