"""Models of torch that are read: what is told of them, what stays as it was, and what has no exact form."""

from collections.abc import Callable

import gossamer
import numpy as np
import pytest
import torch
from gossamer.compiler.snn_torch import from_torch, over_time
from gossamer.dialects.diagnostics import UserError
from gossamer.tests.spiking import dyadic, execute, leaky, loop, network_of
from torch import Tensor, nn

snn = pytest.importorskip("snntorch")
neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
layer = pytest.importorskip("spikingjelly.activation_based.layer")


def test_parameters_of_channels_are_written_for_each_neuron(tmp_path):
    thresholds = torch.tensor([0.5, 0.25, 0.375]).reshape(3, 1, 1)
    model = dyadic(nn.Sequential(nn.Conv2d(2, 3, 3), snn.Leaky(0.5, threshold=thresholds, reset_mechanism="zero",
                                                               reset_delay=False, init_hidden=True)))  # fmt: skip
    x = torch.rand(9, 3, 2, 6, 6).round()
    gossamer.snn.save(from_torch(model, x), tmp_path / "net.nir")
    again = gossamer.snn.load(tmp_path / "net.nir", dt=1.0, reset="zero")
    expected = loop(model, x).detach()
    assert expected.any()
    assert torch.equal(again(x), expected)


def test_a_map_of_a_sum_is_told():
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif, self.out, self.last = nn.Linear(3, 3), leaky(), nn.Linear(3, 4), leaky()

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.out(self.lif(self.fc(x)) + x))

    model, x = dyadic(Skip()), torch.rand(9, 2, 3).round()
    net = from_torch(model, x)
    assert "before it maps it" in net.notes[0]
    expected = loop(model, x).detach()
    assert expected.any()
    assert np.array_equal(execute(net, x)[0], expected)


def test_inputs_are_spikes_or_currents_as_the_example_is():
    model = nn.Sequential(nn.Linear(3, 2), leaky())
    assert "analog" not in network_of(from_torch(model, torch.ones(3, 2, 3)))
    assert "analog" in network_of(from_torch(model, torch.rand(3, 2, 3)))


def test_batch_first():
    model, x = dyadic(nn.Sequential(nn.Linear(3, 4), leaky())), torch.rand(5, 7, 3).round()
    net = from_torch(model, x, steps_first=False)
    assert np.array_equal(execute(net, x.transpose(0, 1))[0], loop(model, x.transpose(0, 1)).detach())


def test_the_model_and_its_states_stay_as_they_were():
    model, x = nn.Sequential(nn.Linear(3, 4), leaky()).train(), torch.rand(5, 2, 3)
    loop(model, x)
    before = {name: tensor.clone() for name, tensor in [*model.named_parameters(), *model.named_buffers()]}
    from_torch(model, x)
    after = dict([*model.named_parameters(), *model.named_buffers()])
    assert model.training
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all("forward" not in vars(module) for module in model.modules())


class OwnHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(layer.Linear(3, 4, step_mode="m"), neuron.IFNode(step_mode="m"))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).mean(0)


class Added(nn.Module):
    added: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("added", torch.rand(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.added


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "a neuron without equations": (lambda: nn.Sequential(nn.Linear(3, 4), snn.Alpha(0.9, 0.8)), "`1` .Alpha."),
    "a readout after the last": (lambda: nn.Sequential(nn.Linear(3, 4), leaky(), nn.Linear(4, 2)), "after|follows"),
    "a map that is not linear": (lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), leaky()), "relu.*no linear map"),
    "a maximum of currents": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Unflatten(1, (2, 2)), nn.MaxPool1d(2), leaky()), "no spikes of"),
    "a weight along the last axis": (lambda: nn.Sequential(nn.Linear(3, 4), nn.Unflatten(1, (2, 2)), Added(2), leaky()),
                                     "for each element nor for each channel"),
    "a batch norm without statistics": (lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(
        4, track_running_stats=False), leaky()), "batch_norm"),
    "no neurons": (lambda: nn.Linear(3, 4), "no neurons"),
    "code around layers over time": (OwnHead, "code of its own"),
    "a negative threshold": (lambda: nn.Sequential(nn.Linear(3, 4), snn.Leaky(0.9, threshold=-1.0, init_hidden=True)),
                             "@layer_1 starts above"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_exact_form_is_refused(name):
    build, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        from_torch(build(), torch.rand(3, 2, 3))


def test_a_refusal_names_the_line_of_the_model():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(3, 4), leaky()

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(torch.tanh(self.fc(x)))

    with pytest.raises(UserError) as caught:
        from_torch(Model(), torch.rand(3, 2, 3))
    assert caught.value.place is not None
    assert caught.value.place.file == __file__
    assert "torch.tanh(self.fc(x))" in caught.value.place.excerpt()


@pytest.mark.parametrize("x", [torch.rand(3, 4), torch.rand(1, 2, 3), torch.rand(2, 1, 3)], ids=lambda x: str(x.shape))
def test_an_example_has_two_steps_and_two_in_a_batch(x):
    with pytest.raises(UserError, match="the example"):
        from_torch(over_time(nn.Sequential(nn.Linear(3, 4), leaky())), x)
