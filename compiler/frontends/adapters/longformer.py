"""Longformer's attention, for any number of global tokens, none among them.

    if is_global_attn:                                        g = is_global.sum(1).max()        known when it runs
        max_num, nonzero, .. = indices(is_global)    ->       first = is_global.argsort()[:, :g]
        scores = cat([global_scores, scores])                 scores = cat([global_scores, scores])     [.., g + 2w + 1]
        ..                                                    ..  where g is zero, these add and write nothing

Every query sees a band of 2w + 1 keys and the global ones; a global query sees all keys, through weights of its own.
Products have the shapes and the order that transformers gives them. Where attentions themselves are asked for, whether
there are global ones decides what is returned: then the model's own code runs, and does not export.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .registry import reads

FORWARD = "45d43c446cb4"
"""The digest of the text of `forward` that this stands for."""


class Globals(NamedTuple):
    """Where the global tokens of each row stand: `places` [B, g]; those beyond a row's own are not `valid`."""

    places: Tensor
    valid: Tensor

    def of(self, x: Tensor) -> Tensor:
        """The rows of x [B, L, ..] at the global tokens, zero where there is none: [B, g, ..]."""
        shape = (*self.places.shape, *(1 for _ in x.shape[2:]))
        index = self.places.view(shape).expand(-1, -1, *x.shape[2:])
        return x.gather(1, index).where(self.valid.view(shape), 0)

    def put(self, x: Tensor, rows: Tensor) -> Tensor:
        """`x` [B, L, D] with `rows` [B, g, D] at the global tokens."""
        index = self.places[..., None].expand(-1, -1, x.shape[2])
        return x.scatter(1, index, rows.where(self.valid[..., None], x.gather(1, index)))


def globals_of(is_global: Tensor) -> Globals:
    """The global tokens of a mask [B, L]."""
    count: Any = is_global.long().sum(1).max().item()
    torch._check(count >= 0)
    torch._check(count <= is_global.shape[1])
    places = is_global.argsort(dim=1, descending=True, stable=True).narrow(1, 0, count)
    return Globals(places, is_global.gather(1, places))


def heads_first(x: Tensor) -> Tensor:
    """[B, L, H, D] -> [B * H, L, D]"""
    return x.transpose(1, 2).reshape(x.shape[0] * x.shape[2], x.shape[1], x.shape[3])


