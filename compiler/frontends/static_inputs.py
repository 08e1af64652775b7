"""Graph inputs that are the same tensors at every call: parameters and buffers, which dynamo passes like any other.

    backend(graph, inputs)          inputs: real tensors, in the order in which AOTAutograd's graph takes them
    example_of(graph, inputs)       the inputs as a program takes them; None where the graph takes others
    static_inputs(example, inputs)  those that are parameters or buffers, by position

A weight that was found finite may be written later. `StillFinite` looks at the counts of writes before each call (0.3
us for each weight), and at the numbers again where one has changed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from ...runtime.versions import Version
from ..calibration import is_finite

PLAIN = (Tensor, torch.nn.Parameter)


def example_of(graph: GraphModule, inputs: Sequence[Any]) -> list[Any] | None:
    """`inputs` with sizes as numbers, if `graph` takes just these."""
    taken = [node.meta.get("val") for node in graph.graph.nodes if node.op == "placeholder"]
    if len(taken) != len(inputs) or not all(map(fits, taken, inputs)):
        return None
    return [item if isinstance(item, Tensor) else number_of(item) for item in inputs]


def fits(taken: object, given: object) -> bool:
    """Can `given` be an example of what the graph takes?"""
    if not isinstance(given, Tensor) or not isinstance(taken, Tensor):
        return isinstance(given, Tensor) == isinstance(taken, Tensor) and type(given) is type(taken)
    sizes = tuple(map(number_of, taken.shape))
    return type(given) in PLAIN and (given.dtype, given.device, given.shape) == (taken.dtype, taken.device, sizes)


def number_of(item: Any) -> Any:
    """A symbolic size as it is in the example."""
    return item.node.hint if isinstance(item, torch.SymInt | torch.SymFloat) else item


def static_inputs(example: Sequence[Any], inputs: Sequence[Any]) -> dict[int, Tensor]:
    """Parameters and buffers, as dynamo marks them."""
    marked = (isinstance(i, torch.nn.Parameter) or hasattr(i, "_dynamo_static_input_type") for i in inputs)
    return {k: given for k, (given, static) in enumerate(zip(example, marked, strict=True)) if static}


class StillFinite:
    """Are inputs that were finite still so? By position; what was not written since is not looked at again."""

    def __init__(self, tensors: Mapping[int, Tensor]):
        self.known = {position: (Version.of(tensor), True) for position, tensor in tensors.items()}

    def __call__(self, values: Sequence[Any]) -> bool:
        return all(self.look(position, values[position]) for position in self.known)

    def look(self, position: int, tensor: Tensor) -> bool:
        """One input."""
        version, finite = self.known[position]
        if version is None or not version.is_of(tensor):
            version, finite = Version.of(tensor), is_finite(tensor)
            self.known[position] = version, finite
        return finite
