"""Nodes of a NIR graph, read and checked: what a kind of node holds, and of which kind and sign each value is.

    {"type": "LIF", "tau": [..], "r": [..], ..}    ->    Node("net.nir", "hidden.lif", "LIF", {"tau": array, ..})

A file and a graph of the `nir` package come as the same nested dictionaries, so both are checked alike. NIR's equations
and the meaning of each value: Pedersen et al. 2024, table 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...dialects.diagnostics import UserError, did_you_mean

Shape = tuple[int, ...]

FIELDS: dict[str, tuple[str, ...]] = {
    "Input": ("shape",),
    "Output": ("shape",),
    "Affine": ("weight", "bias"),
    "Linear": ("weight",),
    "Scale": ("scale",),
    "Conv1d": ("input_shape?", "weight", "stride", "padding", "dilation", "groups", "bias"),
    "Conv2d": ("input_shape?", "weight", "stride", "padding", "dilation", "groups", "bias"),
    "Flatten": ("input_type?", "start_dim", "end_dim"),
    "SumPool2d": ("kernel_size", "stride", "padding"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Delay": ("delay",),
    "Threshold": ("threshold",),
    "I": ("r",),
    "IF": ("r", "v_threshold", "v_reset?"),
    "LI": ("tau", "r", "v_leak"),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset?"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in?"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset?", "w_in?"),
}
"""The kinds of nodes and what each holds; `?`: may be missing."""

NEURONS = frozenset({"Threshold", "I", "IF", "LI", "LIF", "CubaLI", "CubaLIF"})
"""Kinds with a state or a threshold: they become populations."""
TIMES = frozenset({"tau", "tau_syn", "tau_mem"})
UNBOUNDED = frozenset({"v_threshold", "threshold"})
"""What may be infinite: such a neuron never fires."""
IGNORED = frozenset({"type", "metadata", "input_type", "output_type"})


@dataclass(frozen=True)
class Node:
    """A node by its dotted name in the graph of `file`; `values` are arrays, or text for a padding."""

    file: str
    name: str
    kind: str
    values: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def fault(self, message: str, hint: str = "") -> UserError:
        """An error at this node."""
        return UserError(f"{self.file}: node '{self.name}' ({self.kind}): {message}", hint=hint)

    def array(self, name: str) -> np.ndarray:
        return self.values[name]

    def whole(self, name: str, count: int, least: int) -> Shape:
        """A value as `count` whole numbers of at least `least`; a lone one counts for all."""
        array = np.asarray(self.values[name])
        if array.size not in (1, count) or np.any(array != np.rint(array)) or np.any(array < least):
            expected = f"{count} whole numbers" if count > 1 else "a whole number"
            raise self.fault(f"{name} is {shown(array)}, expected {expected} of at least {least}")
        return tuple(int(number) for number in np.broadcast_to(array.reshape(-1), (count,)))


def shown(value: Any) -> str:
    """A value in a few words."""
    if not isinstance(value, np.ndarray):
        return repr(value)
    return str(value.tolist()) if value.size <= 4 else f"{value.dtype}{list(value.shape)}"


def read_node(file: str, name: str, content: Mapping[str, Any]) -> Node:
    """A node of a dictionary as `nir` makes it. Raises UserError where something is missing, unknown or no number."""
    kind = content.get("type")
    if not isinstance(kind, str):
        raise UserError(f"{file}: node '{name}' has no type", hint=f"a node has a text 'type', one of {list(FIELDS)}")
    if kind not in FIELDS:
        hint = did_you_mean(kind, FIELDS)
        raise UserError(f"{file}: node '{name}' is of an unknown type '{kind}'", hint=hint)
    metadata = content.get("metadata")
    node = Node(file, name, kind, {}, metadata if isinstance(metadata, Mapping) else {})
    known = {text.rstrip("?"): text.endswith("?") for text in FIELDS[kind]}
    given = {key: value for key, value in content.items() if value is not None and (key in known or key not in IGNORED)}
    for key in given:
        if key not in known:
            raise node.fault(f"it has no '{key}'", hint=did_you_mean(key, known))
    for key, optional in known.items():
        if key not in given and not optional:
            raise node.fault(f"it lacks '{key}'", hint=f"a {kind} has {', '.join(known)}")
    values = {key: number(node, key, value) for key, value in given.items()}
    checked = Node(file, name, kind, values, node.metadata)
    check_values(checked)
    return checked


def number(node: Node, key: str, value: Any) -> Any:
    """A value as an array of numbers, or the text of a padding. Raises UserError where it is neither."""
    if key == "padding" and isinstance(value, str):
        if value not in ("same", "valid"):
            raise node.fault(f"padding is '{value}'", hint="known: same, valid, or whole numbers")
        return value
    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except ValueError:
        raise node.fault(f"{key} is no array: its rows are of different lengths") from None
    if array.dtype.kind not in "biuf":
        raise node.fault(f"{key} is no number but {shown(value)}")
    if np.isnan(array).any():
        raise node.fault(f"{key} holds NaN")
    if key not in UNBOUNDED and np.isinf(array).any():
        raise node.fault(f"{key} is infinite")
    return array


def check_values(node: Node) -> None:
    """Raise UserError where values of a node do not fit each other or break a law of its kind."""
    for key in TIMES & node.values.keys():
        if np.any(node.array(key) <= 0):
            raise node.fault(f"{key} is {node.array(key).min()}, expected more than 0 seconds")
    if node.kind == "Delay" and np.any(node.array("delay") < 0):
        raise node.fault(f"delay is {node.array('delay').min()}, expected 0 seconds or more")
    if node.kind in ("Input", "Output"):
        node.whole("shape", node.array("shape").size, 0)
    if node.kind in NEURONS:
        shapes = {key: array.shape for key, array in node.values.items() if array.size != 1}
        if len(set(shapes.values())) > 1:
            raise node.fault(
                "its parameters are of different shapes: " + ", ".join(f"{k} {list(s)}" for k, s in shapes.items()),
                hint="NIR has one number for each neuron in every parameter",
            )
    dimensions = {"Affine": 2, "Linear": 2, "Conv1d": 3, "Conv2d": 4}.get(node.kind)
    if dimensions and node.array("weight").ndim != dimensions:
        raise node.fault(f"weight has {node.array('weight').ndim} axes, expected {dimensions}")
    if "bias" in node.values and node.array("bias").shape != node.array("weight").shape[:1]:
        raise node.fault(f"bias is {list(node.array('bias').shape)}, weight {list(node.array('weight').shape)}")


def neuron_shape(node: Node) -> Shape | None:
    """The shape of the neurons of a node; None where every parameter is one number."""
    return next((array.shape for array in node.values.values() if array.size != 1), None)


def shape_of(node: Node) -> Shape:
    """The shape that an Input or an Output declares."""
    return node.whole("shape", node.array("shape").size, 0) if node.array("shape").size else ()
