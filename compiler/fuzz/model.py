"""A model as data: a typed graph of ops, what it returns, and what it is called with.

    Node("input", (), "x")                 v0: float (b, s, 8)
    Node("linear", (0,), "12")             v1: float (b, s, 12)
    Node("input", (), "keep")              v2: bool (b, s)
    Node("times rows", (1, 2))             v3: float (b, s, 12)

A node reads earlier nodes. Its op's rule gives the type of its value; a model whose types do not work out is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

INPUT = "input"
"""The op of a node that is an argument; its parameter is the argument's name."""


@dataclass(frozen=True)
class Type:
    """Kind and sizes of a value. A size is a number, `b`, `s`, `t`, or made of those: `b*s`, `s+t`.

    `mask` says that its zeros hide something: it was made of masks alone.
    """

    kind: str
    dims: tuple[str, ...]
    mask: bool = False


@dataclass(frozen=True)
class Node:
    """One op on earlier nodes. Nodes of one `slot` share their weights."""

    op: str
    inputs: tuple[int, ...] = ()
    parameter: str = ""
    slot: int = 0


@dataclass(frozen=True)
class Call:
    """Sizes, and for each argument how its values are made (see `values.py`)."""

    sizes: tuple[tuple[str, int], ...]
    values: tuple[tuple[str, str], ...]
    seed: int = 0


@dataclass(frozen=True)
class Model:
    """What is compiled, how, and what it is compared on. The first call is the example that it is compiled for."""

    nodes: tuple[Node, ...]
    results: tuple[int, ...]
    calls: tuple[Call, ...]
    dont_care: tuple[tuple[int, str], ...] = ()
    dtype: str = "float64"
    seed: int = 0
    passes: str = "packed"
    dynamic: bool = False
    training: bool = False
    gradients: bool = False
    strict_nan: bool = False
    approximate: bool = False
    """With thresholds of 0 on activations."""
    also: tuple[str, ...] = ()
    """Further comparisons: `check`, `text`, `saved`."""

    def arguments(self) -> dict[str, int]:
        """The node of each argument by its name."""
        return {node.parameter: index for index, node in enumerate(self.nodes) if node.op == INPUT}


def pruned(model: Model, writes: frozenset[str] = frozenset()) -> Model:
    """Without nodes that no result reads, and without the values of arguments that are gone.

    Ops of `writes` change what others read: they stay.
    """
    needed = set(model.results) | {index for index, node in enumerate(model.nodes) if node.op in writes}
    for index in reversed(range(len(model.nodes))):
        if index in needed:
            needed.update(model.nodes[index].inputs)
    names = {node.parameter for index, node in enumerate(model.nodes) if index in needed and node.op == INPUT}
    model = replace(model, dont_care=tuple((r, name) for r, name in model.dont_care if r < len(model.results)))
    kept = [index for index in range(len(model.nodes)) if index in needed or is_named(model, index)]
    names |= {name for _, name in model.dont_care}
    calls = tuple(replace(call, values=tuple(v for v in call.values if v[0] in names)) for call in model.calls)
    return replace(renumbered(model, kept), calls=calls)


def is_named(model: Model, index: int) -> bool:
    """Is it an argument that says which rows nobody reads?"""
    node = model.nodes[index]
    return node.op == INPUT and node.parameter in {name for _, name in model.dont_care}


def renumbered(model: Model, kept: Sequence[int]) -> Model:
    """Only the nodes `kept`, in that order."""
    place: Mapping[int, int] = {old: new for new, old in enumerate(kept)}
    nodes = (replace(model.nodes[old], inputs=tuple(place[i] for i in model.nodes[old].inputs)) for old in kept)
    return replace(model, nodes=tuple(nodes), results=tuple(place[r] for r in model.results))
