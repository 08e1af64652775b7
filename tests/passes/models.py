"""Small models whose rows are partly padding, and inputs of any size for them.

CASES["BERT"].build()              a model in eval mode
CASES["BERT"].inputs(keep)         keyword arguments; `keep`, [batch, length] of bool, says which positions are real
CASES["BERT"].dont_care            results whose padded rows nobody reads
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import nn
from torch.nn import functional

WIDTH, WORDS = 16, 32
Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Case:
    """A model, its inputs, and rows that are nobody's concern (result -> argument)."""

    build: Callable[[], nn.Module]
    inputs: Callable[[torch.Tensor], Inputs]
    dont_care: dict[str, str] = field(default_factory=dict)


def network(name: str, config: str, **sizes: Any) -> nn.Module:
    """The class `name` of transformers with random weights."""
    net = getattr(transformers, name)(getattr(transformers, config)(vocab_size=WORDS, **sizes)).eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    return net


def words(keep: torch.Tensor) -> Inputs:
    """Words and an integer mask."""
    return {"input_ids": torch.randint(2, WORDS, tuple(keep.shape)), "attention_mask": keep.long()}


def vectors(keep: torch.Tensor) -> Inputs:
    """Vectors and a mask of truth values."""
    return {"x": torch.randn(*keep.shape, WIDTH), "keep": keep}


def two_masks(keep: torch.Tensor) -> Inputs:
    """Rows that are kept for one result and for the other."""
    return vectors(keep) | {"other": torch.rand(keep.shape) < 0.5}


def pairs(keep: torch.Tensor) -> Inputs:
    """Words for an encoder and a decoder, each with its mask."""
    decoder = keep.flip(0)
    return {
        **words(keep),
        "decoder_input_ids": torch.randint(2, WORDS, tuple(decoder.shape)),
        "decoder_attention_mask": decoder.long(),
    }


class Block(nn.Module):
    """A linear layer, attention over keys that are kept, and a residual."""

    def __init__(self, float_mask: float | None = None):
        super().__init__()
        self.qkv, self.out, self.norm = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)
        self.lowest = float_mask

    def forward(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        q, k, v = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        mask = keep[:, None, None, :].expand(-1, 1, x.shape[1], -1)
        if self.lowest is not None:
            mask = torch.zeros(mask.shape, dtype=x.dtype).masked_fill(~mask, self.lowest)
        mixed = functional.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2)
        return self.norm(x + self.out(mixed))


class Model(nn.Module):
    """Two linear layers, or a block, and `head` of what they give."""

    def __init__(self, head: Callable[..., Any], block: nn.Module | None = None):
        super().__init__()
        self.up, self.down, self.head = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH), head
        self.block = block

    def forward(self, x: torch.Tensor, keep: torch.Tensor, other: torch.Tensor | None = None) -> Any:
        h = self.block(x, keep) if self.block is not None else x
        h = self.down(functional.gelu(self.up(h)))
        return self.head(h, keep) if other is None else self.head(h, keep, other)


