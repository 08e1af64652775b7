"""Neurons of Norse as `gossamer::neuron_step`: cells of one step, and layers over time as one scan.

| activation                  | of                             | equations       | reset             |
|-----------------------------|--------------------------------|-----------------|-------------------|
| `lif_feed_forward_step`     | LIFCell, LIF                   | CuBa-LIF, Euler | value             |
| `lif_step`                  | LIFRecurrentCell, LIFRecurrent | CuBa-LIF, Euler | value, detached   |
| `lsnn_feed_forward_step`    | LSNNCell, LSNN                 | CuBa-ALIF, Euler | value            |
| `lsnn_step`                 | LSNNRecurrentCell, LSNNRecurrent | CuBa-ALIF, Euler | value, detached |
| `izhikevich_feed_forward_step` | IzhikevichCell, Izhikevich  | Izhikevich, euler_rates | value     |
| `izhikevich_recurrent_step` | IzhikevichRecurrentCell, IzhikevichRecurrent | Izhikevich, euler_rates | value |
| `lif_box_feed_forward_step` | LIFBoxCell                     | LIF, Euler      | value or subtract |
| `iaf_feed_forward_step`     | IAFCell, IAF                   | IF              | value             |
| `li_feed_forward_step`      | LICell, LI                     | CuBa-LI, Euler  |                   |
| `li_box_feed_forward_step`  | LIBoxCell                      | LI, Euler       |                   |

rate = dt tau_mem_inv, rate_syn = dt tau_syn_inv. A recurrent layer adds what comes in, then what comes back, to its
current: (i + W x) + W' z. LIFBoxCell adds its leak to the input before all else.
"""

from collections.abc import Callable, Mapping, Sequence
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
    detached: bool = False
    """Does no gradient flow through the reset?"""


