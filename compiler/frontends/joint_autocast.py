"""Weights that autocast casts for several uses are cast once, as its cache does in eager; tracing has no cache.

    a = _to_copy(w, bf16);  b = _to_copy(w, bf16)            a = _to_copy(w, bf16), read by both uses
    dw = add(_to_copy(da, f32), _to_copy(db, f32))     ->    dw = _to_copy(add(da, db), f32)

Gradients of the uses are summed before they are cast back, and round so. The cache lasts as long as the outermost
`with torch.autocast(..)`; a cast that the model writes itself is none of it.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch._functorch._aot_autograd.descriptors import GradAOTOutput, ParamAOTInput
from torch.fx import Graph, Node

aten = torch.ops.aten

REGION = "autocast"
"""Under this key of `meta["custom"]` a node has the number of the region of autocast that it was computed in."""

EXPLICIT = frozenset("to type type_as float half bfloat16 double".split())
"""Methods by which a model casts a tensor itself."""


class Regions:
    """Numbers the outermost regions of autocast while they are entered and left."""

    def __init__(self):
        self.number = 0

    def here(self, function: Any) -> dict[str, int]:
        """What to note on the nodes of `function`."""
        explicit = getattr(function, "__name__", "") in EXPLICIT
        return (
            {}
            if explicit or not torch.is_autocast_enabled("cpu") | torch.is_autocast_enabled("cuda")
            else {REGION: self.number}
        )

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Notice each end of a region."""
        leave = torch.autocast.__exit__

        def left(autocast: torch.autocast, *error: Any) -> Any:
            self.number += torch.autocast_increment_nesting() == 2
            torch.autocast_decrement_nesting()
            return leave(autocast, *error)

        with patch.object(torch.autocast, "__exit__", left):
            yield


def cast_once(graph: Graph) -> None:
    """Let every weight be cast once in each region of autocast, and its gradient with it."""
    output = graph.output_node()
    descriptors = zip(output.meta["desc"], output.args[0], strict=True)  # pyright: ignore[reportArgumentType]
    gradients = {d.grad_of: value for d, value in descriptors if isinstance(d, GradAOTOutput)}
    for node in graph.find_nodes(op="placeholder"):
        if isinstance(node.meta["desc"], ParamAOTInput):
            for first, *others in list(groups(node)):
                for other in others:
                    other.replace_all_uses_with(first)
                    graph.erase_node(other)
                gradient = gradients.get(node.meta["desc"])
                if others and isinstance(gradient, Node):
                    numbers = {cast.meta["seq_nr"] for cast in (first, *others) if "seq_nr" in cast.meta}
                    gradients[node.meta["desc"]] = summed_first(graph, gradient, numbers)


def groups(weight: Node) -> Iterable[list[Node]]:
    """The casts that autocast made of `weight`, those of one region and dtype together."""
    found: dict[tuple[object, object], list[Node]] = {}
    for user in weight.users:
        region = (user.meta.get("custom") or {}).get(REGION)
        if user.target is aten._to_copy.default and region is not None:
            found.setdefault((region, user.kwargs.get("dtype")), []).append(user)
    return found.values()


def terms(total: Node) -> list[Node]:
    """The gradients of which autograd made the sum `total`, in order."""
    match total.args:
        case (Node() as left, Node() as right) if total.target is aten.add.Tensor and not total.kwargs:
            return [*terms(left), right]
        case _:
            return [total]


def summed_first(graph: Graph, total: Node, numbers: set[int]) -> Node:
    """Sum those of `total`'s terms that casts of those sequence numbers gave before they are cast back."""
    parts = terms(total)
    mine = [part for part in parts if part.target is aten._to_copy.default and part.meta.get("seq_nr") in numbers]
    if len(mine) < 2:
        return total
    with graph.inserting_before(total):
        sources = [part.args[0] for part in mine if isinstance(part.args[0], Node)]
        cast = graph.call_function(aten._to_copy.default, (added(graph, sources, sources[0].meta),), mine[0].kwargs)  # pyright: ignore
        cast.meta = dict(mine[0].meta)
        rest = [part for part in parts if part not in mine]
        earlier = [part for part in rest if part.meta.get("seq_nr", -1) > min(numbers)]
        new = added(graph, [*earlier, cast, *(part for part in rest if part not in earlier)], total.meta)
    total.replace_all_uses_with(new)
    return new


def added(graph: Graph, parts: Iterable[Any], meta: Mapping[str, Any]) -> Node:
    """The sum of `parts`, one after the other."""
    result, *others = parts
    for other in others:
        result = graph.call_function(aten.add.Tensor, (result, other))
        result.meta = dict(meta)
    return result
