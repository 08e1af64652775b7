"""Two repairs of a graph after decompositions, which know only the example: its strides, and no gradients.

`free_views`: a view of what may lie otherwise in memory when it runs (attention gives other strides with another
kernel, an argument may be transposed) becomes the reshape that the model wrote.

    view(transpose(attention(q, k, v)))           ->     reshape(transpose(attention(q, k, v)))

`values_of_copies`: a functional copy is a clone of the value that it copies. `aten.copy` has no derivative.

    copy(slice(x), y)                             ->     clone(y)
    copy(slice(x), y), y of another dtype, size   ->     clone(expand_as(_to_copy(y, dtype), slice(x)))
"""

import torch
from torch.fx import Graph, GraphModule, Node

aten = torch.ops.aten

DENSE = frozenset(
    f"aten.{name}.default" for name in "linear addmm mm bmm baddbmm matmul embedding layer_norm index_select".split()
)
"""Ops whose result is contiguous whatever their inputs are."""

BY_KERNEL = frozenset({"aten.scaled_dot_product_attention.default"})
"""Ops whose result's strides depend on the kernel that runs."""

REPLACED: dict[object, object] = {aten.view.default: aten.reshape.default}


def is_dense(node: Node) -> bool:
    """Whether the result of `node` is contiguous whatever its inputs are."""
    return str(node.target) in DENSE or node.kwargs.get("memory_format") is torch.contiguous_format


def free_views(graph: Graph, fixed: frozenset[str]) -> None:
    """Let no view rely on strides that may change. Placeholders called as one of `fixed` have always the same."""
    free: set[Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder":
            changes = node.name not in fixed
        else:
            changes = not is_dense(node) and any(source in free for source in node.all_input_nodes)
        if changes or str(node.target) in BY_KERNEL:
            free.add(node)
        if changes and node.op == "call_function":
            node.target = REPLACED.get(node.target, node.target)  # pyright: ignore


def values_of_copies(graph: Graph) -> None:
    """Replace every functional copy by a clone of its value, which is another tensor."""
    for node in graph.find_nodes(op="call_function", target=aten.copy.default):
        destination, value = node.args[:2]
        wanted, had = destination.meta["val"], value.meta["val"]
        with graph.inserting_before(node):
            if wanted.dtype != had.dtype:
                value = graph.call_function(aten._to_copy.default, (value,), {"dtype": wanted.dtype})
                value.meta = {**node.meta, "val": had.to(wanted.dtype)}
            if list(map(str, wanted.shape)) != list(map(str, had.shape)):
                value = graph.call_function(aten.expand_as.default, (value, destination))
                value.meta = dict(node.meta)
            value = graph.call_function(aten.clone.default, (value,))
            value.meta = dict(node.meta)
        node.replace_all_uses_with(value)
        graph.erase_node(node)


def repair(module: GraphModule, fixed: frozenset[str]) -> None:
    """Both repairs, in the graph and in the functions it holds. `fixed` are the weights' placeholders."""
    for part in module.modules():
        if isinstance(part, GraphModule):
            values_of_copies(part.graph)
            free_views(part.graph, fixed if part is module else frozenset())
            part.recompile()
