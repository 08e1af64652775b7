"""What neurons do in a step, as equations that are read by people and run as they stand.

A step of a population, x being what its projections bring (their sum, in the order of the text):

    v, .. = reset where it fired in the last step    where reset is `before` (snnTorch's Leaky, reset to zero)
    charge                                           the equations of the model
    v, .. = reset where it fired in the last step    where reset is `next` (snnTorch)
    z = v > level    or    v >= level                fires
    v, .. = reset where z                            where reset is `now` (Norse, SpikingJelly)

`undelayed` is snnTorch's subtraction with reset_delay=False: where v was above its level at the start of a step, it is
reset before it fires, and where it then does not fire, the level is given back.

The order of arithmetic is part of the equations: floating point makes others of another order. A front end chooses the
discretisation whose order is its source's. Within the refractory steps after a spike, v stays as it was reset and the
neuron cannot fire; other states go on (Norse, lif_refrac).

| reset    | v becomes             |
|----------|-----------------------|
| none     | what it is            |
| zero     | 0                     |
| subtract | v - level             |
| value    | the parameter `reset` |
"""

from dataclasses import dataclass
from enum import auto

from xdsl.utils.str_enum import StrEnum


class Model(StrEnum):
    """A neuron model, by its usual name; those of NIR have its meaning (Pedersen et al. 2024, table 1)."""

    THRESHOLD = auto()
    """z = x > threshold"""
    I = auto()  # noqa: E741 (NIR calls the model so)
    """integrator: dv/dt = r x"""
    IF = auto()
    """integrate and fire: dv/dt = r x"""
    LI = auto()
    """leaky integrator: tau dv/dt = (leak - v) + r x"""
    LIF = auto()
    """leaky integrate and fire: tau dv/dt = (leak - v) + r x"""
    CUBA_LI = auto()
    """LI with a synaptic current: tau_syn di/dt = -i + w_in x, tau dv/dt = (leak - v) + r i"""
    CUBA_LIF = auto()
    """LIF with a synaptic current"""
    ALIF = auto()
    """LIF whose threshold rises as it fires: level = threshold + beta a (Bellec et al. 2018, eq. 2)"""
    CUBA_ALIF = auto()
    """CuBa-LIF whose level b goes to the threshold, and rises by beta as it fires (Norse's LSNN)"""
    IZHIKEVICH = auto()
    """dv/dt = 0.04 v^2 + 5 v + 140 - u + x, du/dt = a (b v - u) in ms and mV (Izhikevich 2003, eq. 1 to 3)"""


class Discretisation(StrEnum):
    """How a step is made of a differential equation."""

    EULER = auto()
    """v + dt dv/dt: rate = dt / tau"""
    EXPONENTIAL = auto()
    """exact for an input that is constant in a step: decay = exp(-dt / tau), gain = (1 - decay) r; snnTorch's beta"""
    EULER_LEAK = auto()
    """Euler of the leak alone, the input is added whole (SpikingJelly's ParametricLIF without decay_input)"""
    QUOTIENT = auto()
    """Euler with the step divided by tau at the end, as SpikingJelly does: tau in steps"""
    QUOTIENT_LEAK = auto()
    """the same of the leak alone, the input is added whole (SpikingJelly without decay_input)"""
    EULER_RATES = auto()
    """Euler with the products of dt and a constant made beforehand, and every coefficient a parameter (Norse)"""
    SHIFT = auto()
    """integers: decay = 1 - 2^-shift, rounded down; v stays above `floor`"""


class Compare(StrEnum):
    """When a neuron fires."""

    GT = auto()
    GE = auto()


class Reset(StrEnum):
    """What a spike makes of v."""

    NONE = auto()
    ZERO = auto()
    SUBTRACT = auto()
    VALUE = auto()


class When(StrEnum):
    """When it does."""

    NOW = auto()
    NEXT = auto()
    BEFORE = auto()
    UNDELAYED = auto()


@dataclass(frozen=True)
class Dynamics:
    """The equations of a model under a discretisation.

    `charge` are assignments to `states` (and to names of their own), of states, parameters and `x`; `level` is what v
    is compared with, empty where the model never fires; `jump` are assignments where it fires, beside the reset of v.
    """

    states: tuple[str, ...]
    parameters: tuple[str, ...]
    charge: str
    level: str = "threshold"
    jump: str = ""

    @property
    def fires(self) -> bool:
        return bool(self.level)


