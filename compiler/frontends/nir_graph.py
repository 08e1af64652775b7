"""A NIR graph without subgraphs, and the ways through its linear nodes.

    rnn { input -> lif -> w -> lif, lif -> output }    ->    rnn.input -> rnn.lif -> rnn.w -> rnn.lif -> rnn.output

Inputs and outputs of subgraphs hand on what they get. A path leads from a neuron or an input of the network through
linear nodes to a neuron or an output. A linear node that two nodes feed lies on two paths: it is applied to each, and
what it adds (its bias) belongs to the first alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...dialects.diagnostics import UserError, did_you_mean
from .nir_files import edges_of
from .nir_maps import output_shape
from .nir_nodes import NEURONS, Node, Shape, neuron_shape, read_node, shape_of
from .nir_recurrence import closing_edges

MOST_PATHS = 1000
"""To one node: a graph of linear nodes that has more is refused."""


@dataclass(frozen=True)
class Path:
    """From a source through linear nodes, first to last, each with whether its bias belongs to this path."""

    source: str
    maps: tuple[tuple[Node, bool], ...] = ()


@dataclass
class Graph:
    """Nodes by dotted name; `inputs` and `outputs` are those of the whole network."""

    file: str
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    into: dict[str, list[str]] = field(default_factory=dict)

    def feeders(self, name: str) -> list[str]:
        """The nodes with an edge to this one, in the order of the edges."""
        return self.into.get(name, [])

    def take_edges(self, edges: Sequence[tuple[str, str]]) -> None:
        """Set the edges. One that is there twice counts once."""
        self.edges = list(dict.fromkeys(edges))
        if len(self.edges) < len(edges):
            self.notes.append(f"{len(edges) - len(self.edges)} edges are there twice: they count once")
        for source, target in self.edges:
            self.into.setdefault(target, []).append(source)

    def is_source(self, name: str) -> bool:
        """Is it a neuron, or an input of the network?"""
        return self.nodes[name].kind in NEURONS or name in self.inputs

    def met(self) -> list[str]:
        """All nodes as the edges meet them first: the order of nodes in a file says nothing."""
        return list(dict.fromkeys([*(end for edge in self.edges for end in edge), *sorted(self.nodes)]))

    def order(self) -> list[str]:
        """Inputs, then neurons."""
        return [*self.inputs, *(name for name in self.met() if self.nodes[name].kind in NEURONS)]

    def paths(self, name: str) -> list[Path]:
        """Every path to a node. Raises UserError where nothing feeds a linear node, or there are too many."""
        found: list[Path] = []
        for path in self.walk(name):
            found.append(path)
            if len(found) > MOST_PATHS:
                raise self.nodes[name].fault(f"more than {MOST_PATHS} paths of linear nodes lead to it")
        return found

    def walk(self, name: str) -> Iterator[Path]:
        for feeder in self.feeders(name):
            if self.is_source(feeder):
                yield Path(feeder)
                continue
            for number, path in enumerate(self.walk(feeder)):
                yield Path(path.source, (*path.maps, (self.nodes[feeder], number == 0)))


def read_graph(file: str, tree: Mapping[str, Any]) -> Graph:
    """The graph of a dictionary as `nir` makes it, with a shape for every node. Raises UserError at what is wrong."""
    if str(tree.get("type")) != "NIRGraph":
        tree = {"type": "NIRGraph", "nodes": {"node": tree}, "edges": []}
    graph = Graph(file)
    try:
        nodes, edges = flatten(graph, tree, "")
        graph.take_edges(edges)
        ends = {kind: [name for name in nodes if graph.nodes[name].kind == kind] for kind in ("Input", "Output")}
        graph.inputs, graph.outputs = (sorted(names, key=graph.met().index) for names in ends.values())
        if not graph.inputs or not graph.outputs:
            missing = "Input" if not graph.inputs else "Output"
            raise UserError(f"{file}: the graph has no {missing}", hint="a network has an Input and an Output node")
        check_cycles(graph)
        for name in graph.nodes:
            infer(graph, name, ())
    except RecursionError:
        raise UserError(f"{file}: the graph is nested too deeply") from None
    for name in graph.into:
        check_fed(graph, graph.nodes[name])
    return graph


def flatten(graph: Graph, tree: Mapping[str, Any], prefix: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Put the nodes of a graph, and of graphs in it, into `graph`: the names of its own nodes, and all edges."""
    title = f"the graph '{prefix[:-1]}'" if prefix else "the graph"
    nodes = tree.get("nodes")
    if not isinstance(nodes, Mapping) or not nodes:
        raise UserError(f"{graph.file}: {title} has no nodes", hint="it is empty, or was not written whole")
    if "edges" not in tree:
        raise UserError(f"{graph.file}: {title} has no edges", hint="a NIR graph has 'nodes' and 'edges'")
    own, edges, local = [], [], edges_of(graph.file, title, tree["edges"])
    inner: dict[str, list[str]] = {}
    for name, content in nodes.items():
        if not isinstance(content, Mapping):
            raise UserError(f"{graph.file}: node '{prefix}{name}' is no group of values")
        if str(content.get("type")) == "NIRGraph":
            inner[name], more = flatten(graph, content, f"{prefix}{name}.")
            edges += more
        else:
            graph.nodes[prefix + name] = read_node(graph.file, prefix + name, content)
            own.append(prefix + name)
    ends = {name: [] if name in inner else [prefix + name] for name in nodes}
    joined = [
        (end(graph, prefix, ends, inner, source, "Output"), end(graph, prefix, ends, inner, target, "Input"))
        for source, target in local
    ]
    own += complete(graph, own, joined)
    return own, [*joined, *edges]


