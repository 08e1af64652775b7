"""Neurons of Norse: the op gives what they give, and its gradients are theirs."""

from typing import Any

import pytest
import torch
from gossamer.compiler.frontends.adapters.norse import refusal
from gossamer.tests.spiking import check
from torch import Tensor

norse = pytest.importorskip("norse.torch")
izhikevich = pytest.importorskip("norse.torch.functional.izhikevich")
reset = pytest.importorskip("norse.torch.functional.reset")


def value(number: float) -> Tensor:
    return torch.tensor(number)


def step_by_step(module: Any, x: Tensor) -> list[Tensor]:
    state, outputs = None, []
    for item in x:
        spikes, state = module(item, state)
        outputs += [spikes, *state]
    return outputs


def at_once(module: Any, x: Tensor) -> list[Tensor]:
    spikes, state = module(x)
    return [spikes, *state]


def lif(**how: Any) -> Any:
    return norse.LIFParameters(tau_mem_inv=value(300.0), v_th=value(0.5), v_leak=value(0.1), v_reset=value(-0.2), **how)


def box(**how: Any) -> Any:
    return norse.LIFBoxParameters(tau_mem_inv=value(300.0), v_th=value(0.3), v_leak=value(0.1), **how)


def lsnn(**how: Any) -> Any:
    return norse.LSNNParameters(
        tau_mem_inv=value(300.0), tau_adapt_inv=value(60.0), v_th=value(0.4), v_leak=value(0.1), v_reset=value(-0.2),
        beta=value(0.3), **how,
    )  # fmt: skip


def in_volts(module: Any, x: Tensor) -> list[Tensor]:
    """Currents of a size that makes Izhikevich's neurons fire."""
    return step_by_step(module, x * 100)


NEURONS = {
    "LSNNCell": (lambda: norse.LSNNCell(lsnn()), step_by_step),
    "LSNNRecurrentCell": (lambda: norse.LSNNRecurrentCell(6, 4, p=lsnn()), step_by_step),
    "LSNN": (lambda: norse.LSNN(lsnn()), at_once),
    "LSNNRecurrent": (lambda: norse.LSNNRecurrent(6, 4, p=lsnn()), at_once),
    "IzhikevichCell": (lambda: norse.IzhikevichCell(izhikevich.tonic_bursting), in_volts),
    "IzhikevichRecurrentCell": (lambda: norse.IzhikevichRecurrentCell(6, 4, izhikevich.tonic_spiking), in_volts),
    "LIFCell": (lambda: norse.LIFCell(lif()), step_by_step),
    "LIFCell, a threshold for each": (
        lambda: norse.LIFCell(norse.LIFParameters(v_th=torch.linspace(0.1, 0.5, 6), tau_mem_inv=value(250.0))),
        step_by_step,
    ),
    "LIFRecurrentCell": (lambda: norse.LIFRecurrentCell(6, 4, lif()), step_by_step),
    "LIFBoxCell": (lambda: norse.LIFBoxCell(box()), step_by_step),
    "LIFBoxCell, subtract": (lambda: norse.LIFBoxCell(box(reset_method=reset.reset_subtract)), step_by_step),
    "IAFCell": (lambda: norse.IAFCell(), step_by_step),
    "LICell": (lambda: norse.LICell(), step_by_step),
    "LIBoxCell": (lambda: norse.LIBoxCell(), step_by_step),
    "LIF": (lambda: norse.LIF(lif()), at_once),
    "LI": (lambda: norse.LI(), at_once),
    "LIFRecurrent": (lambda: norse.LIFRecurrent(6, 4, lif()), at_once),
}


@pytest.mark.parametrize("name", NEURONS)
def test_spikes_states_and_gradients_are_those_of_the_source(name):
    torch.manual_seed(0)
    build, feed = NEURONS[name]
    check(build(), feed, 12, 3, 6)


@pytest.mark.parametrize("method", ["super", "heaviside", "triangle", "tanh", "circ", "heavi_erfc"])
def test_surrogates(method):
    torch.manual_seed(1)
    check(norse.LIFCell(lif(method=method, alpha=value(2.0))), step_by_step, 12, 3, 6)


def test_what_has_no_equations_is_named():
    assert "lif_adex" in refusal(norse.LIFAdExCell())
    thresholds = norse.LSNNParameters(v_th=torch.linspace(0.1, 0.5, 6))
    assert "first state b" in refusal(norse.LSNNCell(thresholds))
    assert "adjoint" in refusal(norse.LIFCell(norse.LIFParameters(method="adjoint")))
    assert "record_states" in refusal(norse.LIF(record_states=True))
    assert "first state" in refusal(norse.LIFCell(norse.LIFParameters(v_leak=torch.zeros(6))))
