"""Products that keep their bits over fewer rows, and models packed under exact="bitwise"."""

import gossamer
import pytest
import torch
from gossamer.runtime import probe
from gossamer.runtime.probe import ProductShape, agrees, stable_multiple
from torch import Tensor, nn

SHAPE = ProductShape(32, 48, torch.float32, True)


def test_a_multiple_is_one_that_every_product_agrees_on(monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []

    def only_at_least_128(_shape: ProductShape, _rows: int, multiple: int, _device: str) -> bool:
        asked.append(multiple)
        return multiple >= 128

    monkeypatch.setattr(probe, "agrees", only_at_least_128)
    assert stable_multiple([SHAPE], 512) == 128
    assert asked == [64, 128]


def test_no_multiple_when_no_product_keeps_its_bits(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(probe, "agrees", lambda *_: False)
    assert stable_multiple([SHAPE], 512) == 0


def test_a_product_that_depends_on_the_number_of_rows_does_not_agree(monkeypatch: pytest.MonkeyPatch):
    def by_rows(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return nn.functional.linear(x, weight, bias) + x.shape[-2] * 1e-6

    monkeypatch.setattr(probe, "linear", by_rows)
    assert not agrees(SHAPE, 128, 64, "cpu")


class Rows(nn.Module):
    """A feed-forward block: every op treats each row alone."""

    def __init__(self):
        super().__init__()
        self.up, self.down, self.norm = nn.Linear(64, 256), nn.Linear(256, 64), nn.LayerNorm(64)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        return self.norm(x + self.down(nn.functional.gelu(self.up(x))))


def test_what_is_called_bitwise_equals_eager_bit_for_bit():
    model, x = Rows().eval(), torch.randn(8, 64, 64)
    fast = gossamer.compile(model, (x, torch.rand(8, 64) < 0.5), dont_care={"*": "keep"}, exact="bitwise")
    lines = str(fast.explain()).splitlines()
    for density in (0.0, 1 / 512, 0.1, 0.4, 0.9, 1.0):
        x, keep = torch.randn(8, 64, 64), torch.rand(8, 64) < density
        x[0, 0, 0], x[0, 1, 0], x[0, 2, 0] = torch.nan, torch.inf, -0.0
        with torch.no_grad():
            mine, eager = fast(x, keep)[keep], model(x, keep)[keep]
        assert torch.equal(mine.view(torch.int32), eager.view(torch.int32)), lines


def test_bitwise_never_packs_attention():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval()

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor, keep: Tensor) -> Tensor:
            return self.layer(x, src_key_padding_mask=~keep)

    x, keep = torch.randn(4, 32, 32), torch.arange(32) < torch.tensor([[5], [9], [32], [1]])
    loose = gossamer.compile(Encoder(), (x, keep), dont_care={"*": "keep"})
    exact = gossamer.compile(Encoder(), (x, keep), dont_care={"*": "keep"}, exact="bitwise")
    assert "sparse.attention" in loose.ir()
    assert "sparse.attention" not in exact.ir()


def test_gradients_under_bitwise_count_each_row_once():
    model = Rows().double()
    x, keep = torch.randn(8, 64, 64, dtype=torch.float64, requires_grad=True), torch.rand(8, 64) < 0.3
    fast = gossamer.compile(model, (x.detach(), keep), dont_care={"*": "keep"}, exact="bitwise")
    (mine,) = torch.autograd.grad(fast(x, keep)[keep].sin().sum(), x)
    (eager,) = torch.autograd.grad(model(x, keep)[keep].sin().sum(), x)
    torch.testing.assert_close(mine, eager, rtol=1e-12, atol=1e-12)
