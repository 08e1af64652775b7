"""Attention reads keys and values in place only where it has the same bits then, and a step holds no copies."""

from typing import Any

import pytest
import torch
from gossamer.compiler import exact_attention as trying
from gossamer.tests.training import check_training
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM


def test_another_result_is_found(monkeypatch: pytest.MonkeyPatch):
    true = trying.attention

    def other(q: Tensor, k: Tensor, v: Tensor, gradient: Tensor, causal: bool) -> list[Tensor]:
        return [result if k.is_contiguous() else result + 1e-7 for result in true(q, k, v, gradient, causal)]

    monkeypatch.setattr(trying, "attention", other)
    assert not trying.is_exact()


def test_other_strides_are_found(monkeypatch: pytest.MonkeyPatch):
    true = trying.attention

    def other(q: Tensor, k: Tensor, v: Tensor, gradient: Tensor, causal: bool) -> list[Tensor]:
        return [result.contiguous() if k.is_contiguous() else result for result in true(q, k, v, gradient, causal)]

    monkeypatch.setattr(trying, "attention", other)
    assert not trying.is_exact()


@pytest.mark.usefixtures("elided_caches")
@pytest.mark.parametrize("heads", [1, 2])
def test_a_decoder_holds_no_copies_of_keys_and_values(heads: int):
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"n_layer": 2, "n_embd": 32, "n_head": heads, "n_positions": 16, "vocab_size": 40}
    model = GPT2LMHeadModel(GPT2Config(**sizes, resid_pdrop=0.1, attn_pdrop=0.0)).train()
    ids = torch.randint(40, (3, 16))

    def loss(model: nn.Module, ids: Tensor) -> Tensor:
        return model(input_ids=ids, labels=ids).loss

    step = check_training(model, loss, [(ids,)])
    joins = [line for line in step.ir().splitlines() if "aten.cat" in line]
    assert len(joins) == 2, "one join of gradients in each layer"


@pytest.mark.usefixtures("elided_caches")
def test_rotated_keys_are_not_copied():
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 40}
    model = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=4)).train()
    ids = torch.randint(40, (3, 16))
    step = check_training(model, lambda model, ids: model(input_ids=ids, labels=ids).loss, [(ids,)])
    joins = [line for line in step.ir().splitlines() if "aten.cat" in line]
    assert not [line for line in joins if "tensor<0xf32>" in line]
