"""Models with a loop over time of their own: what they fire, step by step, to the bit; and their gradients."""

from collections.abc import Callable

import gossamer
import numpy as np
import pytest
import torch
from gossamer.compiler.snn_torch import from_torch
from gossamer.dialects.diagnostics import UserError
from gossamer.tests.spiking import dyadic, execute, network_of
from torch import Tensor, nn

snn = pytest.importorskip("snntorch")
utils = pytest.importorskip("snntorch.utils")
norse = pytest.importorskip("norse.torch")
neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
functional = pytest.importorskip("spikingjelly.activation_based.functional")


class GivenStates(nn.Module):
    """As snnTorch's tutorials are."""

    def __init__(self, steps: int | None = None) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(8, 16), snn.Leaky(0.9, threshold=0.5)
        self.fc2, self.lif2 = nn.Linear(16, 4), snn.Leaky(torch.linspace(0.5, 1, 4), threshold=0.5, learn_beta=True)
        self.steps = steps

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.reset_mem()
        spikes, membranes = [], []
        for step in range(self.steps or x.shape[0]):
            spk1, mem1 = self.lif1(self.fc1(x if x.dim() < 3 else x[step]), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes), torch.stack(membranes)


class HiddenStates(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        hidden = {"init_hidden": True, "threshold": 0.25}
        self.net = nn.Sequential(
            nn.Linear(8, 6), snn.Leaky(0.9, **hidden), nn.Linear(6, 4), snn.Synaptic(0.9, 0.8, **hidden)
        )

    def forward(self, x: Tensor) -> Tensor:
        utils.reset(self.net)
        return torch.stack([self.net(item) for item in x])


class Convolutions(nn.Module):
    """SpikingJelly's in steps, the batch first."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), neuron.LIFNode(v_threshold=0.1), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(36, 5), neuron.ParametricLIFNode(v_threshold=0.1, v_reset=None),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        functional.reset_net(self)
        return torch.stack([self.net(x[:, t]) for t in range(x.shape[1])], 1)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        p = norse.LIFParameters(
            tau_mem_inv=torch.tensor(300.0), tau_syn_inv=torch.tensor(500.0), v_th=torch.tensor(0.3)
        )
        self.lif, self.fc, self.out = norse.LIFRecurrentCell(8, 6, p), nn.Linear(6, 4), norse.LICell()

    def forward(self, x: Tensor) -> Tensor:
        s = so = None
        voltages = []
        for xt in x:
            z, s = self.lif(xt, s)
            v, so = self.out(self.fc(z), so)
            voltages.append(v)
        return torch.stack(voltages)


class RecurrentLeaky(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(8, 6), snn.RLeaky(0.5, linear_features=6, threshold=0.25)

    def forward(self, x: Tensor) -> Tensor:
        spk, mem = self.lif.init_rleaky()
        spikes = []
        for t in range(len(x)):
            spk, mem = self.lif(self.fc(x[t]), spk, mem)
            spikes.append(spk)
        return torch.stack(spikes)


class Feedback(nn.Module):
    """Spikes of two steps ago come back."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.back, self.lif = nn.Linear(8, 6), nn.Linear(6, 6, bias=False), snn.Leaky(0.5, threshold=0.25)

    def forward(self, x: Tensor) -> Tensor:
        mem = zero = torch.zeros(x.shape[1], 6)
        spikes = [zero, zero]
        for item in x.unbind():
            spk, mem = self.lif(self.fc(item) + self.back(spikes[-2]), mem)
            spikes.append(spk)
        return torch.stack(spikes[2:])


def turned(x: Tensor) -> Tensor:
    return x.transpose(0, 1)


def same(x: Tensor) -> Tensor:
    return x


Case = tuple[Callable[[], nn.Module], tuple[int, ...], tuple[int, ...], Callable[[Tensor], Tensor]]
MODELS: dict[str, Case] = {
    "given states": (GivenStates, (5, 2, 8), (11, 3, 8), same),
    "the same in every step": (lambda: GivenStates(9), (3, 8), (4, 8), lambda x: x.expand(9, *x.shape)),
    "a number of steps": (lambda: GivenStates(5), (5, 2, 8), (5, 3, 8), same),
    "hidden states": (HiddenStates, (4, 2, 8), (12, 3, 8), same),
    "convolutions, batch first": (Convolutions, (3, 4, 2, 6, 6), (3, 9, 2, 6, 6), turned),
    "recurrent": (Recurrent, (4, 2, 8), (13, 3, 8), same),
    "recurrent, given spikes": (RecurrentLeaky, (4, 2, 8), (9, 3, 8), same),
    "a delay of two steps": (Feedback, (5, 2, 8), (9, 3, 8), same),
}


def tensors(y: object) -> list[Tensor]:
    return [v.detach() for v in (y if isinstance(y, tuple) else (y,)) if isinstance(v, Tensor)]


@pytest.mark.parametrize("name", MODELS)
def test_it_fires_as_the_loop_does(name):
    torch.manual_seed(0)
    build, example, shape, steps_first = MODELS[name]
    model = dyadic(build())
    net = from_torch(model, (torch.rand(example) < 0.5).float())
    x = (torch.rand(shape) < 0.5).float()
    expected = [turned(y) if steps_first is turned else y for y in tensors(model(x))]
    assert expected[0].any()
    given = steps_first(x).contiguous()
    for one, other, third in zip(expected, execute(net, given), tensors(net(given)), strict=True):
        assert np.array_equal(one, other)
        assert torch.equal(one, third)


def test_names_and_notes_tell_of_the_source():
    net = from_torch(GivenStates(9), torch.rand(3, 8))
    assert "@lif1" in network_of(net)
    assert "9 steps of the same input" in net.notes[0]
    assert "batch, ..]" in from_torch(Convolutions(), torch.rand(3, 4, 2, 6, 6)).notes[0]
    assert "delay 2" in network_of(from_torch(Feedback(), torch.rand(4, 2, 8)))


@pytest.mark.parametrize("build", [GivenStates, HiddenStates, Convolutions])
def test_the_model_and_other_models_keep_their_states(build):
    model, other = build(), GivenStates()
    shape = (3, 4, 2, 6, 6) if build is Convolutions else (5, 2, 8)
    other(torch.rand(5, 2, 8))
    model(torch.rand(shape))
    held = [getattr(m, "mem", getattr(m, "v", None)) for net in (model, other) for m in net.modules()]
    from_torch(model, torch.rand(shape))
    after = [getattr(m, "mem", getattr(m, "v", None)) for net in (model, other) for m in net.modules()]
    assert all(one is two for one, two in zip(held, after, strict=True))
    assert all("forward" not in vars(module) for module in model.modules())


@pytest.mark.parametrize("build", [GivenStates, RecurrentLeaky])
def test_a_rolled_loop_keeps_its_surrogate_gradients(build):
    torch.manual_seed(0)
    model, x = build(), torch.randn(6, 3, 8) * 2
    rolled = gossamer.compile(model, x, pipeline="roll-steps")
    steps = [rolled.ir(stage).count('"gossamer.neuron_step.default"') for stage in ("import", "roll-steps")]
    assert steps[0] == 6 * steps[1]
    expected, found = tensors(model(x)), tensors(rolled(x))
    assert all(map(torch.equal, expected, found))
    parameters = [p for _, p in model.named_parameters()]

    def gradients(y: object) -> list[Tensor]:
        spikes = y[0] if isinstance(y, tuple) else y
        assert isinstance(spikes, Tensor)
        return list(torch.autograd.grad((spikes * torch.arange(1.0, 7)[:, None, None]).sum(), parameters))

    for one, other in zip(gradients(model(x)), gradients(rolled(x)), strict=True):
        assert one.any()
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5 * float(one.abs().max()))


