"""Models of one step over time: one scan however many steps, with the gradients of the loop."""

import copy

import gossamer
import pytest
import torch
from gossamer.compiler.frontends.over_time import over_time
from gossamer.dialects.diagnostics import UserError
from torch import Tensor, nn
from torch.export import Dim

snn = pytest.importorskip("snntorch")


class Net(nn.Module):
    """Two layers; the second is read by its membrane."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(8, 16), snn.Leaky(0.9, learn_beta=True, learn_threshold=True, threshold=0.5)
        self.fc2, self.lif2 = nn.Linear(16, 4), snn.Leaky(0.9, reset_mechanism="none")

    def forward(self, x: Tensor) -> Tensor:
        spikes, _ = self.lif(self.fc(x))
        return self.lif2(self.fc2(spikes))[1]


def eager(net: Net, x: Tensor) -> Tensor:
    """The source's own loop."""
    for module in (net.lif, net.lif2):
        module.mem = torch.zeros(0)
    return torch.stack([net(item) for item in x])


def learned(y: Tensor, module: nn.Module) -> list[Tensor]:
    parameters = [p for _, p in sorted((n.removeprefix("model."), p) for n, p in module.named_parameters())]
    return list(torch.autograd.grad(y.pow(2).sum(), parameters))


def near(found: list[Tensor], expected: list[Tensor]) -> None:
    """Gradients are equal but for the order of their sums, and are there at all."""
    for one, other in zip(found, expected, strict=True):
        assert other.any()
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))


@pytest.fixture
def case() -> tuple[Net, Tensor]:
    torch.manual_seed(0)
    return Net(), torch.randn(9, 3, 8) * 2


def test_it_is_the_loop(case):
    net, x = case
    y = over_time(net)(x)
    assert torch.equal(y, eager(net, x))
    near(learned(over_time(net)(x), net), learned(eager(net, x), net))


def test_an_export_is_one_scan_runs_any_number_of_steps_and_keeps_surrogate_gradients(case):
    net, x = case
    sizes = ({0: Dim.AUTO, 1: Dim.AUTO},)
    program = torch.export.export(over_time(net), (torch.rand(5, 2, 8),), dynamic_shapes=sizes)
    longer = torch.export.export(over_time(net), (torch.rand(50, 2, 8),), dynamic_shapes=sizes)
    assert len(program.graph.nodes) == len(longer.graph.nodes)
    module = program.module()
    y = module(x)
    torch.testing.assert_close(y, eager(net, x), rtol=1e-5, atol=1e-5)
    near(learned(y, module), learned(eager(net, x), net))


def test_a_compiled_model_gives_the_same_bits_and_keeps_surrogate_gradients(case):
    net, x = case
    fast = gossamer.compile(over_time(net), (torch.rand(5, 2, 8),), dynamic_shapes="auto")
    assert torch.equal(fast(x), eager(net, x))
    near(learned(fast(x), fast), learned(eager(net, x), net))


def test_a_loop_of_the_users_own_keeps_surrogate_gradients(case):
    class Loop(nn.Module):
        def __init__(self, net: Net):
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            one, two, out = torch.zeros(3, 16), torch.zeros(3, 4), []
            for item in x:
                spikes, one = self.net.lif(self.net.fc(item), one)
                _, two = self.net.lif2(self.net.fc2(spikes), two)
                out.append(two)
            return torch.stack(out)

    net, x = case
    loop = Loop(net)
    fast = gossamer.compile(loop, (x,))
    assert torch.equal(fast(x), loop(x))
    near(learned(fast(x), fast), learned(loop(x), loop))


def test_layers_of_norse_over_time_are_scans():
    norse = pytest.importorskip("norse.torch")
    model, x = norse.LIF(norse.LIFParameters(v_th=torch.tensor(0.3))), torch.randn(7, 2, 5)
    fast = gossamer.compile(model, (torch.randn(3, 2, 5),), dynamic_shapes="auto")
    assert '"scan"' in fast.ir("import")
    assert torch.equal(fast(x)[0], model(x)[0])


def test_a_copy_has_weights_of_its_own(case):
    net, x = case
    twin = copy.deepcopy(over_time(net).eval())
    before = eager(net, x)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert not twin.training
    assert torch.equal(twin(x), before)


def test_no_steps():
    with pytest.raises(UserError, match="no steps"):
        over_time(Net())(torch.rand(0, 2, 8))
