"""Neurons of SpikingJelly: IFNode, LIFNode and ParametricLIFNode as `gossamer::neuron_step`.

| node                            | charge                             | equations         |
|---------------------------------|------------------------------------|-------------------|
| IFNode                          | v + x                              | IF                |
| LIFNode                         | v + (x - (v - reset)) / tau        | LIF, quotient     |
| LIFNode, decay_input=False      | v - (v - reset) / tau + x          | LIF, quotient_leak |
| ParametricLIFNode               | v + (x - (v - reset)) sigmoid(w)   | LIF, Euler        |
| the same, decay_input=False     | v - (v - reset) sigmoid(w) + x     | LIF, euler_leak   |

It fires where v >= v_threshold and is reset at once: to v_reset, or by v_threshold where that is None. In step mode `m`
a node is one scan over its steps.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .neurons import STATES, Neuron, over_steps

KNOWN = ("IFNode", "LIFNode", "ParametricLIFNode")
SURROGATES = {
    "Sigmoid": "logistic",
    "ATan": "atan",
    "PiecewiseQuadratic": "piecewise_quadratic",
    "PiecewiseExp": "piecewise_exp",
    "SoftSign": "soft_sign",
    "SuperSpike": "super_spike",
    "Erf": "erf",
}
"""The op's name of each surrogate; all take alpha."""


def kind_of(module: Any) -> str:
    """The name of the node whose step a module has; empty where there is none."""
    for cls in type(module).__mro__:
        if cls.__name__ in KNOWN and cls.__module__.startswith("spikingjelly."):
            same = ("single_step_functional_forward", "multi_step_functional_forward", "materialize_states", "forward")
            return cls.__name__ if all(getattr(type(module), n) is getattr(cls, n) for n in same) else ""
    return ""


def refusal(module: Any) -> str:
    """Why a module cannot be read exactly; empty where it can."""
    if not kind_of(module):
        return f"there are no equations for it; known: {', '.join(KNOWN)}"
    surrogate = module.surrogate_function
    alpha = getattr(surrogate, "alpha", None)
    if type(surrogate).__name__ not in SURROGATES or not surrogate.spiking or not isinstance(alpha, int | float):
        return f"the surrogate {surrogate} has no equations; known: {', '.join(SURROGATES)}, of a plain alpha"
    odd = {"store_v_seq": module.store_v_seq, "a precision of its own": module._neuron_precision is not None}
    return next((f"{what} has no equations" for what, found in odd.items() if found), "")


def neuron(module: Any) -> Callable[..., Any] | None:
    """The node with its step as one op."""
    if refusal(module):
        return None

    def neuron_step(x: Tensor) -> Tensor:
        equations = equations_of(module)

        def step(states: Sequence[Tensor], x: Tensor, more: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            spikes, *after = equations([x], states, more)
            return after, [spikes]

        tensors = list(equations.tensors.values())
        if module.step_mode == "m":
            states, (spikes,) = over_steps(step, states_before(module, x[0]), x, tensors)
        else:
            states, (spikes,) = step(states_before(module, x), x, tensors)
        if STATES and module.step_mode == "s":
            STATES[-1].after[module] = states
        else:
            module.v = states[0]
        return spikes

    return neuron_step


def states_before(module: Any, x: Tensor) -> Sequence[Tensor]:
    """What is carried over time, or the node holds, or its value after a reset."""
    value = 0.0 if module.v_reset is None else module.v_reset
    if STATES and module.step_mode == "s":
        return STATES[-1].take(module, [x], [value])
    held = module.v
    if isinstance(held, Tensor) and held.shape == x.shape:
        return [held]
    return [torch.full_like(x, value if isinstance(held, Tensor) else held)]


@contextmanager
def fresh(modules: Sequence[Any]) -> Iterator[None]:
    """Let nodes hold their states after a reset, and then again what they held."""
    held = [(module, module.v) for module in modules]
    try:
        for module in modules:
            module.reset()
        yield
    finally:
        for module, v in held:
            module.v = v


def equations_of(module: Any) -> Neuron:
    """The equations of a node."""
    kind, hard = kind_of(module), module.v_reset is not None
    leak = {"leak": module.v_reset if hard else 0.0}
    if kind == "IFNode":
        text, parameters = "if euler", {"r": 1.0}
    elif kind == "LIFNode":
        text, parameters = "lif quotient" if module.decay_input else "lif quotient_leak", {"tau": module.tau, **leak}
    elif module.decay_input:
        text, parameters = "lif euler", {"rate": module.w.sigmoid(), "r": 1.0, **leak}
    else:
        text, parameters = "lif euler_leak", {"rate": module.w.sigmoid(), **leak}
    parameters = {**parameters, "threshold": module.v_threshold}
    if hard and module.v_reset != 0:
        parameters["reset"] = module.v_reset
    reset = "subtract" if not hard else "value" if module.v_reset != 0 else "zero"
    alpha = float(module.surrogate_function.alpha)
    surrogate = f"{SURROGATES[type(module.surrogate_function).__name__]} {alpha}"
    return Neuron(f"{text} ge {reset} now", parameters, surrogate, module.detach_reset)
