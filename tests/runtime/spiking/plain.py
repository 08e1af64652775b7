"""What spiking networks mean, said once more in plain torch: by textbook, in eager float64."""

from collections.abc import Callable

import torch
from torch import Tensor

State = dict[str, Tensor]


def leaky(x: Tensor, s: State, p: dict, way: str) -> None:
    v = s["v"]
    if way == "euler":
        s["v"] = v + p["rate"] * (p["leak"] - v + p["r"] * x)
    elif way == "exponential":
        s["v"] = p["decay"] * v + (1 - p["decay"]) * p["leak"] + p["gain"] * x
    elif way == "quotient":
        s["v"] = v + (x - v + p["leak"]) / p["tau"]
    else:
        s["v"] = torch.clamp(v - torch.floor_divide(v, 2 ** p["shift"]) + x, min=p["floor"])


def integrate(x: Tensor, s: State, p: dict, way: str) -> None:
    s["v"] = torch.clamp(s["v"] + x, min=p["floor"]) if way == "shift" else s["v"] + p["r"] * x


def synaptic(x: Tensor, s: State, p: dict, way: str) -> None:
    if way == "euler":
        current = s["i"] + p["w_in"] * x
        s["v"] = s["v"] + p["rate"] * (p["leak"] - s["v"] + p["r"] * current)
        s["i"] = (1 - p["rate_syn"]) * current
    else:
        s["i"] = p["decay_syn"] * s["i"] + p["w_in"] * x
        s["v"] = p["decay"] * s["v"] + (1 - p["decay"]) * p["leak"] + p["gain"] * s["i"]


def adaptive(x: Tensor, s: State, p: dict, way: str) -> None:
    leaky(x, s, p, way)
    s["a"] = p["decay_adapt"] * s["a"]


def izhikevich(x: Tensor, s: State, p: dict, way: str) -> None:
    v, u = s["v"], s["u"]
    s["v"] = v + p["dt"] * (0.04 * v**2 + 5 * v + 140 - u + x)
    s["u"] = u + p["dt"] * p["a"] * (p["b"] * v - u)


def relay(x: Tensor, s: State, p: dict, way: str) -> None:
    s["v"] = x


CHARGE: dict[str, Callable[[Tensor, State, dict, str], None]] = {
    "threshold": relay,
    "i": integrate,
    "if": integrate,
    "li": leaky,
    "lif": leaky,
    "cuba_li": synaptic,
    "cuba_lif": synaptic,
    "alif": adaptive,
    "izhikevich": izhikevich,
}


def neurons(kind: str, xs: Tensor, p: dict, fires: str = "", refractory: int = 0, initial: State | None = None):
    """v and z of each step for the inputs xs [steps, ..]; z is None where the model never fires."""
    model, way = kind.split()
    state = {name: torch.zeros_like(xs[0]) for name in ("v", "i", "a", "u")} | (initial or {})
    fired, rest, vs, zs = torch.zeros_like(xs[0], dtype=torch.bool), torch.zeros_like(xs[0]), [], []
    compare, _, reset, when = fires.split() if fires else ("", "", "none", "")
    for x in xs:
        if when == "before":
            level = p["threshold"] + (p["beta"] * state["a"] if model == "alif" else 0)
            old = {"none": state["v"], "zero": 0, "subtract": state["v"] - level, "value": p.get("reset", 0)}
            state["v"] = torch.where(fired, old[reset], state["v"])
        before = state["v"]
        CHARGE[model](x, state, p, way)
        if not fires:
            vs.append(state["v"])
            continue
        level = p["threshold"] + (p["beta"] * state["a"] if model == "alif" else 0)
        new = {"none": state["v"], "zero": 0, "subtract": state["v"] - level, "value": p.get("reset", 0)}
        if when == "next":
            state["v"] = torch.where(fired, new[reset], state["v"])
        fired = state["v"] > level if compare == "gt" else state["v"] >= level
        resting = rest > 0
        state["v"] = torch.where(resting, before, state["v"])
        fired = fired & ~resting
        rest = torch.where(fired, refractory, torch.clamp(rest - 1, min=0))
        if when == "now":
            value = state["v"] - level if reset == "subtract" else new[reset]
            state["v"] = torch.where(fired, value if reset != "none" else state["v"], state["v"])
        for name, jump in (("a", "step"), ("u", "d")):
            if jump in p:
                state[name] = torch.where(fired, state[name] + p[jump], state[name])
        vs.append(state["v"])
        zs.append(fired)
    return torch.stack(vs), torch.stack(zs).to(xs.dtype) if zs else None


def delayed(spikes: Tensor, steps: int) -> Tensor:
    """[steps, ..] moved later in time; nothing comes before."""
    return torch.cat([torch.zeros_like(spikes[:steps]), spikes[: len(spikes) - steps]])
