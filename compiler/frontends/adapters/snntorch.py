"""Neurons of snnTorch: Leaky, Synaptic, RLeaky, RSynaptic and Lapicque as `gossamer::neuron_step`.

| reset_mechanism | reset_delay | Leaky           | others               |
|-----------------|-------------|-----------------|----------------------|
| subtract        | True        | `subtract next` | `subtract next`      |
| subtract        | False       | `subtract undelayed` | the same        |
| zero            | True        | `zero before`   | `zero next`          |
| zero            | False       | `zero now`      | `zero now`           |
| none            |             | `none now`      | `none now`           |

beta and alpha are clamped to [0, 1], as the source does in each step. Results and gradients are those of the source:
`zero now` but for a membrane that is given above its threshold, which no step leaves behind.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from .neurons import STATES, Neuron, reads_all

STATE_NAMES = {
    "Leaky": ("mem",),
    "Lapicque": ("mem",),
    "Synaptic": ("syn", "mem"),
    "RLeaky": ("spk", "mem"),
    "RSynaptic": ("spk", "syn", "mem"),
}
"""The states of each class, in the order in which its forward takes them."""
TEXTS = {
    "Leaky": "88389a7dcb72",
    "Lapicque": "04b21b7c3b41",
    "Synaptic": "6450a189ee89",
    "RLeaky": "9abad55a16e8",
    "RSynaptic": "985838fb02c1",
}
"""Digests of the texts of each class that the equations stand for."""
SURROGATES = {
    "straight_through_estimator": ("straight_through",),
    "heaviside": ("heaviside",),
    "atan": ("atan", "alpha"),
    "fast_sigmoid": ("fast_sigmoid", "slope"),
    "sigmoid": ("sigmoid", "slope"),
    "triangular": ("triangular", "threshold"),
    "spike_rate_escape": ("spike_rate_escape", "beta", "slope"),
    "SFS": ("sparse_fast_sigmoid", "slope", "B"),
}
"""The op's name of each of snntorch.surrogate, and the order of its numbers."""


def texts(cls: type) -> str:
    """A digest of what a class does in a step."""
    names = ("forward", "fire", "mem_reset", "_base_state_function", "_base_sub", "_base_zero", "_base_int")
    return reads_all(*(getattr(cls, name) for name in names))


def surrogate_of(module: Any) -> str:
    """The op's name of a module's surrogate; empty where it has none."""
    if module.surrogate_disable:
        return "none"
    function = module.spike_grad
    name, numbers = getattr(function, "__qualname__", "").partition(".")[0], {}
    if getattr(function, "__module__", "") != "snntorch.surrogate" or name not in SURROGATES:
        return ""
    if inspect.isfunction(function):
        numbers = inspect.getclosurevars(function).nonlocals
    known, *order = SURROGATES[name]
    return " ".join([known, *(str(float(numbers[key])) for key in order)])


def refusal(module: Any) -> str:
    """Why a module cannot be read exactly; empty where it can."""
    kind = next((cls.__name__ for cls in type(module).__mro__ if cls.__name__ in STATE_NAMES), "")
    if not kind:
        return f"there are no equations for it; known: {', '.join(STATE_NAMES)}"
    if texts(type(module)) != TEXTS[kind]:
        return "its code is not that of the snnTorch that the equations stand for"
    graded = module.graded_spikes_factor
    odd = {
        "inhibition": bool(module.inhibition),
        "state_quant": bool(module.state_quant),
        "a graded_spikes_factor other than 1": graded.requires_grad or bool((graded != 1).any()),
        "reset_delay=False of RSynaptic, which snnTorch leaves without effect,": kind == "RSynaptic"
        and not module.reset_delay,
        "a surrogate that is not one of snntorch.surrogate, or is random": not surrogate_of(module),
    }
    return next((f"{what} has no equations" for what, found in odd.items() if found), "")


