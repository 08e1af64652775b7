"""Sequence models of torch itself."""

import torch
from gossamer.tests.models.sample import Sample, model
from torch import nn
from torch._higher_order_ops.scan import scan
from torch.export import Dim

BATCH, LENGTH, WIDTH = 2, 16, 32
BOTH = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}


@model("nn.Transformer")
def transformer() -> Sample:
    net = nn.Transformer(WIDTH, 4, 1, 1, 64, batch_first=True).eval()
    return Sample(net, (torch.randn(BATCH, LENGTH, WIDTH), torch.randn(BATCH, 12, WIDTH)), {}, (BOTH, BOTH))


class Causal(nn.Module):
    """An encoder and a decoder that sees only the past."""

    def __init__(self):
        super().__init__()
        self.transformer = nn.Transformer(WIDTH, 4, 1, 1, 64, dropout=0.0, batch_first=True)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        return self.transformer(source, target, tgt_mask=mask, tgt_is_causal=True)


@model("nn.Transformer, training with mask")
def transformer_training() -> Sample:
    return Sample(
        Causal().train(), (torch.randn(BATCH, LENGTH, WIDTH), torch.randn(BATCH, 12, WIDTH)), {}, (BOTH, BOTH)
    )


@model("nn.TransformerEncoder with padding")
def encoder() -> Sample:
    layer = nn.TransformerEncoderLayer(WIDTH, 4, 64, batch_first=True)
    net = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    padding = torch.arange(LENGTH) >= torch.tensor([[LENGTH], [5]])
    inputs = (torch.randn(BATCH, LENGTH, WIDTH),)
    dynamic = {"src": BOTH, "src_key_padding_mask": BOTH}
    return Sample(net, (), {"src": inputs[0], "src_key_padding_mask": padding}, dynamic)


@model("LSTM")
def lstm() -> Sample:
    net = nn.LSTM(16, WIDTH, 2, batch_first=True, bidirectional=True).eval()
    return Sample(net, (torch.randn(BATCH, LENGTH, 16),), {}, ({0: Dim.DYNAMIC},))


@model("GRU")
def gru() -> Sample:
    return Sample(
        nn.GRU(16, WIDTH, batch_first=True).eval(), (torch.randn(BATCH, LENGTH, 16),), {}, ({0: Dim.DYNAMIC},)
    )


@model("LSTM, dynamic length", fails="a size that dynamic_shapes lets vary")
def lstm_dynamic_length() -> Sample:
    return Sample(nn.LSTM(16, WIDTH, batch_first=True).eval(), (torch.randn(BATCH, LENGTH, 16),), {}, (BOTH,))


class Scanned(nn.Module):
    """An LSTM cell over a length known when it runs."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(16, WIDTH)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        def step(state: tuple, x: torch.Tensor) -> tuple:
            h, c = self.cell(x, state)
            return (h, c), h.clone()

        zero = inputs.new_zeros(inputs.shape[1], WIDTH)
        return scan(step, (zero, zero.clone()), inputs, dim=0)[1]


@model("LSTM cell in a scan")
def scanned() -> Sample:
    return Sample(Scanned(), (torch.randn(6, 4, 16),), {}, (BOTH,))
