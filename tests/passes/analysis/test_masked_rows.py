"""Rows that are set to a known value start a packed region with that fill."""

import gossamer
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu


class Block(nn.Module):
    """Rows are masked, then go through two products, a norm and a softmax."""

    def __init__(self, how: str):
        super().__init__()
        self.how, self.up, self.down, self.norm = how, nn.Linear(16, 32), nn.Linear(32, 16), nn.LayerNorm(16)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        rows = keep.unsqueeze(-1)
        match self.how:
            case "mul":
                h = x * rows
            case "masked_fill":
                h = x.masked_fill(~rows, 0.5)
            case _:
                h = torch.where(rows, x, -2.0)
        return self.norm(h + self.down(gelu(self.up(h)))).softmax(-1)


ALWAYS = "simplify,insert-gathers,sink-scatters"
"""Without the guard: packed at every density."""


def masks() -> dict[str, Tensor]:
    """Domains of all kinds over [5, 7]."""
    one = torch.zeros(5, 7, dtype=torch.bool)
    one[3, 6] = True
    return {
        "some": torch.rand(5, 7) < 0.4, "all": torch.ones(5, 7).bool(), "none": torch.zeros(5, 7).bool(), "one": one,
    }  # fmt: skip


@pytest.mark.parametrize("how", ["mul", "masked_fill", "where"])
def test_a_masked_block_is_packed_to_its_end_and_equals_eager_on_every_row(how: str):
    model = Block(how).eval().double()
    x = torch.randn(5, 7, 16, dtype=torch.float64)
    fast = gossamer.compile(model, (x, masks()["some"]), pipeline=ALWAYS)
    text = fast.ir()
    assert text.count("sparse.scatter") == 1
    assert "fill %" in text
    for keep in masks().values():
        torch.testing.assert_close(fast(x, keep), model(x, keep), rtol=1e-12, atol=1e-12)


def test_gradients_reach_biases_from_inactive_rows_too():
    model = Block("mul").double()
    x, keep = torch.randn(5, 7, 16, dtype=torch.float64), masks()["some"]
    fast = gossamer.compile(model, (x, keep), pipeline=ALWAYS)
    weight = torch.randn(5, 7, 16, dtype=torch.float64)
    (model(x, keep) * weight).sum().backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    (fast(x, keep) * weight).sum().backward()
    assert expected.keys() == {name for name, _ in model.named_parameters()}
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, expected[name], rtol=1e-10, atol=1e-10)


def test_exactness_forbids_dropping_rows_that_times_zero_might_make_nan():
    model = Block("mul").eval()
    x, keep = torch.randn(5, 7, 16), masks()["some"]
    x[~keep] = torch.inf
    fast = gossamer.compile(model, (x, keep), exact="bitwise")
    assert "sparse.gather" not in fast.ir()
    with torch.no_grad():
        assert torch.equal(fast(x, keep).isnan(), model(x, keep).isnan())
        assert model(x, keep).isnan().any()


def test_a_mask_over_columns_starts_nothing():
    class Columns(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.Linear(16, 32)

        def forward(self, x: Tensor, keep: Tensor) -> Tensor:
            return self.up(x * keep)

    fast = gossamer.compile(Columns().eval(), (torch.randn(5, 7, 16), torch.rand(16) < 0.5), pipeline=ALWAYS)
    assert "sparse.gather" not in fast.ir()