def neuron(module: Any) -> Callable[..., Any] | None:
    """The module with its step as one op, on its own weights."""
    if refusal(module):
        return None
    names = STATE_NAMES[next(cls.__name__ for cls in type(module).__mro__ if cls.__name__ in STATE_NAMES)]

    def neuron_step(input_: Tensor, *given: Tensor | None, **named: Tensor | None) -> Any:
        found = {**dict(zip(names, given, strict=False)), **named}
        if module.init_hidden and any(state is not None for state in found.values()):
            raise TypeError(f"{', '.join(names)} should not be passed as an argument while `init_hidden=True`")
        held = states_before(module, input_, names, found)
        inputs = [module_input(module, input_)]
        if "spk" in names:
            inputs.append(module.recurrent(held["spk"]))
        order = ("mem", "syn") if "syn" in names else ("mem",)
        spikes, *after = equations(module)(inputs, [held[name] for name in order])
        results = {"spk": spikes.float(), **dict(zip(order, after, strict=True))}
        keep(module, names, results)
        states = tuple(results[name] for name in names if name != "spk")
        return results["spk"] if module.init_hidden and not module.output else (results["spk"], *states)

    return neuron_step


def states_before(module: Any, x: Tensor, names: tuple[str, ...], given: dict[str, Tensor | None]) -> dict[str, Tensor]:
    """What was given, or is carried over time, or the module holds; else zeros."""
    missing = [name for name in names if given.get(name) is None]
    if STATES and missing:
        carried = dict(zip(names, STATES[-1].take(module, [x] * len(names), [0.0] * len(names)), strict=True))
    else:
        carried = {name: getattr(module, name) for name in missing}
    return {name: fitting(carried[name] if given.get(name) is None else given[name], x) for name in names}


def fitting(state: Any, x: Tensor) -> Tensor:
    """A state, or zeros where it is of another shape, as the source has it."""
    return state if state.shape == x.shape else x.new_zeros(x.shape)


@contextmanager
def fresh(modules: Sequence[Any]) -> Iterator[None]:
    """Let modules hold the states of new ones, and then again what they held: `snntorch.utils.reset` finds these."""
    kind = next(cls for cls in type(modules[0]).__mro__ if cls.__name__ == "SpikingNeuron")
    instances = kind.instances
    names = {name for order in STATE_NAMES.values() for name in order}
    held = [(module, name, state) for module in modules for name, state in module.named_buffers(recurse=False)
            if name in names]  # fmt: skip
    try:
        kind.instances = list(modules)
        for module, name, state in held:
            setattr(module, name, state.new_zeros(0))
        yield
    finally:
        kind.instances = instances
        for module, name, state in held:
            setattr(module, name, state)


def keep(module: nn.Module, names: tuple[str, ...], states: dict[str, Tensor]) -> None:
    """Hold the states for the next step."""
    if STATES:
        STATES[-1].after[module] = [states[name] for name in names]
        return
    for name in names:
        setattr(module, name, states[name])


def module_input(module: Any, x: Tensor) -> Tensor:
    """What is added to the decayed membrane: Lapicque's passes its resistance and capacity first."""
    if not hasattr(module, "R"):
        return x
    return x * module.R * (1 / (module.R * module.C)) * module.time_step


def equations(module: Any) -> Neuron:
    """The equations of a module."""
    synaptic, lapicque = hasattr(module, "alpha"), hasattr(module, "R")
    decay = 1 - (module.time_step / (module.R * module.C)) if lapicque else module.beta.clamp(0, 1)
    parameters: dict[str, Tensor | float] = {"decay": decay, "threshold": module.threshold, "leak": 0.0, "gain": 1.0}
    if synaptic:
        parameters |= {"decay_syn": module.alpha.clamp(0, 1), "w_in": 1.0}
    model = "cuba_lif" if synaptic else "lif"
    return Neuron(f"{model} exponential gt {reset_of(module)}", parameters, surrogate_of(module))


def reset_of(module: Any) -> str:
    """The op's words for how a module is reset."""
    kind = module.reset_mechanism
    if kind == "none":
        return "none now"
    if not getattr(module, "reset_delay", True):
        return "subtract undelayed" if kind == "subtract" else "zero now"
    leaky = any(cls.__name__ == "Leaky" for cls in type(module).__mro__)
    return "zero before" if kind == "zero" and leaky else f"{kind} next"
