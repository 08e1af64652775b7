"""The peer to beat: padding taken out by hand, in plain torch, as an expert would write it for one model.

rows      where(mask)                                     flattened positions of tokens that count
x         embeddings of those rows                        [active, hidden]
layer     linears and norms on [active, hidden]; attention for each sequence alone
result    zeros, with x put back                          [batch, length, hidden]
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import BertModel, T5EncoderModel, ViTModel


class Packing:
    """Where the active rows of a mask [batch, length] lie."""

    def __init__(self, mask: Tensor):
        self.shape = mask.shape
        self.rows = mask.flatten().nonzero().flatten()
        self.lengths: list[int] = mask.sum(1).tolist()

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, heads: int, bias: Tensor | None = None, scale: float | None = None
    ) -> Tensor:
        """Attention within each sequence, on [active, channels]; `bias` [1, heads, length, length] is cut to fit."""
        out, start = torch.empty_like(q), 0
        for length in self.lengths:
            rows = slice(start, start + length)
            start += length
            q_, k_, v_ = (x[rows].view(1, length, heads, -1).transpose(1, 2) for x in (q, k, v))
            mask = None if bias is None else bias[:, :, :length, :length]
            found = scaled_dot_product_attention(q_, k_, v_, attn_mask=mask, scale=scale)
            out[rows] = found.transpose(1, 2).reshape(length, -1)
        return out

    def unpack(self, x: Tensor) -> Tensor:
        """[active, hidden] -> [batch, length, hidden], zeros elsewhere."""
        full = x.new_zeros(self.shape.numel(), x.shape[1])
        full[self.rows] = x
        return full.view(*self.shape, -1)


def bert(model: BertModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """The last hidden state of `model`, zeros on padding."""
    packing, parts = Packing(attention_mask), model.embeddings
    layers: Any = model.encoder.layer
    rows, length = packing.rows, input_ids.shape[1]
    x = parts.word_embeddings.weight[input_ids.flatten()[rows]]
    x = x + parts.token_type_embeddings.weight[0] + parts.position_embeddings.weight[rows % length]
    x = parts.LayerNorm(x)
    for layer in layers:
        own = layer.attention.self
        mixed = packing.attend(own.query(x), own.key(x), own.value(x), model.config.num_attention_heads)
        x = layer.attention.output(mixed, x)
        x = layer.output(layer.intermediate(x), x)
    full = packing.unpack(x)
    if model.pooler is not None:
        model.pooler(full)
    return full


def t5(model: T5EncoderModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """The last hidden state of `model`, zeros on padding. Position biases are those of the first layer, cut to fit."""
    packing, stack = Packing(attention_mask), model.encoder
    blocks: Any = stack.block
    bias = blocks[0].layer[0].SelfAttention.compute_bias(*[max(packing.lengths)] * 2)
    x = stack.embed_tokens.weight[input_ids.flatten()[packing.rows]]
    for block in blocks:
        attention, feed_forward = block.layer
        own, normed = attention.SelfAttention, attention.layer_norm(x)
        mixed = packing.attend(own.q(normed), own.k(normed), own.v(normed), own.n_heads, bias=bias, scale=1.0)
        x = feed_forward(x + own.o(mixed))
    return packing.unpack(stack.final_layer_norm(x))


def vit(model: ViTModel, pixel_values: Tensor, attention_mask: Tensor) -> Tensor:
    """The last hidden state of `model`, zeros on masked patches."""
    packing = Packing(attention_mask)
    layers: Any = model.layers
    x = model.embeddings(pixel_values).flatten(0, 1)[packing.rows]
    for layer in layers:
        own, normed = layer.attention, layer.layernorm_before(x)
        q, k, v = own.q_proj(normed), own.k_proj(normed), own.v_proj(normed)
        x = x + own.o_proj(packing.attend(q, k, v, own.num_attention_heads))
        x = x + layer.mlp(layer.layernorm_after(x))
    full = packing.unpack(model.layernorm(x))
    if model.pooler is not None:
        model.pooler(full)
    return full


BY_HAND: dict[type[nn.Module], Callable[..., Tensor]] = {BertModel: bert, T5EncoderModel: t5, ViTModel: vit}
"""What stands for each kind of model."""
