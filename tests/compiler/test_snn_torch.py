"""Networks read from models of torch: what the models fire, step by step, to the bit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gossamer.compiler.snn_torch import from_torch
from gossamer.tests.spiking import dyadic, execute, leaky, loop, network_of
from torch import Tensor, nn

snn = pytest.importorskip("snntorch")
norse = pytest.importorskip("norse.torch")
izhikevich = pytest.importorskip("norse.torch.functional.izhikevich")
neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
layer = pytest.importorskip("spikingjelly.activation_based.layer")


def sequence(model: nn.Module, x: Tensor) -> Tensor:
    y = model(x)
    return y[0] if isinstance(y, tuple) else y


def with_states(model: nn.Module, x: Tensor) -> Tensor:
    state, outputs = None, []
    for item in x:
        y, state = model(item, state)
        outputs.append(y)
    return torch.stack(outputs)


def lif(**how: Any) -> Any:
    return norse.LIFParameters(tau_mem_inv=torch.tensor(300.0), v_th=torch.tensor(0.3), **how)


def lsnn(**how: Any) -> Any:
    return norse.LSNNParameters(
        tau_mem_inv=torch.tensor(300.0), tau_adapt_inv=torch.tensor(30.0), v_th=torch.tensor(0.25), **how
    )


class Amplified(nn.Module):
    """A gain, as a buffer."""

    gain: Tensor

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.register_buffer("gain", torch.tensor(gain))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain


Case = tuple[Callable[[], nn.Module], Callable[[nn.Module, Tensor], Tensor], tuple[int, ...]]
MODELS: dict[str, Case] = {
    "snnTorch, subtract": (
        lambda: nn.Sequential(nn.Linear(8, 16), leaky(), nn.Linear(16, 4), leaky(0.8)),
        loop,
        (8,),
    ),
    "snnTorch, subtract at once": (
        lambda: nn.Sequential(nn.Linear(8, 16), leaky(reset_delay=False), nn.Linear(16, 4), leaky(reset_delay=False)),
        loop,
        (8,),
    ),
    "snnTorch, zero": (
        lambda: nn.Sequential(nn.Linear(8, 16), leaky(reset_mechanism="zero"), nn.Linear(16, 4), leaky(0.7)),
        loop,
        (8,),
    ),
    "snnTorch, no reset, a beta for each": (
        lambda: nn.Sequential(nn.Linear(8, 4), leaky(torch.linspace(0, 1, 4), reset_mechanism="none")),
        loop,
        (8,),
    ),
    "snnTorch, Synaptic": (
        lambda: nn.Sequential(nn.Linear(8, 6), snn.Synaptic(0.8, 0.9, init_hidden=True)),
        loop,
        (8,),
    ),
    "snnTorch, Lapicque": (
        lambda: nn.Sequential(nn.Linear(8, 6), snn.Lapicque(R=5.0, C=0.5, threshold=0.25, init_hidden=True)),
        loop,
        (8,),
    ),
    "snnTorch, convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), leaky(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 5), leaky()
        ),
        loop,
        (2, 6, 6),
    ),
    "Norse, cells": (
        lambda: norse.SequentialState(
            nn.Linear(8, 16), norse.LIFCell(lif(v_leak=torch.tensor(0.1))), nn.Linear(16, 4), norse.LICell()
        ),
        with_states,
        (8,),
    ),
    "Norse, boxes": (
        lambda: norse.SequentialState(
            nn.Linear(8, 16),
            norse.LIFBoxCell(norse.LIFBoxParameters(v_leak=torch.tensor(0.2), v_th=torch.tensor(0.25))),
            nn.Linear(16, 4),
            norse.IAFCell(),
        ),
        with_states,
        (8,),
    ),
    "Norse, layers over time": (
        lambda: norse.SequentialState(
            norse.Lift(nn.Conv2d(2, 3, 3)), norse.LIF(lif()), nn.Flatten(2), nn.Linear(48, 4), norse.LI()
        ),
        sequence,
        (2, 6, 6),
    ),
    "Norse, adaptive thresholds": (
        lambda: norse.SequentialState(
            nn.Linear(8, 16), norse.LSNNCell(lsnn(beta=torch.tensor(0.25))), nn.Linear(16, 4), norse.LSNNCell(lsnn())
        ),
        with_states,
        (8,),
    ),
    "Norse, adaptive thresholds over time": (
        lambda: norse.SequentialState(norse.Lift(nn.Conv2d(2, 3, 3)), norse.LSNN(lsnn())),
        sequence,
        (2, 6, 6),
    ),
    "Norse, Izhikevich": (
        lambda: norse.SequentialState(
            nn.Linear(8, 16),
            Amplified(60.0),
            norse.IzhikevichCell(izhikevich.tonic_bursting),
            nn.Linear(16, 4),
            Amplified(200.0),
            norse.IzhikevichCell(izhikevich.class_1_exc),
        ),
        with_states,
        (8,),
    ),
    "snnTorch, learned parameters of each channel": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3),
            snn.Leaky(
                torch.tensor([0.5, 0.9, 0.8]).reshape(3, 1, 1),
                learn_beta=True,
                threshold=torch.tensor([0.5, 0.25, 0.375]).reshape(1, 3, 1, 1),
                learn_threshold=True,
                init_hidden=True,
            ),
            nn.Flatten(),
            nn.Linear(48, 4),
            leaky(torch.linspace(0.5, 1, 4), learn_beta=True),
        ),
        loop,
        (2, 6, 6),
    ),
    "SpikingJelly, one step": (
        lambda: nn.Sequential(nn.Linear(8, 16), neuron.LIFNode(v_threshold=0.3), nn.Linear(16, 4), neuron.IFNode()),
        loop,
        (8,),
    ),
    "SpikingJelly, learned tau, values": (
        lambda: nn.Sequential(
            nn.Linear(8, 16),
            neuron.ParametricLIFNode(init_tau=3.0, v_threshold=0.3, v_reset=-0.25),
            nn.Linear(16, 4),
            neuron.LIFNode(tau=3.0, decay_input=False, v_threshold=0.25, v_reset=None),
        ),
        loop,
        (8,),
    ),
    "SpikingJelly, all steps": (
        lambda: nn.Sequential(
            layer.Conv2d(2, 4, 3, padding=1, step_mode="m"),
            neuron.LIFNode(v_threshold=0.3, step_mode="m"),
            layer.SeqToANNContainer(nn.AvgPool2d(2), nn.Flatten()),
            layer.Linear(36, 5, step_mode="m"),
            neuron.ParametricLIFNode(decay_input=False, v_threshold=0.25, v_reset=None, step_mode="m"),
        ),
        sequence,
        (2, 6, 6),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_fires_as_the_model_does(name):
    torch.manual_seed(0)
    build, feed, shape = MODELS[name]
    model = dyadic(build())
    net = from_torch(model, (torch.rand(4, 2, *shape) < 0.5).float())
    assert net.notes == ()
    x = (torch.rand(17, 3, *shape) < 0.5).float()
    expected = feed(model, x).detach()
    assert expected.any()
    assert np.array_equal(execute(net, x)[0], expected)
    assert torch.equal(net(x), expected)


HIDDEN: dict[str, Any] = {"init_hidden": True}
RECURRENT: dict[str, Case] = {
    "RLeaky": (
        lambda: nn.Sequential(nn.Linear(8, 6), snn.RLeaky(0.5, linear_features=6, threshold=0.5, init_hidden=True)),
        loop,
        (8,),
    ),
    "RLeaky, one to one": (
        lambda: nn.Sequential(nn.Linear(8, 6), snn.RLeaky(0.5, all_to_all=False, V=-0.5, threshold=0.25, **HIDDEN)),
        loop,
        (8,),
    ),
    "RSynaptic, a V for each": (
        lambda: nn.Sequential(
            nn.Linear(8, 6), snn.RSynaptic(0.5, 0.5, all_to_all=False, V=torch.arange(6) / 4 - 0.75, init_hidden=True)
        ),
        loop,
        (8,),
    ),
    "RLeaky, a convolution": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3), snn.RLeaky(0.5, conv2d_channels=3, kernel_size=3, threshold=0.5, init_hidden=True)
        ),
        loop,
        (2, 6, 6),
    ),
    "LSNNRecurrent": (
        lambda: norse.SequentialState(nn.Linear(8, 6), norse.LSNNRecurrentCell(6, 6, p=lsnn())),
        with_states,
        (8,),
    ),
    "LIFRecurrent": (
        lambda: norse.SequentialState(nn.Linear(8, 6), norse.LIFRecurrent(6, 6, lif(tau_syn_inv=torch.tensor(500.0)))),
        sequence,
        (8,),
    ),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrence_comes_a_step_later(name):
    torch.manual_seed(1)
    build, feed, shape = RECURRENT[name]
    model = dyadic(build())
    net = from_torch(model, (torch.rand(4, 2, *shape) < 0.5).float())
    assert "one after another" in net.notes[0]
    assert "delay 1" in network_of(net)
    x = (torch.rand(9, 3, *shape) < 0.5).float()
    expected = feed(model, x).detach()
    assert expected.any()
    assert np.array_equal(execute(net, x)[0], expected)


def normed(mode: str) -> nn.Module:
    """A net as SpikingJelly's are, in evaluation; scales of its norms are powers of 2, so that products are exact."""

    def norm(module: Any) -> Any:
        nn.init.constant_(module.running_var, 0.25 - module.eps)
        nn.init.constant_(module.running_mean, 0.25)
        with torch.no_grad():
            module.weight.copy_(2.0 ** torch.randint(-2, 1, module.weight.shape))
            module.bias.copy_(torch.randint(-8, 24, module.bias.shape) / 32)
        return module

    how = {"step_mode": mode}
    model = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1, bias=False, **how), norm(layer.BatchNorm2d(4, **how)),
        neuron.LIFNode(v_threshold=0.25, **how), layer.MaxPool2d(2, 2, **how),
        layer.Conv2d(4, 4, 3, padding=1, **how), norm(layer.BatchNorm2d(4, **how)),
        neuron.LIFNode(v_threshold=0.25, v_reset=None, **how), layer.MaxPool2d(3, 2, 1, **how), layer.Flatten(**how),
        layer.SeqToANNContainer(nn.Linear(16, 5), norm(nn.BatchNorm1d(5))) if mode == "m" else
        nn.Sequential(nn.Linear(16, 5), norm(nn.BatchNorm1d(5))),
        neuron.LIFNode(v_threshold=0.125, **how),
    )  # fmt: skip
    return model.eval()


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("seed", range(3))
def test_batch_norms_and_max_pooling_of_spikes(mode, seed):
    torch.manual_seed(seed)
    model = dyadic(normed(mode))
    net = from_torch(model, (torch.rand(4, 2, 2, 8, 8) < 0.5).float())
    assert not any(module.training for module in model.modules())
    assert len(net.notes) == 3
    assert all("a batch norm is" in note for note in net.notes)
    x = (torch.rand(16, 3, 2, 8, 8) < 0.4).float()
    expected = (sequence if mode == "m" else loop)(model, x).detach()
    assert expected.any()
    assert np.array_equal(execute(net, x)[0], expected)
    assert torch.equal(net(x), expected)


def test_spikes_that_are_pooled_may_be_the_result():
    model = dyadic(nn.Sequential(nn.Conv1d(2, 3, 3), leaky(), nn.MaxPool1d(2, stride=1)))
    x = torch.rand(9, 3, 2, 8).round()
    net = from_torch(model, x)
    expected = loop(model, x).detach()
    assert expected.any()
    assert np.array_equal(execute(net, x)[0], expected)
