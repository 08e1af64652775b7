"""NIR's delays in seconds as delays of projections in whole steps."""

from collections.abc import Sequence

import numpy as np

from ...dialects.snn import LONGEST
from .nir_nodes import Node

CLOSE = 1e-4
"""A part of a step: as near to a whole number, a delay was meant to be one (files hold float32)."""


def delays_of(nodes: Sequence[Node], dt: float, rounded: bool, notes: list[str]) -> int | np.ndarray:
    """The delay of a path of linear nodes: a number, or one for each synapse where it differs between neurons.

    Raises UserError where it is no whole number of steps and is not to be rounded, or differs and there is more than
    one dense map to tell synapses by.
    """
    total: int | np.ndarray = 0
    dense = [k for k, node in enumerate(nodes) if node.kind in ("Affine", "Linear")]
    for k, node in enumerate(nodes):
        if node.kind == "Delay":
            steps = whole_steps(node, dt, rounded, notes)
            if steps.size and steps.min() != steps.max():
                if len(dense) != 1 or any(
                    n.kind in ("Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Scale") for n in nodes
                ):
                    raise node.fault(
                        "delays differ between neurons, and the path is not one of a single Linear or Affine",
                        hint="put it beside a Linear node, or give it one delay",
                    )
                weight = nodes[dense[0]].array("weight")
                flat = steps.reshape(1, -1) if k < dense[0] else steps.reshape(-1, 1)
                total = total + np.broadcast_to(flat, weight.shape)
            elif steps.size:
                total = total + int(steps.min())
            if any("bias" in other.values and np.any(other.array("bias")) for other in nodes[:k]):
                notes.append(f"'{node.name}' delays spikes; a bias before it acts from the first step")
    if np.any(np.asarray(total) > LONGEST):
        raise nodes[0].fault(f"a delay of {np.max(total)} steps: at most {LONGEST} can be kept", hint="a longer dt")
    return total


def whole_steps(node: Node, dt: float, rounded: bool, notes: list[str]) -> np.ndarray:
    """The delays of a node in steps."""
    steps = node.array("delay").astype(np.float64) / dt
    whole = np.rint(steps)
    off = np.abs(steps - whole)
    if np.any(off > CLOSE * np.maximum(1, steps * 1e-3)):
        worst = np.unravel_index(np.argmax(off), off.shape)
        text = f"a delay of {node.array('delay')[worst]:g} s is {steps[worst]:g} steps of {dt:g} s"
        if not rounded:
            raise node.fault(f"{text}, no whole number", hint="another dt, or delays='round' (--round-delays)")
        notes.append(f"'{node.name}': {text}: rounded to {whole[worst]:g}")
    return whole.astype(np.int64)