LEAKY = {
    Discretisation.EULER: (("rate", "leak", "r"), "v = v + rate * ((leak - v) + r * x)"),
    Discretisation.EXPONENTIAL: (("decay", "leak", "gain"), "v = leak + decay * (v - leak) + gain * x"),
    Discretisation.EULER_LEAK: (("rate", "leak"), "v = (v + rate * (leak - v)) + x"),
    Discretisation.QUOTIENT: (("tau", "leak"), "v = v + (x - (v - leak)) / tau"),
    Discretisation.QUOTIENT_LEAK: (("tau", "leak"), "v = (v - (v - leak) / tau) + x"),
    Discretisation.SHIFT: (("shift", "floor"), "v = max((v - (v >> shift)) + x, floor)"),
}
"""LI and LIF."""
SYNAPTIC = {
    Discretisation.EULER: (
        ("rate", "rate_syn", "leak", "r", "w_in"),
        """
        i = i + w_in * x
        v = v + rate * ((leak - v) + r * i)
        i = i - rate_syn * i
        """,
    ),
    Discretisation.EXPONENTIAL: (
        ("decay", "decay_syn", "leak", "gain", "w_in"),
        """
        i = decay_syn * i + w_in * x
        v = leak + decay * (v - leak) + gain * i
        """,
    ),
}
"""CuBa-LI and CuBa-LIF."""
FIRES = ("threshold",)
DYNAMICS: dict[tuple[Model, Discretisation], Dynamics] = {
    (Model.THRESHOLD, Discretisation.EULER): Dynamics(("v",), FIRES, "v = x"),
    (Model.I, Discretisation.EULER): Dynamics(("v",), ("r",), "v = v + r * x", level=""),
    (Model.IF, Discretisation.EULER): Dynamics(("v",), ("r", *FIRES), "v = v + r * x"),
    (Model.IF, Discretisation.SHIFT): Dynamics(("v",), ("floor", *FIRES), "v = max(v + x, floor)"),
    **{(Model.LI, way): Dynamics(("v",), names, step, level="") for way, (names, step) in LEAKY.items()},
    **{(Model.LIF, way): Dynamics(("v",), (*names, *FIRES), step) for way, (names, step) in LEAKY.items()},
    **{
        (Model.CUBA_LI, way): Dynamics(("v", "i"), names, charge, level="") for way, (names, charge) in SYNAPTIC.items()
    },
    **{
        (Model.CUBA_LIF, way): Dynamics(("v", "i"), (*names, *FIRES), charge)
        for way, (names, charge) in SYNAPTIC.items()
    },
    (Model.ALIF, Discretisation.EXPONENTIAL): Dynamics(
        ("v", "a"),
        ("decay", "decay_adapt", "leak", "gain", "beta", "step", *FIRES),
        """
        v = leak + decay * (v - leak) + gain * x
        a = decay_adapt * a
        """,
        level="threshold + beta * a",
        jump="a = a + step",
    ),
    (Model.CUBA_ALIF, Discretisation.EULER): Dynamics(
        ("v", "i", "b"),
        ("rate", "rate_syn", "rate_adapt", "leak", "beta", *FIRES),
        """
        v = v + rate * ((leak - v) + i)
        i = (i - rate_syn * i) + x
        b = b + rate_adapt * (threshold - b)
        """,
        level="b",
        jump="b = b + beta",
    ),
    (Model.IZHIKEVICH, Discretisation.EULER_RATES): Dynamics(
        ("v", "u"),
        ("rate", "rate_u", "b", "d", "square", "slope", "bias", *FIRES),
        """
        w = v
        v = v + rate * ((((square * (w * w) + slope * w) + bias) - u) + x)
        u = u + rate_u * (b * w - u)
        """,
        jump="u = u + d",
    ),
    (Model.IZHIKEVICH, Discretisation.EULER): Dynamics(
        ("v", "u"),
        ("dt", "a", "b", "d", *FIRES),
        """
        w = v
        v = v + dt * (((0.04 * w * w + 5.0 * w) + 140.0) - u + x)
        u = u + dt * (a * (b * w - u))
        """,
        jump="u = u + d",
    ),
}
"""The equations by model and discretisation. A parameter `reset` is added where neurons are reset to a value."""


def discretisations(model: Model) -> tuple[Discretisation, ...]:
    """Those that a model has equations for."""
    return tuple(way for known, way in DYNAMICS if known is model)


def assignments(equations: str) -> list[tuple[str, str]]:
    """`"a = b + 1"`, a line each -> [("a", "b + 1")]"""
    lines = [line.strip() for line in equations.strip().splitlines()]
    return [(name.strip(), value.strip()) for name, _, value in (line.partition("=") for line in lines) if value]
