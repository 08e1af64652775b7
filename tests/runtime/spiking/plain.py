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


class Neurons:
    """Neurons of one kind: each call is a step, and gives v and who fired (None where the model never fires)."""

    def __init__(self, kind: str, like: Tensor, p: dict, fires: str = "", refractory: int = 0):
        self.model, self.way = kind.split()
        self.p, self.refractory = p, refractory
        self.state: State = {name: torch.zeros_like(like) for name in ("v", "i", "a", "u")}
        self.fired, self.rest = torch.zeros_like(like, dtype=torch.bool), torch.zeros_like(like)
        self.compare, _, self.reset, self.when = fires.split() if fires else ("", "", "none", "")

    @property
    def level(self) -> Tensor:
        return self.p["threshold"] + (self.p["beta"] * self.state["a"] if self.model == "alif" else 0)

    def after_a_spike(self) -> Tensor:
        """What v becomes."""
        v = self.state["v"]
        new = {"none": v, "zero": torch.zeros_like(v), "subtract": v - self.level}
        return new[self.reset] if self.reset in new else self.p["reset"] + torch.zeros_like(v)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        s = self.state
        if self.when == "before":
            s["v"] = torch.where(self.fired, self.after_a_spike(), s["v"])
        before = s["v"]
        CHARGE[self.model](x, s, self.p, self.way)
        if not self.compare:
            return s["v"], None
        if self.when == "next":
            s["v"] = torch.where(self.fired, self.after_a_spike(), s["v"])
        above = s["v"] > self.level if self.compare == "gt" else s["v"] >= self.level
        resting = self.rest > 0
        s["v"] = torch.where(resting, before, s["v"])
        self.fired = above & ~resting
        self.rest = torch.where(self.fired, self.refractory, torch.clamp(self.rest - 1, min=0))
        if self.when == "now":
            s["v"] = torch.where(self.fired, self.after_a_spike(), s["v"])
        for name, jump in (("a", "step"), ("u", "d")):
            if jump in self.p:
                s[name] = torch.where(self.fired, s[name] + self.p[jump], s[name])
        return s["v"], self.fired


def neurons(kind: str, xs: Tensor, p: dict, fires: str = "", refractory: int = 0) -> tuple[Tensor, Tensor | None]:
    """v and z of each step for the inputs xs [steps, ..]; z is None where the model never fires."""
    advance = Neurons(kind, xs[0], p, fires, refractory)
    vs, zs = zip(*map(advance, xs), strict=True)
    return torch.stack(vs), torch.stack([z for z in zs if z is not None]).to(xs.dtype) if fires else None


def delayed(spikes: Tensor, steps: int) -> Tensor:
    """[steps, ..] moved later in time; nothing comes before."""
    return torch.cat([torch.zeros_like(spikes[:steps]), spikes[: len(spikes) - steps]])