FORMS = {
    "lif_feed_forward_step": Form("1fb847e637c8 f69ca7001e86", "cuba_lif euler gt value now", ("v", "i")),
    "lif_step": Form("c20037283b84 cb20f079a8d4", "cuba_lif euler gt value now", ("z", "v", "i"), True, True),
    "lsnn_feed_forward_step": Form("25c9879b4c36 1e3ef60cae7b", "cuba_alif euler gt value now", ("v", "i", "b")),
    "lsnn_step": Form("70dcf83686de c4439371b6f5", "cuba_alif euler gt value now", ("z", "v", "i", "b"), True, True),
    "izhikevich_feed_forward_step": Form(
        "24c1ce8ed0aa 6e6cac1ecbc2", "izhikevich euler_rates gt value now", ("v", "u")
    ),
    "izhikevich_recurrent_step": Form(
        "c26dc11ab1b1 dd11532837c6", "izhikevich euler_rates gt value now", ("z", "v", "u"), True
    ),
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
    if odd := [state for state, value in starts(module).items() if isinstance(value, Tensor)]:
        return f"a first state {odd[0]} of each neuron's own has no place"
    return ""


def reset_of(p: Any) -> str:
    return getattr(getattr(p, "reset_method", None), "__name__", "reset_value")


def starts(module: Any) -> dict[str, Tensor | float]:
    """The states before the first step; others are 0."""
    p = module.p
    if hasattr(module, "spiking_method"):
        found = {"v": module.spiking_method.s.v, "u": module.spiking_method.s.u}
    else:
        found = {"v": p.v_leak if hasattr(p, "v_leak") else p.v_reset}
    found |= {"b": p.v_th} if hasattr(p, "tau_adapt_inv") else {}
    return {name: number(torch.as_tensor(value).detach()) for name, value in found.items()}


def neuron(module: Any) -> Callable[..., Any] | None:
    """A cell with its step as one op; a layer over time as one scan of it. Numbers are read once, here."""
    if refusal(module):
        return None
    form, first = FORMS[module.activation.__name__], starts(module)
    fixed = {name: value for name, f in formulas(module).items() if not isinstance(value := number(f()), Tensor)}
    surrogate = surrogate_of(module)
    leaks_first = is_box(module) and first["v"] != 0
    layer = type(module).forward.__qualname__.partition(".")[0] in ("SNN", "SNNRecurrent")

    def neuron_step(input_tensor: Tensor, state: Any = None) -> Any:
        values = {name: fixed[name] if name in fixed else f() for name, f in formulas(module).items()}
        equations = Neuron(form.text.format(RESETS[reset_of(module.p)]), values, surrogate, form.detached)
        weights = (module.input_weights, module.recurrent_weights) if form.recurrent else ()
        tensors = list(equations.tensors.values())

        def step(states: Sequence[Tensor], x: Tensor, more: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            own = dict(zip(form.states, states, strict=True))
            inputs = [x + module.p.v_leak if leaks_first else x]
            if form.recurrent:
                inputs = [functional.linear(x, more[0]), functional.linear(own["z"], more[1])]
            held = [own[name] for name in form.states if name != "z"]
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


def states_before(
    module: Any, x: Tensor, form: Form, given: Any, first: Mapping[str, Any], layer: bool
) -> Sequence[Tensor]:
    """What was given, or is carried over time, or the states before the first step, of full shape."""
    if given is not None:
        return [getattr(given, name) for name in form.states]
    like = x.new_empty((*x.shape[:-1], int(module.hidden_size))) if form.recurrent else x
    values = [float(first.get(name, 0.0)) for name in form.states]
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
    if form.text.startswith("izhikevich"):
        return izhikevich_formulas(module)
    adaptive = hasattr(p, "tau_adapt_inv")
    found: dict[str, Callable[[], Any]] = {} if adaptive else {"r": lambda: 1.0}
    if hasattr(p, "tau_mem_inv"):
        found |= {"rate": lambda: module.dt * p.tau_mem_inv, "leak": lambda: 0.0 if is_box(module) else p.v_leak}
    if hasattr(p, "tau_syn_inv"):
        found["rate_syn"] = lambda: module.dt * p.tau_syn_inv
    if adaptive:
        found |= {"rate_adapt": lambda: module.dt * p.tau_adapt_inv, "beta": lambda: p.beta}
    elif hasattr(p, "tau_syn_inv"):
        found["w_in"] = lambda: 1.0
    if "gt" in form.text:
        found["threshold"] = lambda: p.v_th
        if reset_of(p) == "reset_value":
            found["reset"] = lambda: p.v_reset
    return found


def izhikevich_formulas(module: Any) -> dict[str, Callable[[], Any]]:
    """How the parameters of Izhikevich's neurons come about."""
    p = module.p
    named = {"b": "b", "d": "d", "square": "sq", "slope": "mn", "bias": "bias", "threshold": "v_th", "reset": "c"}
    found: dict[str, Callable[[], Any]] = {name: lambda key=key: getattr(p, key) for name, key in named.items()}
    rates = {"rate": lambda: p.tau_inv * module.dt, "rate_u": lambda: p.tau_inv * module.dt * p.a}
    return {**rates, **found}


def surrogate_of(module: Any) -> str:
    """The op's text of a module's surrogate."""
    name = SURROGATES[getattr(module.p, "method", "heaviside")]
    return name if " " in name or name == "none" else f"{name} {float(module.p.alpha)}"


def state_type(module: Any) -> Callable[..., Any]:
    """The class of a module's states."""
    from norse.torch.functional import iaf, izhikevich, leaky_integrator, leaky_integrator_box, lif, lif_box, lsnn

    return {
        "lif_feed_forward_step": lif.LIFFeedForwardState,
        "lif_step": lif.LIFState,
        "lsnn_feed_forward_step": lsnn.LSNNFeedForwardState,
        "lsnn_step": lsnn.LSNNState,
        "izhikevich_feed_forward_step": izhikevich.IzhikevichState,
        "izhikevich_recurrent_step": izhikevich.IzhikevichRecurrentState,
        "lif_box_feed_forward_step": lif_box.LIFBoxFeedForwardState,
        "iaf_feed_forward_step": iaf.IAFFeedForwardState,
        "li_feed_forward_step": leaky_integrator.LIState,
        "li_box_feed_forward_step": leaky_integrator_box.LIBoxState,
    }[module.activation.__name__]