class Loop(nn.Module):
    """A loop whose step, end and start are given."""

    def __init__(self, step=None, end=None, begin=None) -> None:
        super().__init__()
        self.fc, self.other, self.lif = nn.Linear(8, 4), nn.Linear(8, 4), snn.Leaky(0.9)
        self.step = step or (lambda net, x, t, _: net.fc(x[t]))
        self.end, self.begin = end or torch.stack, begin or (lambda x: x)

    def forward(self, x: Tensor) -> Tensor:
        x, mem, spikes = self.begin(x), torch.zeros(x.shape[1], 4), []
        for t in range(len(x)):
            spk, mem = self.lif(self.step(self, x, t, mem), mem)
            spikes.append(spk)
        return self.end(spikes)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "a weight of each step": (lambda: Loop(lambda net, x, t, _: (net.other if t else net.fc)(x[t])), "not what the"),
    "steps in reverse": (lambda: Loop(lambda net, x, t, _: net.fc(x[len(x) - 1 - t])), "not what the last"),
    "random spikes": (lambda: Loop(lambda net, x, t, _: net.fc(torch.rand_like(x[t]).round())), "not what the last"),
    "a state that leaks into the input": (lambda: Loop(lambda net, x, t, mem: net.fc(x[t]) + mem), "neither"),
    "a sum after the loop": (lambda: Loop(end=lambda spikes: torch.stack(spikes).sum(0)), "`aten.sum.*after the loop"),
    "a running sum": (lambda: Loop(end=lambda spikes: sum(spikes)), "`aten.add.*after the loop"),
    "work before the loop": (lambda: Loop(begin=torch.tanh), "`aten.tanh.*before the loop"),
    "some of the steps": (lambda: Loop(begin=lambda x: x[:2]), "2 of 3 steps"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_network_is_refused_at_its_line(name):
    build, message = REFUSED[name]
    with pytest.raises(UserError, match=message) as caught:
        from_torch(build(), torch.rand(3, 2, 8))
    assert caught.value.place is None or caught.value.place.file == __file__


def test_an_error_of_the_model_itself_is_not_taken_for_another_shape():
    class Faulty(GivenStates):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            raise KeyError("a fault of its own")

    with pytest.raises(KeyError, match="a fault of its own"):
        from_torch(Faulty(), torch.ones(3, 2, 8))
