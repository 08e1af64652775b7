"""The eager experts of transformers: a Python loop over experts that were hit becomes one op, or a loop over all.

    for expert_idx in expert_hit:                                        y = gossamer.moe_experts(
        top_k_pos, token_idx = torch.where(expert_mask[expert_idx])          x, indices, weights,
        current = linear(x[token_idx], gate_up_proj[expert_idx])     ->      [gate_up_proj], [], [down_proj], [],
        current = linear(act(gate) * up, down_proj[expert_idx])              "silu_gated", ..)
        y.index_add_(0, token_idx, current * top_k_weights[..])

One text of `forward` serves 54 classes (Mixtral, OLMoE, Qwen, DeepSeek, ..). Where the op has no name for what stands
between the products, all experts run, each on the tokens it was given, those that were not hit on none. Results are
the same to the bit. Other implementations ("grouped_mm", "batched_mm") export as they are, and stay.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional

from ....runtime.custom_ops import moe_experts as one_op
from .registry import reads
from .routed import activation_of, every_expert

EAGER = (None, "eager")


def as_one_op(module: Any) -> Callable[..., Tensor] | None:
    """The form of a module of experts, where it would run its eager loop and that is one we know."""
    if getattr(getattr(module, "config", None), "_experts_implementation", "") not in EAGER:
        return None
    form = FORMS.get(reads(type(module).forward))
    return form(module) if form else None


def gated(module: Any, transposed: bool = False) -> Callable[..., Tensor]:
    """act(gate) * up, of one product."""
    activation = activation_of(module.act_fn)

    def gate(x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=-1)
        return module.act_fn(left) * right

    def moe_experts(hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        layers = [module.gate_up_proj], [], [module.down_proj], []
        return one_op(hidden_states, top_k_index, top_k_weights, *layers, f"{activation}_gated", [], transposed, 1.0)

    return moe_experts if activation else looped(module, gate, transposed)


def transposed(module: Any) -> Callable[..., Tensor]:
    """The same, weights the other way round (Aria)."""
    return gated(module, transposed=True)


def own_gate(module: Any) -> Callable[..., Tensor]:
    """A gate that the class writes itself (DeepSeek-V4, MiniMax-M3, ..)."""
    return looped(module, module._apply_gate)


def clamped(module: Any) -> Callable[..., Tensor] | None:
    """gpt-oss: biases, gate and up interleaved and clamped."""
    if reads(type(module)._apply_gate) != CLAMPED_GATE:
        return None

    def moe_experts(hidden_states: Tensor, router_indices: Tensor, routing_weights: Tensor) -> Tensor:
        layers = [module.gate_up_proj], [module.gate_up_proj_bias], [module.down_proj], [module.down_proj_bias]
        numbers = [float(module.alpha), float(module.limit)]
        return one_op(hidden_states, router_indices, routing_weights, *layers, "clamped_swiglu", numbers, True, 1.0)

    return moe_experts


def looped(module: Any, gate: Callable[[Tensor], Tensor], transposed: bool = False) -> Callable[..., Tensor]:
    """All experts, each on its tokens."""

    def project(x: Tensor, weight: Tensor) -> Tensor:
        return x @ weight if transposed else functional.linear(x, weight)

    def run(expert: int, rows: Tensor) -> Tensor:
        return project(gate(project(rows, module.gate_up_proj[expert])), module.down_proj[expert])

    def expert_loop(hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        return every_expert(hidden_states, top_k_index, top_k_weights, module.num_experts, run)

    return expert_loop


CLAMPED_GATE = "23b5a33f1af1"

FORMS: dict[str, Callable[[Any], Callable[..., Tensor] | None]] = {
    "95ea18b5cc39": gated,
    "4e96ffd5db23": transposed,
    "a6eaa7ae5ee4": own_gate,
    "dc6fc0b11805": clamped,
}
"""What stands for which text of `forward`, by its digest."""
