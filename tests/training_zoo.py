"""Small models to train, each with a loss and a batch: what memory accounts and recomputation are tried on.

STEPS["GPT-2"]()      (model, loss_fn, batch): attention is torch's fused one
STEPS["GPT-2 eager"]  attention written out, dropout on
"""

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import nn
from torch.nn import functional

Case = tuple[nn.Module, Callable[..., torch.Tensor], tuple[torch.Tensor, ...]]
WORDS, BATCH, LENGTH = 64, 4, 32


def mlp() -> Case:
    model = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Dropout(0.1), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    return model, classes, (torch.randn(8, 16), torch.randint(4, (8,)))


def cnn() -> Case:
    """Convolutions, batch normalisation, a residual."""

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.relu(x + self.norm(self.convolution(x)))

    blocks = nn.Sequential(*(Residual() for _ in range(4)))
    head = nn.Sequential(nn.MaxPool2d(2), Residual(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), blocks, head)
    return model, classes, (torch.randn(4, 3, 12, 12), torch.randint(4, (4,)))


def classes(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The loss of a classifier."""
    return functional.cross_entropy(model(x), y)


def words(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """The loss of a language model on its own input."""
    return model(input_ids=ids, labels=ids).loss


def language(name: str, **options: Any) -> Callable[[], Case]:
    """A language model of transformers."""

    def build() -> Case:
        config = getattr(transformers, CONFIGS[name])(vocab_size=WORDS, **options)
        return getattr(transformers, name)(config), words, (torch.randint(WORDS, (BATCH, LENGTH)),)

    return build


CONFIGS = {
    "GPT2LMHeadModel": "GPT2Config",
    "BertForMaskedLM": "BertConfig",
    "OPTForCausalLM": "OPTConfig",
    "T5ForConditionalGeneration": "T5Config",
}
SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
GPT2: dict[str, Any] = {"n_layer": 3, "n_head": 2, "n_embd": 32, "n_positions": 32}
T5: dict[str, Any] = {
    "d_model": 32,
    "d_kv": 16,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 2,
    "decoder_start_token_id": 0,
}


def vit() -> Case:
    config = transformers.ViTConfig(image_size=16, patch_size=4, intermediate_size=64, **{"num_labels": 4, **SIZES})
    model = transformers.ViTForImageClassification(config)
    return model, lambda model, x, y: model(x, labels=y).loss, (torch.randn(2, 3, 16, 16), torch.randint(4, (2,)))


STEPS: dict[str, Callable[[], Case]] = {
    "MLP": mlp,
    "CNN": cnn,
    "GPT-2": language("GPT2LMHeadModel", attn_pdrop=0.0, **GPT2),
    "GPT-2 eager": language("GPT2LMHeadModel", attn_implementation="eager", **GPT2),
    "BERT": language("BertForMaskedLM", intermediate_size=64, **SIZES),
    "ViT": vit,
    "OPT": language("OPTForCausalLM", ffn_dim=64, word_embed_proj_dim=32, max_position_embeddings=32, **SIZES),
    "T5": language("T5ForConditionalGeneration", **T5),
}
"""Cases by name."""
