"""Mixtures of experts of the `transformers` library, of one or two layers."""

from typing import Any

import torch
from gossamer.tests.models.language import LLAMA, T5, WORDS, network, text, words
from gossamer.tests.models.sample import Sample, model
from torch.export import Dim

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Mixtral": ("Mixtral", {"num_local_experts": 4}),
    "OLMoE": ("Olmoe", {"num_experts": 8}),
    "Qwen2MoE": ("Qwen2Moe", {"num_experts": 8, "moe_intermediate_size": 48, "shared_expert_intermediate_size": 96}),
    "Qwen3MoE": ("Qwen3Moe", {"num_experts": 8, "moe_intermediate_size": 48, "head_dim": 16}),
    "gpt-oss": ("GptOss", {"num_local_experts": 8, "head_dim": 16, "num_hidden_layers": 2}),
    "DeepSeek-V3": (
        "DeepseekV3",
        {
            "n_routed_experts": 8,
            "n_group": 2,
            "topk_group": 1,
            "moe_intermediate_size": 48,
            "n_shared_experts": 1,
            "num_hidden_layers": 2,
            "first_k_dense_replace": 1,
            "q_lora_rank": 32,
            "kv_lora_rank": 16,
            "num_key_value_heads": 4,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 16,
        },
    ),
}
"""The library's prefix of each family and what its config has beside the common sizes."""


def mixture(family: str, implementation: str) -> torch.nn.Module:
    """A model whose experts run as `implementation` says."""
    prefix, own = FAMILIES[family]
    sizes = {**LLAMA, **own, "num_experts_per_tok": 2, "use_cache": False}
    net = network(f"{prefix}ForCausalLM", f"{prefix}Config", **sizes)
    net.set_experts_implementation(implementation)  # pyright: ignore[reportCallIssue]
    return net


@model("Mixtral [batched_mm]")
def mixtral_batched() -> Sample:
    return text(mixture("Mixtral", "batched_mm"))


@model("Mixtral [grouped_mm]")
def mixtral_grouped() -> Sample:
    return text(mixture("Mixtral", "grouped_mm"))


@model("Mixtral [grouped_mm, bfloat16]")
def mixtral_grouped_bfloat16() -> Sample:
    return text(mixture("Mixtral", "grouped_mm").bfloat16())


@model("Mixtral [eager]")
def mixtral_eager() -> Sample:
    return text(mixture("Mixtral", "eager"))


@model("OLMoE [grouped_mm]")
def olmoe() -> Sample:
    return text(mixture("OLMoE", "grouped_mm"))


@model("Qwen2MoE [batched_mm]")
def qwen2_moe() -> Sample:
    return text(mixture("Qwen2MoE", "batched_mm"))


@model("Qwen3MoE [grouped_mm]")
def qwen3_moe() -> Sample:
    return text(mixture("Qwen3MoE", "grouped_mm"))


@model("DeepSeek-V3 [grouped_mm]")
def deepseek() -> Sample:
    return text(mixture("DeepSeek-V3", "grouped_mm"))


@model("gpt-oss [grouped_mm]")
def gpt_oss() -> Sample:
    return text(mixture("gpt-oss", "grouped_mm"))


CAPACITY = {"num_experts": 4, "expert_capacity": 3, "router_bias": True}


@model("Switch")
def switch() -> Sample:
    layers = {"num_decoder_layers": 2, "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1}
    name = "SwitchTransformersForConditionalGeneration"
    net = network(name, "SwitchTransformersConfig", **T5, **layers, **CAPACITY, use_cache=False)
    return text(net, decoder_input_ids=words(12))


@model("NLLB-MoE")
def nllb() -> Sample:
    side = {"layers": 2, "attention_heads": 4, "ffn_dim": 48, "sparse_step": 2}
    sizes = {f"{end}_{name}": size for end in ("encoder", "decoder") for name, size in side.items()}
    common = {"vocab_size": WORDS, "d_model": 32, "max_position_embeddings": 64}
    net = network("NllbMoeForConditionalGeneration", "NllbMoeConfig", **common, **sizes, **CAPACITY, use_cache=False)
    return text(net, decoder_input_ids=words(12))


@model("Mixtral, batch only")
def mixtral_batch() -> Sample:
    sample = text(mixture("Mixtral", "grouped_mm"))
    return sample._replace(dynamic_shapes={key: {0: Dim.DYNAMIC} for key in sample.kwargs})
