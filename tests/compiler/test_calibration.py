"""What the weights and examples tell: finite weights, and how dense supports are."""

import gossamer
import pytest
import torch
from gossamer.compiler.calibration import calibrate, is_finite
from gossamer.compiler.entry import entry_function
from gossamer.dialects.aten import CallOp, WeightOp
from gossamer.passes.skip_plan import DENSITY
from torch import Tensor, nn
from xdsl.dialects.builtin import FloatAttr, ModuleOp


class Net(nn.Module):
    """Every second neuron is silent; a buffer counts the calls."""

    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(4, 8), nn.Linear(8, 4)
        self.register_buffer("calls", torch.zeros(()))
        with torch.no_grad():
            self.up.weight.zero_()
            self.up.bias.copy_(torch.tensor([1.0, -1.0]).repeat(4))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1  # pyright: ignore[reportOperatorIssue]
        return self.down(torch.relu(self.up(x)))


def measured(module: ModuleOp) -> list[float]:
    found = [op.attributes.get(DENSITY) for op in module.walk() if isinstance(op, CallOp)]
    return [attribute.value.data for attribute in found if isinstance(attribute, FloatAttr)]


def test_supports_are_measured_and_nothing_is_written():
    net = Net().eval()
    fast = gossamer.compile(net, torch.randn(1, 4), pipeline="")
    assert measured(fast.module) == [0.5]
    assert net.calls == 0
    finite = {
        op.sym_name.data for op in fast.module.walk() if isinstance(op, WeightOp) and "sparse.finite" in op.attributes
    }
    assert finite == {"up.weight", "down.weight"}


def test_more_examples_give_the_mean():
    class Threshold(nn.Module):
        def forward(self, x: Tensor, w: Tensor) -> Tensor:
            return torch.relu(x) @ w.t()

    w = torch.randn(3, 8)
    one, none = torch.ones(1, 8), -torch.ones(1, 8)
    fast = gossamer.compile(Threshold(), (one, w), calibrate=[((none, w), {})], pipeline="")
    assert measured(fast.module) == [], "a weight that is an argument is not known to be finite"

    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(w)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x) @ self.w.t()

    fast = gossamer.compile(Fixed(), one, calibrate=[((none,), {})], pipeline="")
    assert measured(fast.module) == [0.5]


def test_the_union_of_rows_counts():
    net = nn.Sequential(nn.ReLU(), nn.Linear(8, 4)).eval()
    x = -torch.ones(2, 8)
    x[0, :2], x[1, 1:4] = 1.0, 1.0
    assert measured(gossamer.compile(net, x, pipeline="").module) == [0.5]


def test_a_model_without_zeros_is_left_as_it_is():
    net = nn.Sequential(nn.Linear(8, 8), nn.SiLU(), nn.Linear(8, 4)).eval()
    fast = gossamer.compile(net, torch.randn(1, 8), pipeline="")
    before = str(fast.module)
    calibrate(fast.module, fast.weights, [[torch.randn(1, 8)]])
    assert str(fast.module) == before
    assert "sparse." not in before
    assert entry_function(fast.module) is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64])
def test_finite_weights(dtype: torch.dtype):
    weight = torch.full((64, 64), 60000.0).to(dtype)
    assert is_finite(weight)
    if dtype.is_floating_point:
        for number in (torch.nan, torch.inf, -torch.inf):
            weight[3, 4] = number
            assert not is_finite(weight)
