"""The peer that torch brings: `nn.TransformerEncoder` on nested tensors, with BERT's weights.

    embeddings(ids)  ->  nn.TransformerEncoder(.., src_key_padding_mask)  ->  zeros on padding

Its fast path takes padding out once, in front of the first layer, where masks are left-aligned and layers are its own:
post- or pre-norm, ReLU or GELU, no bias of positions.
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertModel


def bert_encoder(model: BertModel) -> nn.TransformerEncoder:
    """torch's own encoder with the weights of `model`'s."""
    config = model.config
    layer = nn.TransformerEncoderLayer(
        config.hidden_size, config.num_attention_heads, config.intermediate_size, activation="gelu",
        batch_first=True, layer_norm_eps=config.layer_norm_eps,
    )  # fmt: skip
    encoder = nn.TransformerEncoder(layer, config.num_hidden_layers, enable_nested_tensor=True).eval()
    for own, theirs in zip(encoder.layers, model.encoder.layer, strict=True):
        own.load_state_dict(layer_weights(theirs))
    return encoder


def layer_weights(layer: Any) -> dict[str, Tensor]:
    """A BERT layer's weights under the names of `nn.TransformerEncoderLayer`."""
    attention, weights = layer.attention, {}
    parts = {
        "self_attn.out_proj": attention.output.dense,
        "norm1": attention.output.LayerNorm,
        "linear1": layer.intermediate.dense,
        "linear2": layer.output.dense,
        "norm2": layer.output.LayerNorm,
    }
    for kind in ("weight", "bias"):
        inputs = [getattr(part, kind) for part in (attention.self.query, attention.self.key, attention.self.value)]
        weights[f"self_attn.in_proj_{kind}"] = torch.cat(inputs)
        weights |= {f"{name}.{kind}": getattr(part, kind) for name, part in parts.items()}
    return weights


class NestedBert(nn.Module):
    """`model` with its encoder on nested tensors; gives the last hidden state."""

    def __init__(self, model: BertModel):
        super().__init__()
        self.embeddings, self.pooler, self.encoder = model.embeddings, model.pooler, bert_encoder(model)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            full = self.encoder(self.embeddings(input_ids), src_key_padding_mask=attention_mask == 0)
        full = nn.functional.pad(full, (0, 0, 0, input_ids.shape[1] - full.shape[1]))
        if self.pooler is not None:
            self.pooler(full)
        return full
