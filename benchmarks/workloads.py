"""What is measured: a model with random weights, a batch, and what of the result is read.

| name         | model                      | batch                       | rows that count              |
|--------------|----------------------------|-----------------------------|------------------------------|
| `bert-short` | BERT-base                  | 32 x 128 tokens             | 30 %, lognormal lengths      |
| `bert-long`  | BERT-base, 2048 positions  | 4 x 2048 tokens             | 40 %, lognormal lengths      |
| `t5`         | T5-base's encoder          | 16 x 128 tokens             | 30 %, lognormal lengths      |
| `vit`        | ViT-base                   | 8 x (1 + 196) patches       | class token, 30 % of patches |
| `dense`      | BERT, GPT-2, ViT, Llama    | 4 x 128 tokens, 4 x 197     | all                          |
| `sweep`      | BERT-base, 2 layers        | 16 x 128 tokens             | 5 % to 100 %                 |

`--quick` keeps the shapes of the programs and makes every size tiny: to see that all of it runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    T5Config,
    T5EncoderModel,
    ViTConfig,
    ViTModel,
)  # fmt: skip

from .batches import lognormal_lengths, patch_mask, prefix_mask, token_ids
from .limits import Encoder

MASK, RESULT = "attention_mask", "last_hidden_state"


@dataclass(frozen=True)
class Workload:
    """A model, the batch it runs on, and the mask [batch, length] of the rows that are read (None: all of them).

    `goals`: least ratio to reach, by the peer that it is to; they hold at full size only.
    """

    title: str
    model: nn.Module
    inputs: Mapping[str, Tensor]
    encoder: Encoder
    mask: Tensor | None = None
    goals: Mapping[str, float] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """Options of `gossamer.compile`."""
        return {} if self.mask is None else {"dont_care": {RESULT: MASK}}

    @property
    def density(self) -> float:
        """Share of rows that are read."""
        return 1.0 if self.mask is None else float(self.mask.float().mean())

    @property
    def limit(self) -> float:
        """The theoretical limit over dense (see `limits`)."""
        return 1.0 if self.mask is None else self.encoder.limit(self.mask.sum(1).tolist(), self.mask.shape[1])

    def difference(self, expected: Tensor, found: Tensor) -> float:
        """The largest absolute difference on rows that are read."""
        apart = (expected - found).abs()
        return float((apart if self.mask is None else apart[self.mask.bool()]).max())


BASE = Encoder(layers=12, hidden=768, intermediate=3072)
TINY = Encoder(layers=2, hidden=32, intermediate=64)
VOCABULARY = {False: 30522, True: 100}


def sizes(quick: bool) -> Encoder:
    """BERT-base's, or tiny ones."""
    return TINY if quick else BASE


def common(encoder: Encoder) -> dict[str, Any]:
    """What most of transformers' configurations call an encoder's sizes."""
    return {
        "hidden_size": encoder.hidden,
        "num_hidden_layers": encoder.layers,
        "num_attention_heads": heads(encoder),
        "intermediate_size": encoder.intermediate,
    }


