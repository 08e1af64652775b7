"""Neurons of Norse as `gossamer::neuron_step`: cells of one step, and layers over time as one scan.

| activation                  | of                             | equations       | reset             |
|-----------------------------|--------------------------------|-----------------|-------------------|
| `lif_feed_forward_step`     | LIFCell, LIF                   | CuBa-LIF, Euler | value             |
| `lif_step`                  | LIFRecurrentCell, LIFRecurrent | CuBa-LIF, Euler | value, detached   |
| `lif_box_feed_forward_step` | LIFBoxCell                     | LIF, Euler      | value or subtract |
| `iaf_feed_forward_step`     | IAFCell, IAF                   | IF              | value             |
| `li_feed_forward_step`      | LICell, LI                     | CuBa-LI, Euler  |                   |
| `li_box_feed_forward_step`  | LIBoxCell                      | LI, Euler       |                   |

rate = dt tau_mem_inv, rate_syn = dt tau_syn_inv. A recurrent layer adds what comes in, then what comes back, to its
current: (i + W x) + W' z. LIFBoxCell adds its leak to the input before all else.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .neurons import STATES, Neuron, number, over_steps, reads_all

SURROGATES = {
    "super": "fast_sigmoid 1.0",
    "heaviside": "none",
    "triangle": "triangle",
    "tanh": "tanh",
    "circ": "circ",
    "heavi_erfc": "erfc",
}
"""The op's name of each method; those of one word take alpha."""


@dataclass(frozen=True)
class Form:
    """What an activation computes: its digests, in a cell and in a layer, and the op's text."""

    digests: str
    text: str
    states: tuple[str, ...]
    recurrent: bool = False


FORMS = {
    "lif_feed_forward_step": Form("1fb847e637c8 f69ca7001e86", "cuba_lif euler gt value now", ("v", "i")),
    "lif_step": Form("c20037283b84 cb20f079a8d4", "cuba_lif euler gt value now", ("z", "v", "i"), recurrent=True),
    "lif_box_feed_forward_step": Form("475f2bc25e72", "lif euler gt {} now", ("v",)),
    "iaf_feed_forward_step": Form("9eca347a75da 6d8e603f3f36", "if euler gt value now", ("v",)),
    "li_feed_forward_step": Form("bcd27113b1bb 70a2e4dc515b", "cuba_li euler", ("v", "i")),
    "li_box_feed_forward_step": Form("81d358e2c556", "li euler", ("v",)),
}
RESETS = {"reset_value": "value", "reset_subtract": "subtract"}


def refusal(module: Any) -> str:
    """Why a module cannot be read exactly; empty where it can."""
    name = getattr(module.activation, "__name__", "?")
    form = FORMS.get(name)
    if form is None:
        return f"there are no equations for {name}; known: {', '.join(FORMS)}"
    if reads_all(module.activation, type(module).forward) not in form.digests.split():
        return "its code is not that of the Norse that the equations stand for"
    p = module.p
    if getattr(p, "method", "super") not in SURROGATES:
        return f"the threshold method {p.method} has no equations"
    if reset_of(p) not in RESETS:
        return f"the reset method {reset_of(p)} has no equations"
    if getattr(module, "record_states", False):
        return "record_states has no equations"
    if isinstance(start(p), Tensor):
        return "a leak of each neuron's own has no place as the first state"
    return ""


def reset_of(p: Any) -> str:
    return getattr(getattr(p, "reset_method", None), "__name__", "reset_value")


def start(p: Any) -> Tensor | float:
    """The membrane before the first step."""
    return number(torch.as_tensor(p.v_leak if hasattr(p, "v_leak") else p.v_reset).detach())


