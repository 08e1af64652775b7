"""Models of transformers train as in eager: losses, gradients, weights and random streams, to the bit."""

from typing import Any

import pytest
import torch
import transformers
from gossamer.dialects.diagnostics import UserError
from torch import nn

from ..training import check_training

VOCABULARY, LENGTH = 100, 12
SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def words(rows: int = 2) -> torch.Tensor:
    return torch.randint(1, VOCABULARY, (rows, LENGTH))


def padded(rows: int = 2) -> torch.Tensor:
    """A mask of attention: rows of different lengths."""
    return (torch.arange(LENGTH)[None] < torch.randint(3, LENGTH, (rows, 1))).long()


def unmasked(model: nn.Module, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return model(input_ids=ids, labels=labels).loss


def masked(model: nn.Module, ids: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return model(input_ids=ids, attention_mask=mask, labels=labels).loss


def pictures(model: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return model(pixel_values=x, labels=labels).loss


def by(attention: str) -> dict[str, Any]:
    return {"attn_implementation": attention}


def gpt2(attention: str, dropout: float = 0.1) -> nn.Module:
    drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
    sizes = {"n_layer": 2, "n_embd": 32, "n_head": 4, "n_positions": 32, "vocab_size": VOCABULARY}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    config = transformers.GPT2Config(**sizes, **drops, **ends, **by(attention), use_cache=False)
    return transformers.GPT2LMHeadModel(config).train()


def bert(attention: str) -> nn.Module:
    config = transformers.BertConfig(**SMALL, vocab_size=VOCABULARY, **by(attention))
    return transformers.BertForMaskedLM(config).train()


def vit(attention: str) -> nn.Module:
    drops = {"hidden_dropout_prob": 0.15, "attention_probs_dropout_prob": 0.1}
    config = transformers.ViTConfig(**SMALL, **drops, image_size=32, patch_size=8, **by(attention))
    return transformers.ViTForImageClassification(config).train()


def opt(attention: str) -> nn.Module:
    sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 64, "max_position_embeddings": 64}
    layers = {"num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": VOCABULARY, "use_cache": False}
    return transformers.OPTForCausalLM(transformers.OPTConfig(**sizes, **layers, **by(attention))).train()


def t5(tied: bool = True) -> nn.Module:
    sizes = {"d_model": 32, "num_layers": 2, "num_heads": 4, "d_kv": 8, "d_ff": 64, "vocab_size": VOCABULARY}
    start = {"decoder_start_token_id": 0, "use_cache": False, "tie_word_embeddings": tied}
    return transformers.T5ForConditionalGeneration(transformers.T5Config(**sizes, **start)).train()


ATTENTION = pytest.mark.parametrize("attention", ["eager", "sdpa"])


@ATTENTION
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_gpt2(attention: str, dropout: float):
    step = check_training(gpt2(attention, dropout), unmasked, [(words(), words()) for _ in range(3)])
    assert step.parameters.count("transformer.wte.weight") == 1
    assert "lm_head.weight" not in step.parameters


@ATTENTION
def test_gpt2_of_padded_rows(attention: str):
    check_training(gpt2(attention), masked, [(words(), padded(), words()) for _ in range(3)])


@ATTENTION
def test_a_mask_of_ones_alone_is_no_other_program(attention: str):
    batches = [(words(), mask, words()) for mask in (padded(), torch.ones(2, LENGTH, dtype=torch.long), padded())]
    check_training(gpt2(attention), masked, batches)


@ATTENTION
def test_bert(attention: str):
    check_training(bert(attention), masked, [(words(), padded(), words()) for _ in range(3)])


@ATTENTION
def test_vit(attention: str):
    check_training(vit(attention), pictures, [(torch.randn(2, 3, 32, 32), torch.randint(2, (2,))) for _ in range(3)])


@ATTENTION
def test_opt(attention: str):
    check_training(opt(attention), masked, [(words(), padded(), words()) for _ in range(3)])


@pytest.mark.parametrize("tied", [True, False])
def test_t5(tied: bool):
    step = check_training(t5(tied), masked, [(words(), padded(), words()) for _ in range(3)])
    layers = {op.attributes["train.layer"] for op in step.module.walk() if "train.layer" in op.attributes}
    assert len(layers) == 4


def test_gpt2_under_autocast():
    def loss(model: nn.Module, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return unmasked(model, ids, labels)

    check_training(gpt2("sdpa"), loss, [(words(), words()) for _ in range(3)])


def test_positions_in_the_batch_are_refused():
    def loss(model: nn.Module, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return model(input_ids=ids, position_ids=positions, labels=ids).loss

    positions = torch.arange(LENGTH).expand(2, LENGTH).contiguous()
    with pytest.raises(UserError, match="the batch has position_ids, whose values decide"):
        check_training(gpt2("sdpa"), loss, [(words(), positions)])


def test_a_result_of_the_model_is_no_loss():
    with pytest.raises(UserError, match=r"gives a CausalLMOutput.*expected a scalar tensor\n  hint: return its .loss"):
        check_training(gpt2("sdpa"), lambda model, ids: model(input_ids=ids, labels=ids), [(words(),)])


def test_checkpointed_blocks_train_as_in_eager():
    model: Any = gpt2("sdpa")
    model.gradient_checkpointing_enable({"use_reentrant": False})
    check_training(model, unmasked, [(words(), words()) for _ in range(2)])