def heads(encoder: Encoder) -> int:
    """Heads are 64 wide; tiny models have two."""
    return max(encoder.hidden // 64, 2)


def bert(batch: int, length: int, density: float, encoder: Encoder = BASE, vocabulary: int = 30522) -> Workload:
    """BERT on sequences of lognormal lengths."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=vocabulary, max_position_embeddings=max(length, 512), **common(encoder))
    mask = prefix_mask(lognormal_lengths(batch, length, density), length)
    title = f"BERT, {encoder.layers} layers, {batch} x {length} tokens, density {float(mask.float().mean()):.2f}"
    inputs = {"input_ids": token_ids(batch, length, vocabulary), MASK: mask}
    return Workload(title, BertModel(config).eval(), inputs, encoder, mask)


def bert_short(quick: bool) -> Workload:
    batch, length = (4, 32) if quick else (32, 128)
    found = bert(batch, length, 0.3, sizes(quick), VOCABULARY[quick])
    return replace(found, goals={"eager": 2.8, "hand-packed": 0.95})


def bert_long(quick: bool) -> Workload:
    batch, length = (2, 64) if quick else (4, 2048)
    return replace(bert(batch, length, 0.4, sizes(quick), VOCABULARY[quick]), goals={"eager": 2.3})


def t5(quick: bool) -> Workload:
    """T5-base's encoder on sequences of lognormal lengths."""
    torch.manual_seed(0)
    encoder, (batch, length), vocabulary = sizes(quick), (4, 32) if quick else (16, 128), VOCABULARY[quick]
    config = T5Config(
        vocab_size=vocabulary, d_model=encoder.hidden, d_ff=encoder.intermediate, num_layers=encoder.layers,
        num_heads=heads(encoder), d_kv=encoder.hidden // heads(encoder),
    )  # fmt: skip
    mask = prefix_mask(lognormal_lengths(batch, length, 0.3), length)
    title = f"T5 encoder, {encoder.layers} layers, {batch} x {length} tokens, density {float(mask.float().mean()):.2f}"
    inputs = {"input_ids": token_ids(batch, length, vocabulary), MASK: mask}
    return Workload(title, T5EncoderModel(config).eval(), inputs, encoder, mask, {"eager": 1.0})


def vit(quick: bool) -> Workload:
    """ViT-base on images of which a random 30 % of the patches is kept, as masked autoencoders keep them."""
    batch = 2 if quick else 8
    model, images = vit_model(batch, quick)
    mask = patch_mask(batch, model.embeddings.patch_embeddings.num_patches, 0.3)
    encoder = sizes(quick)
    title = f"ViT, {encoder.layers} layers, {batch} x {mask.shape[1]} patches, density {float(mask.float().mean()):.2f}"
    return Workload(title, model, {"pixel_values": images, MASK: mask}, encoder, mask, {"eager": 1.0})


def vit_model(batch: int, quick: bool) -> tuple[ViTModel, Tensor]:
    """ViT-base with random weights, and random images [batch, 3, size, size]."""
    torch.manual_seed(0)
    size = 32 if quick else 224
    config = ViTConfig(image_size=size, patch_size=8 if quick else 16, **common(sizes(quick)))
    return ViTModel(config).eval(), torch.randn(batch, 3, size, size)


def dense_bert(quick: bool) -> Workload:
    batch, length = (2, 16) if quick else (4, 128)
    found = bert(batch, length, 1.0, sizes(quick), VOCABULARY[quick])
    return dense("BERT, full length", found.model, found.inputs, quick, mask=found.mask)


def dense_gpt2(quick: bool) -> Workload:
    torch.manual_seed(0)
    encoder, (batch, length) = sizes(quick), (2, 16) if quick else (4, 128)
    config = GPT2Config(
        vocab_size=VOCABULARY[quick], n_embd=encoder.hidden, n_layer=encoder.layers, n_head=heads(encoder),
        n_inner=encoder.intermediate, use_cache=False, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return dense("GPT-2", GPT2Model(config).eval(), {"input_ids": token_ids(batch, length, VOCABULARY[quick])}, quick)


def dense_vit(quick: bool) -> Workload:
    model, images = vit_model(2 if quick else 4, quick)
    return dense("ViT", model, {"pixel_values": images}, quick)


def dense_llama(quick: bool) -> Workload:
    torch.manual_seed(0)
    batch, length = (2, 16) if quick else (4, 128)
    config = LlamaConfig(
        vocab_size=VOCABULARY[quick], hidden_act="silu", use_cache=False, bos_token_id=0, eos_token_id=0,
        **common(sizes(quick)),
    )  # fmt: skip
    ids = token_ids(batch, length, VOCABULARY[quick])
    return dense("Llama, SiLU", LlamaModel(config).eval(), {"input_ids": ids}, quick)


def dense(
    title: str, model: nn.Module, inputs: Mapping[str, Tensor], quick: bool, mask: Tensor | None = None
) -> Workload:
    """Nothing to win: what is promised is not to lose."""
    shape = " x ".join(map(str, next(iter(inputs.values())).shape))
    return Workload(f"{title}, {shape}", model, inputs, sizes(quick), mask, {"eager": 0.98})


ENCODERS: dict[str, Callable[[bool], Workload]] = {
    "bert-short": bert_short,
    "bert-long": bert_long,
    "t5": t5,
    "vit": vit,
}
"""Workloads with dead rows: a table each, with all peers."""

CONTROLS: tuple[Callable[[bool], Workload], ...] = (dense_bert, dense_gpt2, dense_vit, dense_llama)
"""Workloads without: a row each, against eager."""
