"""Neurons of snnTorch: the op gives what they give, and its gradients are theirs."""

from typing import Any

import pytest
import torch
from gossamer.compiler.frontends.adapters import adapted
from gossamer.compiler.frontends.adapters.snntorch import refusal
from gossamer.tests.spiking import Feed, check
from torch import Tensor

snn = pytest.importorskip("snntorch")
surrogate = pytest.importorskip("snntorch.surrogate")

LEARNED: dict[str, Any] = {"learn_beta": True, "learn_threshold": True}
NEURONS = {
    "Leaky": (lambda **how: snn.Leaky(0.9, **LEARNED, **how), 1),
    "Synaptic": (lambda **how: snn.Synaptic(0.8, 0.9, learn_alpha=True, **LEARNED, **how), 2),
    "RLeaky": (lambda **how: snn.RLeaky(0.9, linear_features=6, **LEARNED, **how), 2),
    "RSynaptic": (lambda **how: snn.RSynaptic(0.8, 0.9, all_to_all=False, V=torch.full((6,), 0.3), **how), 3),
    "a beta for each": (lambda **how: snn.Leaky(torch.linspace(0.1, 0.99, 6), **how), 1),
    "a beta above 1": (lambda **how: snn.Leaky(1.3, **how), 1),
}
"""Each with how many states it has."""


def given_states(count: int) -> Feed:
    """Call a neuron step by step with the states that it gave."""

    def feed(module: Any, x: Tensor) -> list[Tensor]:
        states, outputs = [torch.zeros_like(x[0])] * count, []
        for item in x:
            result = module(item, *states)
            states = list(result) if len(result) == count else list(result[1:])
            outputs += result
        return outputs

    return feed


def hidden(module: Any, x: Tensor) -> list[Tensor]:
    module.reset_mem()
    return [module(item) for item in x]


CASES = [(name, delay) for name in NEURONS for delay in (True, False) if delay or name != "RSynaptic"]


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize(("name", "delay"), CASES)
def test_spikes_states_and_gradients_are_those_of_the_source(name, delay, reset):
    torch.manual_seed(0)
    build, states = NEURONS[name]
    check(build(reset_mechanism=reset, reset_delay=delay), given_states(states), 12, 3, 6)


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_lapicque(reset):
    torch.manual_seed(1)
    check(snn.Lapicque(R=5.1, C=0.5, threshold=0.3, reset_mechanism=reset), given_states(1), 12, 3, 6)


SURROGATES = {
    "atan": lambda: surrogate.atan(3.0),
    "fast sigmoid": lambda: surrogate.fast_sigmoid(10),
    "sigmoid": lambda: surrogate.sigmoid(5),
    "triangular": lambda: surrogate.triangular(),
    "straight through": lambda: surrogate.straight_through_estimator(),
    "heaviside": lambda: surrogate.heaviside(),
    "spike rate escape": lambda: surrogate.spike_rate_escape(),
    "sparse fast sigmoid": lambda: surrogate.SFS(25, -0.2),
}


@pytest.mark.parametrize("name", SURROGATES)
def test_surrogates(name):
    torch.manual_seed(2)
    check(snn.Leaky(0.9, spike_grad=SURROGATES[name](), learn_threshold=True), given_states(1), 8, 3, 6)


def test_hidden_states_are_carried_on():
    torch.manual_seed(3)
    check(snn.Leaky(0.9, init_hidden=True), hidden, 12, 3, 6)
    check(snn.RLeaky(0.9, all_to_all=False, V=0.5, init_hidden=True), hidden, 12, 3, 6)


def test_a_state_given_beside_a_hidden_one_is_an_error_as_it_is_in_snntorch():
    module = snn.Leaky(0.9, init_hidden=True)
    with adapted(module), pytest.raises(TypeError, match="should not be passed"):
        module(torch.zeros(2, 3), torch.zeros(2, 3))


REFUSED = {
    "inhibition": lambda: snn.Leaky(0.9, inhibition=True),
    "state_quant": lambda: snn.Leaky(0.9, state_quant=lambda v: v.round()),
    "graded_spikes_factor": lambda: snn.Leaky(0.9, graded_spikes_factor=2.0),
    "random": lambda: snn.Leaky(0.9, spike_grad=surrogate.SSO()),
    "reset_delay": lambda: snn.RSynaptic(0.8, 0.9, linear_features=4, reset_delay=False),
    "no equations for it": lambda: snn.Alpha(0.9, 0.8),
}


@pytest.mark.filterwarnings("ignore:Inhibition")
@pytest.mark.parametrize("reason", REFUSED)
def test_what_has_no_equations_is_left_alone(reason):
    module = REFUSED[reason]()
    assert reason in refusal(module)
    with adapted(module) as notes:
        assert not notes


def test_other_code_is_left_alone():
    class Doubled(snn.Leaky):
        def _base_state_function(self, input_: Tensor) -> Tensor:
            return 2 * super()._base_state_function(input_)

    assert "code" in refusal(Doubled(0.9))