def mean(h: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    weight = keep.unsqueeze(-1).to(h.dtype)
    return (h * weight).sum(1) / weight.sum(1).clamp(min=1)


def largest(h: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    return h.masked_fill(~keep[..., None], -1e4).amax(1)


def cleared(h: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    return torch.where(keep[..., None], h, 1.0)


def both(h: torch.Tensor, keep: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return (h * keep[..., None]).sum(1), torch.where(other[..., None], h, 0.0).sum(1)


def as_number(h: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """The mask is also added: its zeros mean something."""
    return h * keep[..., None].to(h.dtype) + keep[..., None].to(h.dtype)


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 2 * WIDTH, batch_first=True)
    stack = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    class Padded(nn.Module):
        def __init__(self):
            super().__init__()
            self.stack = stack

        def forward(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
            return self.stack(x, src_key_padding_mask=~keep)

    return Padded().eval()


SIZES = {"hidden_size": WIDTH, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 32}
LAST = {"last_hidden_state": "attention_mask"}
T5 = {"d_model": WIDTH, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "use_cache": False}
ONE = {"num_hidden_layers": 1, "use_cache": False}
OPT = ONE | {"hidden_size": WIDTH, "ffn_dim": 32, "num_attention_heads": 2, "max_position_embeddings": 32}
LLAMA = ONE | SIZES | {"num_key_value_heads": 1}
GPT2 = {"n_embd": WIDTH, "n_layer": 1, "n_head": 2, "n_positions": 32, "use_cache": False}
GPT2 |= {"bos_token_id": 0, "eos_token_id": 1}
FLOAT32_MIN = torch.finfo(torch.float32).min

CASES: dict[str, Case] = {
    "BERT": Case(lambda: network("BertModel", "BertConfig", **SIZES, num_hidden_layers=1), words, LAST),
    "T5 encoder": Case(lambda: network("T5EncoderModel", "T5Config", **T5), words, LAST),
    "OPT": Case(lambda: network("OPTModel", "OPTConfig", **OPT, word_embed_proj_dim=WIDTH), words, LAST),
    "Llama": Case(lambda: network("LlamaModel", "LlamaConfig", **LLAMA), words, LAST),
    "GPT-2": Case(lambda: network("GPT2Model", "GPT2Config", **GPT2), words, LAST),
    "T5": Case(
        lambda: network("T5Model", "T5Config", **T5, num_decoder_layers=1),
        pairs,
        {"last_hidden_state": "decoder_attention_mask", "encoder_last_hidden_state": "attention_mask"},
    ),
    "nn.TransformerEncoder": Case(encoder, vectors, {"*": "keep"}),
    "block": Case(lambda: Model(lambda h, keep: h, Block()), vectors, {"*": "keep"}),
    "block, finfo.min": Case(lambda: Model(lambda h, keep: h, Block(FLOAT32_MIN)), vectors, {"*": "keep"}),
    "block, -inf": Case(lambda: Model(lambda h, keep: h, Block(float("-inf"))), vectors, {"*": "keep"}),
    "block, first row": Case(lambda: Model(lambda h, keep: h[:, 0], Block()), vectors),
    "mean": Case(lambda: Model(mean, Block()), vectors),
    "mean of rows": Case(lambda: Model(mean), vectors),
    "masked_fill": Case(lambda: Model(largest), vectors),
    "where": Case(lambda: Model(cleared), vectors),
    "first row": Case(lambda: Model(lambda h, keep: h[:, 0]), vectors),
    "two masks": Case(lambda: Model(both), two_masks),
    "mask as number": Case(lambda: Model(as_number), vectors),
    "rows of one sequence": Case(
        lambda: Model(lambda h, keep: h), lambda keep: vectors(keep) | {"keep": keep.any(1)}, {"*": "keep"}
    ),
}

PATTERNS: dict[str, Callable[[int, int], torch.Tensor]] = {
    "right": lambda b, s: torch.arange(s) < torch.randint(1, s + 1, (b, 1)),
    "left": lambda b, s: torch.arange(s) >= torch.randint(0, s, (b, 1)),
    "holes": lambda b, s: torch.rand(b, s) < 0.5,
    "full": lambda b, s: torch.ones(b, s, dtype=torch.bool),
    "one token": lambda b, s: torch.arange(b * s).view(b, s) == torch.randint(0, b * s, ()),
    "an empty sequence": lambda b, s: (torch.rand(b, s) < 0.7) & (torch.arange(b) > 0)[:, None],
    "empty": lambda b, s: torch.zeros(b, s, dtype=torch.bool),
}
"""Which positions are real, by name."""


def dynamic(inputs: Inputs) -> dict[str, Any]:
    """Batch and length vary."""
    return {name: dict.fromkeys(range(min(v.dim(), 2)), torch.export.Dim.DYNAMIC) for name, v in inputs.items()}
