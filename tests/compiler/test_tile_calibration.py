"""How dense tiles are is measured where it matters, and compiled programs go by them as eager does without."""

import gossamer
import pytest
import torch
from gossamer.compiler import defaults
from gossamer.passes.choose_tiles import TILES
from torch import Tensor, nn
from xdsl.dialects.builtin import DenseArrayBase, DictionaryAttr, ModuleOp


class Feed(nn.Module):
    """down(relu(x))"""

    def __init__(self, inputs: int = 1024, outputs: int = 512):
        super().__init__()
        self.down = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.relu(x))


def batch(rows: int, groups: int, density: float, width: int = 1024) -> Tensor:
    """Neighbours are of different groups."""
    masks = torch.rand(groups, width) < density
    values = torch.rand(rows, width) + 0.1
    return torch.where(masks[torch.arange(rows) % groups], values, -values)


def measured(module: ModuleOp) -> dict[str, list[float]]:
    found = [op.attributes[TILES] for op in module.walk() if TILES in op.attributes]
    if not found:
        return {}
    (table,) = found
    assert isinstance(table, DictionaryAttr)
    rows = {name: row for name, row in table.data.items() if isinstance(row, DenseArrayBase)}
    return {name: [float(number) for number in row.get_values()] for name, row in rows.items()}


def test_densities_by_height_in_own_order_and_clustered():
    x = torch.full((4, 8), -1.0)
    x[0::2, :2], x[1::2, 2:4] = 1.0, 1.0
    found = measured(gossamer.compile(Feed(8, 4), x, pipeline="").module)
    assert found["own"] == pytest.approx([0.25, 0.5, 0.5, 1.0, 2.0])
    assert found["clustered"] == pytest.approx([0.25, 0.25, 0.5, 1.0, 2.0])


def test_more_examples_give_the_mean():
    x, none = torch.full((2, 8), 1.0), -torch.ones(2, 8)
    x[:, 4:] = -1.0
    found = measured(gossamer.compile(Feed(8, 4), x, calibrate=[((none,), {})], pipeline="").module)
    assert found["own"][:2] == pytest.approx([0.25, 0.25])


@pytest.mark.parametrize("x", [batch(1, 1, 0.1, 8), torch.ones(16, 8), batch(513, 4, 0.1, 8)])
def test_one_row_dense_rows_and_very_many_are_not_looked_at(x: Tensor):
    assert not measured(gossamer.compile(Feed(8, 4), x, pipeline="").module)


def test_bitwise_programs_are_not_measured():
    assert not measured(gossamer.compile(Feed(8, 4), batch(16, 2, 0.2, 8), exact="bitwise", pipeline="").module)


@pytest.fixture(scope="module")
def fast() -> gossamer.CompiledModel:
    """Any number of rows; in the example, four groups."""
    pytest.importorskip("llvmlite")
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(defaults, "tile_options", lambda _: "")
        found = gossamer.compile(Feed().eval(), batch(64, 4, 0.05), dynamic_shapes="auto", check=True)
    assert "sparse.tile " in found.ir("choose-tiles")
    return found


@pytest.mark.parametrize("rows", [1, 2, 7, 16, 33, 64, 130, 300])
def test_a_program_by_tiles_gives_what_eager_gives(fast: gossamer.CompiledModel, rows: int):
    adverse = batch(rows, 3, 0.05)
    adverse[0, :4] = torch.tensor([torch.nan, torch.inf, -0.0, 1e-40])
    batches = [batch(rows, groups, density) for groups in (1, 4, rows) for density in (0.0, 0.05, 0.5, 1.0)]
    for x in (*batches, adverse):
        with torch.no_grad():
            torch.testing.assert_close(fast(x), fast.original(x), rtol=1e-4, atol=1e-4, equal_nan=True)


def test_gradients_are_eager_s(fast: gossamer.CompiledModel):
    given, wanted = (batch(9, 3, 0.1).requires_grad_() for _ in range(2))
    wanted.data.copy_(given.data)
    fast(given).square().sum().backward()
    fast.original(wanted).square().sum().backward()
    torch.testing.assert_close(given.grad, wanted.grad, rtol=1e-4, atol=1e-4)


def test_a_saved_program_goes_by_tiles_too(fast: gossamer.CompiledModel, tmp_path):
    fast.save(tmp_path)
    again, x = gossamer.load(tmp_path), batch(64, 4, 0.05)
    with torch.no_grad():
        assert torch.equal(again(x), fast(x))
