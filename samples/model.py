"""Models for the command line: `gossamer compile samples/model.py:bert -o out`.

A function takes nothing and gives `(model, args, kwargs, options)`; options are those of `gossamer.compile`.
"""

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel


def bert():
    """A small BERT on 8 sentences of 5 .. 26 tokens, padded to 64; both sizes may vary."""
    torch.manual_seed(0)
    config = BertConfig(hidden_size=256, num_hidden_layers=2, num_attention_heads=4, intermediate_size=1024)
    lengths = torch.arange(5, 29, 3)
    mask = (torch.arange(64)[None] < lengths[:, None]).long()
    ids = torch.randint(5, 1000, mask.shape)
    varies = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    options = {
        "dont_care": {"last_hidden_state": "attention_mask"},
        "dynamic_shapes": {"input_ids": varies, "attention_mask": varies},
    }
    return BertModel(config).eval(), (), {"input_ids": ids, "attention_mask": mask}, options


class Tagger(nn.Module):
    """Scores of words [batch, length, width]: -inf where `keep` [batch, length] is false."""

    def __init__(self, width: int = 256, classes: int = 16):
        super().__init__()
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, classes)

    def forward(self, words: Tensor, keep: Tensor) -> Tensor:
        return self.down(torch.relu(self.up(words))).masked_fill(~keep[..., None], float("-inf"))


def tagger():
    """A model whose own mask makes rows dead: nothing has to be said about it."""
    torch.manual_seed(0)
    return Tagger().eval(), (torch.randn(16, 128, 256), torch.rand(16, 128) < 0.2)


class ReGlu(nn.Module):
    """down(relu(gate(x)) * up(x)), with a gate that opens for one unit in twenty or so."""

    def __init__(self, width: int = 1024, inner: int = 4096):
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(width, inner), nn.Linear(width, inner), nn.Linear(inner, width)
        nn.init.constant_(self.gate.bias, -1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.relu(self.gate(x)) * self.up(x))


def reglu():
    """One row, most of whose activations are zero: up and down skip them."""
    torch.manual_seed(0)
    return ReGlu().eval(), (torch.randn(1, 1024),)
