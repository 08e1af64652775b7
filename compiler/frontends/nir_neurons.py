"""NIR's neurons as discrete equations, and back.

NIR's equations are continuous in time and say nothing of steps. With a step of dt seconds:

| NIR                           | exponential (exact for an input that is constant in a step) | euler                |
|-------------------------------|-------------------------------------------------------------|----------------------|
| tau dv/dt = (v_leak - v) + r x | decay = exp(-dt / tau), gain = (1 - decay) r                | rate = dt / tau      |
| tau_syn di/dt = -i + w_in s   | decay_syn = exp(-dt / tau_syn), w_in' = (1 - decay_syn) w_in | w_in' = rate_syn w_in |
| dv/dt = r x                   | euler                                                       | r' = r dt            |
| z = v > v_threshold, v = v_reset where z | the same                                         | the same             |

A step's spike is a current of 1 during the step. Every conversion back gives the same float32 numbers again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...dialects.neurons import Discretisation, Model, Reset
from .nir_nodes import Node

MODELS = {
    "Threshold": Model.THRESHOLD,
    "I": Model.I,
    "IF": Model.IF,
    "LI": Model.LI,
    "LIF": Model.LIF,
    "CubaLI": Model.CUBA_LI,
    "CubaLIF": Model.CUBA_LIF,
}
KINDS = {model: kind for kind, model in MODELS.items()}
NEVER = 1000.0
"""exp(-1000) is 0: the time constant of a decay of 0 is this part of a step."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Neurons:
    """What a node of NIR is in steps; parameters are float64."""

    model: Model
    discretisation: Discretisation
    parameters: Arrays
    reset: Reset


def in_steps(node: Node, dt: float, discretisation: Discretisation, reset: Reset) -> Neurons:
    """The neurons of a node. `reset` other than `value` overrides what the node says."""
    model = MODELS[node.kind]
    if model in (Model.THRESHOLD, Model.I, Model.IF):
        discretisation = Discretisation.EULER
    given = {name: np.asarray(value, np.float64) for name, value in node.values.items()}
    given.setdefault("v_reset", np.zeros(()))
    given.setdefault("w_in", np.ones(()))
    parameters: Arrays = {}
    if "v_leak" in given:
        parameters |= leaky(given, given["tau_mem" if "tau_mem" in given else "tau"], dt, discretisation)
    elif "r" in given:
        parameters["r"] = given["r"] * dt
    if "tau_syn" in given:
        parameters |= synaptic(given, dt, discretisation)
    if model is Model.THRESHOLD:
        return Neurons(model, discretisation, {"threshold": given["threshold"]}, Reset.NONE)
    if "v_threshold" not in given:
        return Neurons(model, discretisation, parameters, Reset.NONE)
    parameters["threshold"] = given["v_threshold"]
    if reset is Reset.VALUE:
        reset = Reset.VALUE if np.any(given["v_reset"] != 0) else Reset.ZERO
    return Neurons(
        model, discretisation, parameters | ({"reset": given["v_reset"]} if reset is Reset.VALUE else {}), reset
    )


def leaky(given: Arrays, tau: np.ndarray, dt: float, discretisation: Discretisation) -> Arrays:
    """The parameters of a leaky membrane."""
    if discretisation is Discretisation.EULER:
        return {"rate": dt / tau, "leak": given["v_leak"], "r": given["r"]}
    decay = np.exp(-dt / tau)
    return {"decay": decay, "leak": given["v_leak"], "gain": (1 - decay) * given["r"]}


def synaptic(given: Arrays, dt: float, discretisation: Discretisation) -> Arrays:
    """The parameters of a synaptic current."""
    if discretisation is Discretisation.EULER:
        rate = dt / given["tau_syn"]
        return {"rate_syn": rate, "w_in": rate * given["w_in"]}
    decay = np.exp(-dt / given["tau_syn"])
    return {"decay_syn": decay, "w_in": (1 - decay) * given["w_in"]}


def in_seconds(model: Model, parameters: Mapping[str, np.ndarray], dt: float) -> tuple[str, Arrays]:
    """The kind of node, and its values, of neurons with these equations. Raises ValueError where NIR has none.

    A leaky membrane that does not leak is an integrator.
    """
    given = {name: np.asarray(value, np.float64) for name, value in parameters.items()}
    kind, values = KINDS[model], {}
    if kind == "Threshold":
        return kind, {"threshold": given["threshold"]}
    if (
        "decay" in given
        and np.all(given["decay"] == 1)
        and np.all(given["leak"] == 0)
        and model in (Model.LI, Model.LIF)
    ):
        kind, values = ("I" if model is Model.LI else "IF"), {"r": given["gain"] / dt}
    elif model in (Model.I, Model.IF):
        values = {"r": given["r"] / dt}
    else:
        tau, values["r"] = membrane(given, dt)
        values |= {"v_leak": given["leak"], "tau_mem" if "w_in" in given else "tau": tau}
    if "w_in" in given:
        step = given["rate_syn"] if "rate_syn" in given else 1 - given["decay_syn"]
        values |= {"tau_syn": time_constant(given, "_syn", dt), "w_in": given["w_in"] / step}
    if "threshold" in given:
        values |= {"v_threshold": given["threshold"], "v_reset": given.get("reset", np.zeros(()))}
    return kind, values


def membrane(given: Arrays, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """tau and r of a leaky membrane."""
    tau = time_constant(given, "", dt)
    return tau, given["r"] if "rate" in given else given["gain"] / (1 - given["decay"])


def time_constant(given: Arrays, suffix: str, dt: float) -> np.ndarray:
    """The time constant in seconds. Raises ValueError where no positive one gives this rate or decay."""
    if f"rate{suffix}" in given:
        rate = given[f"rate{suffix}"]
        if np.any(rate <= 0):
            raise ValueError(f"a rate of {rate.min():g} has no time constant")
        return dt / rate
    decay = given[f"decay{suffix}"]
    if np.any(decay >= 1) or np.any(decay < 0):
        raise ValueError(f"a decay of {decay.max() if np.any(decay >= 1) else decay.min():g} has no time constant")
    with np.errstate(divide="ignore"):
        return np.where(decay == 0, dt / NEVER, -dt / np.log(decay))