def heads_last(x: Tensor, batch: int) -> Tensor:
    """[B * H, L, D] -> [B, L, H, D]"""
    return x.view(batch, x.shape[0] // batch, x.shape[1], x.shape[2]).transpose(1, 2)


def band_scores(query: Tensor, key: Tensor, w: int) -> Tensor:
    """query[i] * key[i - w .. i + w], by chunks of 2w that overlap by half: [N, L, D] twice -> [N, L, 2w + 1]."""
    chunks = [x.unfold(1, 2 * w, w).transpose(2, 3) for x in (query, key)]
    products = torch.einsum("bcxd,bcyd->bcxy", *chunks)
    skewed = functional.pad(products, (0, 0, 0, 1)).view(*products.shape[:2], 2 * w, 2 * w + 1)
    after = torch.cat([skewed[:, :, :w, : w + 1], skewed[:, -1:, w:, : w + 1]], dim=1)
    first = functional.pad(skewed[:, :1, : w - 1, w + 2 :], (1, 0, 1, 0))
    before = torch.cat([first, skewed[:, :, w - 1 : -1, w + 1 :]], dim=1)
    return torch.cat([before, after], dim=-1).view(query.shape[0], query.shape[1], 2 * w + 1)


def band_values(weights: Tensor, value: Tensor, w: int) -> Tensor:
    """sum over j of weights[i, j] * value[i + j - w]: [N, L, 2w + 1], [N, L, D] -> [N, L, D]."""
    count, length, width = value.shape
    rows = weights.reshape(count, length // w, w, 2 * w + 1)
    skewed = functional.pad(rows, (0, w + 1)).view(count, length // w, -1)[:, :, :-w]
    diagonal = skewed.view(count, length // w, w, 3 * w + 1)[..., :-1]
    windows = functional.pad(value, (0, 0, w, w), value=-1).unfold(1, 3 * w, w).transpose(2, 3)
    return torch.einsum("bcwd,bcdh->bcwh", diagonal, windows).reshape(count, length, width)


def band_mask(masked: Tensor, dtype: torch.dtype, w: int) -> Tensor:
    """What is added to scores [B, L, 2w + 1]: the least number for masked keys, -inf beyond the ends."""
    least = masked.to(dtype).masked_fill(masked, torch.finfo(dtype).min)
    return functional.pad(least, (w, w), value=-math.inf).unfold(1, 2 * w + 1, 1)


def attention(module: Any) -> Callable[..., Any] | None:
    """The form of a LongformerSelfAttention."""
    if reads(type(module).forward) != FORWARD:
        return None
    w, heads, width = module.one_sided_attn_window_size, module.num_heads, module.head_dim

    def drop(x: Tensor) -> Tensor:
        return functional.dropout(x, p=module.dropout, training=module.training)

    def split(x: Tensor) -> Tensor:
        """[L, B, E] -> [B, L, H, D]"""
        return x.view(x.shape[0], x.shape[1], heads, width).transpose(0, 1)

    def weights_of(query: Tensor, key: Tensor, found: Globals, attention_mask: Tensor, masked: Tensor) -> Tensor:
        """Weights of the global keys beside those of the band: [B, L, H, g + 2w + 1]."""
        batch = query.shape[0]
        band = heads_last(band_scores(heads_first(query), heads_first(key), w), batch)
        band = band + band_mask(attention_mask != 0, query.dtype, w)[:, :, None]
        least = torch.finfo(query.dtype).min
        everywhere = torch.bmm(heads_first(query), heads_first(found.of(key)).transpose(1, 2).contiguous())
        everywhere = heads_last(everywhere, batch).masked_fill(~found.valid[:, None, None, :], least)
        scores = torch.cat([everywhere, band], dim=-1)
        return (
            functional.softmax(scores, dim=-1, dtype=torch.float32)
            .masked_fill(masked[:, :, None, None], 0.0)
            .to(scores.dtype)
        )

    def of_globals(hidden: Tensor, found: Globals, masked: Tensor) -> Tensor:
        """What global queries see: [B, g, E]."""
        length, batch, _ = hidden.shape
        query = module.query_global(found.of(hidden.transpose(0, 1)).transpose(0, 1)) / math.sqrt(width)
        key, value = (heads_first(split(layer(hidden))) for layer in (module.key_global, module.value_global))
        scores = torch.bmm(heads_first(split(query)), key.transpose(1, 2))
        least = torch.finfo(scores.dtype).min
        scores = scores.view(batch, heads, -1, length).masked_fill(~found.valid[:, None, :, None], least)
        scores = scores.masked_fill(masked[:, None, None, :], least).view(batch * heads, -1, length)
        weights = drop(functional.softmax(scores, dim=-1, dtype=torch.float32).to(scores.dtype))
        return heads_last(torch.bmm(weights, value), batch).flatten(2)

    def any_number_of_globals(
        hidden_states: Tensor,
        attention_mask: Tensor,
        is_index_masked: Tensor,
        is_index_global_attn: Tensor,
        is_global_attn: object = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, ...]:
        if output_attentions:
            masks = attention_mask, is_index_masked, is_index_global_attn, is_global_attn
            return type(module).forward(module, hidden_states, *masks, output_attentions)
        hidden, batch = hidden_states.transpose(0, 1), hidden_states.shape[0]
        query, key, value = (layer(hidden) for layer in (module.query, module.key, module.value))
        query, key, value = split(query / math.sqrt(width)), split(key), split(value)
        found = globals_of(is_index_global_attn)
        weights = drop(weights_of(query, key, found, attention_mask, is_index_masked))
        count = found.places.shape[1]
        everywhere = torch.bmm(heads_first(weights.narrow(-1, 0, count)), heads_first(found.of(value)))
        band = band_values(heads_first(weights.narrow(-1, count, 2 * w + 1)), heads_first(value), w)
        result = heads_last(everywhere, batch) + heads_last(band, batch)
        return (found.put(result.flatten(2), of_globals(hidden, found, is_index_masked)),)

    return any_number_of_globals