def neuron(module: Any) -> Callable[..., Any] | None:
    """A cell with its step as one op; a layer over time as one scan of it. Numbers are read once, here."""
    if refusal(module):
        return None
    form, first = FORMS[module.activation.__name__], start(module.p)
    fixed = {name: value for name, f in formulas(module).items() if not isinstance(value := number(f()), Tensor)}
    surrogate = surrogate_of(module)
    leaks_first = is_box(module) and first != 0
    layer = type(module).forward.__qualname__.partition(".")[0] in ("SNN", "SNNRecurrent")

    def neuron_step(input_tensor: Tensor, state: Any = None) -> Any:
        values = {name: fixed[name] if name in fixed else f() for name, f in formulas(module).items()}
        equations = Neuron(form.text.format(RESETS[reset_of(module.p)]), values, surrogate, form.recurrent)
        weights = (module.input_weights, module.recurrent_weights) if form.recurrent else ()
        tensors = list(equations.tensors.values())

        def step(states: Sequence[Tensor], x: Tensor, more: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            own = dict(zip(form.states, states, strict=True))
            inputs = [x + module.p.v_leak if leaks_first else x]
            if form.recurrent:
                inputs = [functional.linear(x, more[0]), functional.linear(own["z"], more[1])]
            held = [own[name] for name in ("v", "i") if name in own]
            spikes, *after = equations(inputs, held, more[len(weights) :])
            return [spikes, *after] if form.recurrent else after, [spikes]

        states = states_before(module, input_tensor[0] if layer else input_tensor, form, state, first, layer)
        if layer:
            states, (spikes,) = over_steps(step, states, input_tensor, (*weights, *tensors))
        else:
            states, (spikes,) = step(states, input_tensor, (*weights, *tensors))
            keep(module, states)
        return spikes, state_type(module)(**dict(zip(form.states, states, strict=True)))

    return neuron_step


def keep(module: Any, states: Sequence[Tensor]) -> None:
    """Let a model over time carry the states on."""
    if STATES:
        STATES[-1].after[module] = states


def states_before(module: Any, x: Tensor, form: Form, given: Any, first: Any, layer: bool) -> Sequence[Tensor]:
    """What was given, or is carried over time, or the states before the first step, of full shape."""
    if given is not None:
        return [getattr(given, name) for name in form.states]
    like = x.new_empty((*x.shape[:-1], int(module.hidden_size))) if form.recurrent else x
    values = [float(first) if name == "v" else 0.0 for name in form.states]
    if STATES and not layer:
        return STATES[-1].take(module, [like] * len(values), values)
    return [torch.full_like(like, value) for value in values]


def fresh(_: Sequence[Any]) -> nullcontext[None]:
    """Cells hold no states."""
    return nullcontext()


def is_box(module: Any) -> bool:
    """Does a cell add its leak to the input first?"""
    return module.activation.__name__ == "lif_box_feed_forward_step"


def formulas(module: Any) -> dict[str, Callable[[], Any]]:
    """How each parameter of the equations comes about."""
    p, form = module.p, FORMS[module.activation.__name__]
    found: dict[str, Callable[[], Any]] = {"r": lambda: 1.0}
    if hasattr(p, "tau_mem_inv"):
        found |= {"rate": lambda: module.dt * p.tau_mem_inv, "leak": lambda: 0.0 if is_box(module) else p.v_leak}
    if hasattr(p, "tau_syn_inv"):
        found |= {"rate_syn": lambda: module.dt * p.tau_syn_inv, "w_in": lambda: 1.0}
    if "gt" in form.text:
        found["threshold"] = lambda: p.v_th
        if reset_of(p) == "reset_value":
            found["reset"] = lambda: p.v_reset
    return found


def surrogate_of(module: Any) -> str:
    """The op's text of a module's surrogate."""
    name = SURROGATES[getattr(module.p, "method", "heaviside")]
    return name if " " in name or name == "none" else f"{name} {float(module.p.alpha)}"


def state_type(module: Any) -> Callable[..., Any]:
    """The class of a module's states."""
    from norse.torch.functional import iaf, leaky_integrator, leaky_integrator_box, lif, lif_box

    return {
        "lif_feed_forward_step": lif.LIFFeedForwardState,
        "lif_step": lif.LIFState,
        "lif_box_feed_forward_step": lif_box.LIFBoxFeedForwardState,
        "iaf_feed_forward_step": iaf.IAFFeedForwardState,
        "li_feed_forward_step": leaky_integrator.LIState,
        "li_box_feed_forward_step": leaky_integrator_box.LIBoxState,
    }[module.activation.__name__]
