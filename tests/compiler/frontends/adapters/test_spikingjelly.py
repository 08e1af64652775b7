"""Neurons of SpikingJelly: the op gives what they give, and its gradients are theirs."""

from typing import Any

import pytest
import torch
from gossamer.compiler.frontends.adapters.spikingjelly import refusal
from gossamer.tests.spiking import check
from torch import Tensor

neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
surrogate = pytest.importorskip("spikingjelly.activation_based.surrogate")

NODES = {
    "IF": neuron.IFNode,
    "LIF": lambda **how: neuron.LIFNode(tau=3.0, **how),
    "LIF, input whole": lambda **how: neuron.LIFNode(tau=3.0, decay_input=False, **how),
    "PLIF": lambda **how: neuron.ParametricLIFNode(init_tau=3.0, **how),
    "PLIF, input whole": lambda **how: neuron.ParametricLIFNode(init_tau=3.0, decay_input=False, **how),
}


def step_by_step(module: Any, x: Tensor) -> list[Tensor]:
    module.reset()
    return [*(module(item) for item in x), module.v]


def at_once(module: Any, x: Tensor) -> list[Tensor]:
    module.reset()
    return [module(x), module.v]


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("detached", [True, False], ids=["detached", "through the reset"])
@pytest.mark.parametrize("reset", [0.0, None, -0.25], ids=["zero", "soft", "value"])
@pytest.mark.parametrize("name", NODES)
def test_spikes_states_and_gradients_are_those_of_the_source(name, reset, detached, mode):
    torch.manual_seed(0)
    node = NODES[name](v_threshold=0.5, v_reset=reset, detach_reset=detached, step_mode=mode)
    check(node, step_by_step if mode == "s" else at_once, 12, 3, 6)


@pytest.mark.parametrize("name", ["ATan", "PiecewiseQuadratic", "PiecewiseExp", "SoftSign", "SuperSpike", "Erf"])
def test_surrogates(name):
    torch.manual_seed(1)
    check(neuron.IFNode(surrogate_function=getattr(surrogate, name)()), step_by_step, 12, 3, 6)


def test_what_has_no_equations_is_named():
    assert "known: IFNode" in refusal(neuron.EIFNode())
    assert "store_v_seq" in refusal(neuron.LIFNode(store_v_seq=True))
    assert "surrogate" in refusal(neuron.LIFNode(surrogate_function=surrogate.LeakyKReLU()))
    smooth = surrogate.Sigmoid(spiking=False)
    assert "surrogate" in refusal(neuron.LIFNode(surrogate_function=smooth))
