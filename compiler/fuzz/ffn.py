"""Two products with zeros between them: what skips, along k and n.

    "12 gated relu":    down(relu(gate(x)) * up(x)), 12 neurons

Zeros of every kind: activations, what is chosen, what is cut; and experts in the form that adapters give them.
"""

from collections.abc import Sequence

from .model import Type
from .op import Op
from .shapes import normed

WIDTHS = ("12", "40", "16")
"""Neurons: fewer than a vector of the machine holds, some more than two, and just one."""

UP, GATE = "{m}up({0})", "{m}gate({0})"
HIDDEN: dict[str, str] = {
    "relu": f"h = {UP}.relu()",
    "squared relu": f"h = {UP}.relu().square()",
    "gated relu": f"g, u = {GATE}.relu(), {UP}\nh = g * u",
    "gated squared relu": f"g, u = {GATE}.relu().square(), {UP}\nh = u * g",
    "power of relu": f"h = {UP}.relu() ** 2",
    "silu": f"h = functional.silu({UP})",
    "gated silu": f"g, u = functional.silu({GATE}), {UP}\nh = g * u",
    "gated gelu": f"g, u = functional.gelu({GATE}), {UP}\nh = g * u",
    "two gates": f"g, u = {GATE}.relu() * {UP}.relu(), {UP}\nh = g * u",
    "top values": f"u = {UP}\ntop = u.topk(3, -1)\nh = torch.zeros_like(u).scatter(-1, top.indices, top.values)",
    "top of gate": (
        f"g, u = {GATE}.relu(), {UP}\ntop = g.topk(3, -1)\n"
        "g = torch.zeros_like(g).scatter(-1, top.indices, top.values)\nh = g * u"
    ),
    "top ones": f"g, u = {GATE}, {UP}\ng = torch.zeros_like(g).scatter(-1, g.topk(2, -1).indices, 1.0)\nh = g * u",
    "large": f"u = {UP}\nh = u.where(u.abs() > 0.8, 0.0)",
    "threshold": f"h = functional.threshold({UP}, 0.4, 0.0)",
    "shrunk": f"u = {UP}\nh = u.masked_fill(u.abs() <= 0.5, 0.0)",
    "shrunk gate": f"g, u = functional.silu({GATE}), {UP}\ng = g.where(g.abs() > 0.1, 0.0)\nh = g * u",
    "filled": f"g, u = {GATE}, {UP}\nh = u.masked_fill(g < 0.3, 0.0)",
    "spiking": f"g, u = ({GATE} > 0.4).to({{dtype}}), {UP}\nh = u * g",
    "chosen": f"g, u = {GATE}, {UP}\nh = torch.where(g > 0.2, u, 0.0)",
    "one group": f"g, u = {GATE}.relu(), {UP}\ng = g * (torch.arange(g.shape[-1]) % 3 == 0)\nh = g * u",
}
"""What stands between: `h` of `x`."""

PARAMETERS = tuple(f"{width} {form}" for form in HIDDEN for width in WIDTHS)
CODE = {parameter: f"{HIDDEN[parameter.partition(' ')[2]]}\n{{r}} = {{m}}down(h)" for parameter in PARAMETERS}
CLEARS = {
    parameter: code.replace("h = g * u", CLEAR := "h = torch.where(g != 0, g * u, 0.0)").replace("h = u * g", CLEAR)
    for parameter, code in CODE.items()
}


def layer(inner: str, outer: str, more: str = "") -> str:
    return f"nn.Linear({inner}, {outer}{more})"


def ffn(more: str, weight: float) -> Op:
    """Gate, up and down as modules."""
    wide, narrow = layer("{last}", "{p0}", more), layer("{p0}", "{last}", more)
    return Op(
        CODE, normed, 1, PARAMETERS, {"gate": wide, "up": wide, "down": narrow}, weight, clears=CLEARS, when="gate"
    )


EXPERTS = """h = {0}.flatten(0, -2)
top = {m}router(h).softmax(-1).topk(2, -1)
e = torch.ops.gossamer.moe_experts(
    h, top.indices, top.values, [{m}up], [{m}above], [{m}down], [{m}below], "{p}", [], False, 1.0
)
{r} = e.view({0}.shape)"""


def routed(types: Sequence[Type], parameter: str) -> Type | None:
    """As large as x, which is (.., 8)"""
    return normed(types, parameter) if len(types[0].dims) > 1 else None


FFNS = {
    "ffn": ffn("", 4),
    "ffn without bias": ffn(", bias=False", 2),
    "experts": Op(
        EXPERTS,
        routed,
        1,
        ("relu", "silu"),
        {
            "router": "nn.Linear({last}, 4)",
            "up": "nn.Parameter(torch.randn(4, 12, {last}))",
            "above": "nn.Parameter(torch.randn(4, 12))",
            "down": "nn.Parameter(torch.randn(4, {last}, 12))",
            "below": "nn.Parameter(torch.randn(4, {last}))",
        },
        weight=1,
    ),
}