def end(
    graph: Graph, prefix: str, ends: Mapping[str, list[str]], inner: Mapping[str, list[str]], name: str, kind: str
) -> str:
    """The node that an end of an edge means: itself, or the only Input or Output of a subgraph."""
    if name in inner:
        found = [own for own in inner[name] if graph.nodes[own].kind == kind]
        if len(found) == 1:
            return found[0]
        raise UserError(
            f"{graph.file}: an edge names the graph '{prefix}{name}', which has {len(found)} {kind} nodes",
            hint=f"name one of them: {', '.join(own[len(prefix) :] for own in found)}" if found else "",
        )
    if name in ends or prefix + name in graph.nodes:
        return prefix + name
    raise UserError(f"{graph.file}: an edge names an unknown node '{prefix}{name}'", hint=did_you_mean(name, ends))


def complete(graph: Graph, own: Sequence[str], edges: list[tuple[str, str]]) -> list[str]:
    """Give an Input to what nothing feeds and an Output to what feeds nothing, as `nir.read` does."""
    added = []
    fed, feeding = {target for _, target in edges}, {source for source, _ in edges}
    for name in own:
        node = graph.nodes[name]
        for kind, missing in (("Input", name not in fed), ("Output", name not in feeding)):
            if not missing or node.kind in ("Input", "Output"):
                continue
            parent, _, last = name.rpartition(".")
            new = f"{parent}{'.' if parent else ''}{kind.lower()}_{last}"
            if new in graph.nodes or (shape := natural_shape(node, kind)) is None:
                raise node.fault(f"nothing {'feeds it' if kind == 'Input' else 'reads it'}, and it is no {kind}")
            graph.nodes[new] = read_node(graph.file, new, {"type": kind, "shape": list(shape)})
            edges.append((new, name) if kind == "Input" else (name, new))
            graph.notes.append(f"'{name}' has no {kind}: one was added, '{new}'")
            added.append(new)
    return added


def natural_shape(node: Node, kind: str) -> Shape | None:
    """The shape that goes into a node, or comes out, as its own values tell it; None where they do not."""
    if node.kind in NEURONS:
        return neuron_shape(node) or (1,)
    if node.kind in ("Affine", "Linear"):
        out, into = node.array("weight").shape
        return (into,) if kind == "Input" else (out,)
    return node.array("scale").shape if node.kind == "Scale" else None


def check_cycles(graph: Graph) -> None:
    """Raise UserError where linear nodes feed each other in a cycle."""
    linear = [edge for edge in graph.edges if not any(map(graph.is_source, edge))]
    for source, target in closing_edges(linear, ()):
        raise graph.nodes[target].fault(
            f"a cycle without a neuron: '{source}' feeds it", hint="a recurrent path leads through a neuron"
        )


def infer(graph: Graph, name: str, ahead: tuple[str, ...]) -> Shape | None:
    """The shape of what comes out of a node; None where only nodes that wait for it, `ahead`, could tell."""
    if name in graph.shapes:
        return graph.shapes[name]
    node = graph.nodes[name]
    if name in ahead:
        return None
    shape = shape_of(node) if name in graph.inputs else neuron_shape(node) if node.kind in NEURONS else None
    if shape is None:
        shapes = (infer(graph, feeder, (*ahead, name)) for feeder in graph.feeders(name))
        given = next((shape for shape in shapes if shape is not None), None)
        if given is None and node.kind in NEURONS and not ahead:
            given = (1,)
        if given is None and not graph.feeders(name):
            raise node.fault("nothing feeds it")
        shape = given if given is None or node.kind in NEURONS else output_shape(node, given)
    if shape is not None:
        graph.shapes[name] = shape
    return shape


def check_fed(graph: Graph, node: Node) -> None:
    """Raise UserError where what feeds a node is of another shape than it, or than what else feeds it.

    Axes of 1 may be there or not, where a neuron, an Input or an Output is fed.
    """
    shapes = {feeder: graph.shapes[feeder] for feeder in graph.feeders(node.name)}
    if node.name in graph.inputs:
        raise node.fault(f"'{next(iter(shapes))}' feeds it, but it is an Input of the network")
    declares = node.kind in (*NEURONS, "Input", "Output")
    own = graph.shapes[node.name] if node.kind in NEURONS else shape_of(node) if declares else None
    for feeder, given in shapes.items():
        if own is None:
            own = given
        if given != own and (not declares or [n for n in given if n != 1] != [n for n in own if n != 1]):
            raise node.fault(
                f"it is {list(own)}, '{feeder}' gives {list(given)}",
                hint="NIR has no batch axis: shapes are those of one sample" if 1 in (*given[:1], *own[:1]) else "",
            )
        if given != own:
            graph.notes.append(f"'{node.name}' is {list(own)}, '{feeder}' gives {list(given)}: taken as the same")
