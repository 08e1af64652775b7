"""Models to train, of random weights: of full size, or tiny for a look.

MODELS["BERT"](quick=False)     ->     Job(model, loss(model, *batch), batch)
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
WORDS = {"vocab_size": 50}


@dataclass(frozen=True)
class Job:
    """A model in training mode, and the loss of a batch."""

    model: nn.Module
    loss: Callable[..., Tensor]
    batch: tuple[Tensor, ...]


def of_labels(model: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    """Of a model that gives logits."""
    return cross_entropy(model(x), labels)


def of_tokens(model: nn.Module, ids: Tensor, labels: Tensor) -> Tensor:
    """Of a language model of transformers."""
    return model(input_ids=ids, labels=labels).loss


def of_pictures(model: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
    """Of a classifier of pictures of transformers."""
    return model(pixel_values=pixels, labels=labels).loss


def mlp(quick: bool) -> Job:
    """Three layers."""
    width, batch = (16, 4) if quick else (1024, 4096)
    layers = [nn.Linear(width, width), nn.GELU(), nn.Dropout(0.1), nn.Linear(width, width), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(width, 10))
    return Job(model.train(), of_labels, (torch.randn(batch, width), torch.randint(10, (batch,))))


def resnet(quick: bool) -> Job:
    """ResNet-18: convolutions with BatchNorm."""
    full, tiny = (
        {"hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2]},
        {"hidden_sizes": [8, 16], "depths": [1, 1]},
    )
    options: dict[str, Any] = {"layer_type": "basic", "num_labels": 10, **(tiny if quick else full)}
    config = transformers.ResNetConfig(embedding_size=8 if quick else 64, **options)
    return pictures(transformers.ResNetForImageClassification(config), 32 if quick else 112, 2 if quick else 8)


def vit(quick: bool) -> Job:
    """ViT-Base."""
    options: dict[str, Any] = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.1)
    options |= {**TINY, "intermediate_size": 64, "image_size": 32} if quick else {"image_size": 224}
    config = transformers.ViTConfig(num_labels=10, **options)  # pyright: ignore[reportCallIssue]
    return pictures(transformers.ViTForImageClassification(config), options["image_size"], 2 if quick else 4)


def pictures(model: nn.Module, side: int, batch: int) -> Job:
    """A classifier of pictures of transformers, on noise."""
    return Job(model.train(), of_pictures, (torch.randn(batch, 3, side, side), torch.randint(10, (batch,))))


def language(make: Callable[[bool], Any], length: int, quick: bool) -> Job:
    """A language model of transformers, on random tokens."""
    model = make(quick)
    shape = (2, 8) if quick else (4, length)
    ids, labels = (torch.randint(2, model.config.vocab_size, shape) for _ in range(2))
    return Job(model.train(), of_tokens, (ids, labels))


def gpt2(attention: str, quick: bool) -> nn.Module:
    """GPT-2 of 124M parameters."""
    tiny = {"vocab_size": 50, "n_layer": 2, "n_embd": 32, "n_head": 2, "n_positions": 16}
    options: dict[str, Any] = {"attn_implementation": attention, **(tiny if quick else {})}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**options))


def bert(quick: bool) -> nn.Module:
    """BERT-Base."""
    options: dict[str, Any] = {**TINY, **WORDS, "intermediate_size": 64} if quick else {}
    return transformers.BertForMaskedLM(transformers.BertConfig(**options))


def opt(quick: bool) -> nn.Module:
    """OPT of 125M parameters."""
    tiny: dict[str, Any] = {**TINY, **WORDS, "ffn_dim": 64, "word_embed_proj_dim": 32, "max_position_embeddings": 32}
    return transformers.OPTForCausalLM(transformers.OPTConfig(**(tiny if quick else {})))


def t5(quick: bool) -> nn.Module:
    """T5-Small, whose embedding is its head too."""
    tiny = {**WORDS, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
    options: dict[str, Any] = {"tie_word_embeddings": True, "decoder_start_token_id": 0, **(tiny if quick else {})}
    return transformers.T5ForConditionalGeneration(transformers.T5Config(**options))


MODELS: dict[str, Callable[[bool], Job]] = {
    "MLP": mlp,
    "ResNet-18": resnet,
    "GPT-2 124M, eager attention": partial(language, partial(gpt2, "eager"), 256),
    "GPT-2 124M, sdpa": partial(language, partial(gpt2, "sdpa"), 256),
    "BERT-Base": partial(language, bert, 256),
    "ViT-Base": vit,
    "OPT 125M": partial(language, opt, 256),
    "T5-Small, tied": partial(language, t5, 128),
}
