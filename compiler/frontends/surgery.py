"""Two repairs of an exported graph, before decompositions lose what they need.

`inline_no_grad`: a region without gradients reads its inputs detached.

    y = wrap_with_set_grad_enabled(False, f, x, w)       x1 = detach(x); w1 = detach(w)
                                                  ->     (the nodes of f over x1, w1, with the user's lines)

`keep_old_values`: export writes `self.h = new` as a copy at the end, into the memory that `old = self.h` still means.

    copy_(h, new); return h                       ->     old = clone(h); copy_(h, new); return old
"""

import operator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, GraphModule, Node

aten = torch.ops.aten
SET_GRAD = torch.ops.higher_order.wrap_with_set_grad_enabled
ADDED_BY_EXPORT = "copy__default"
"""What export calls the copies that it adds; those of the model are `copy_`, `copy__1`, .."""


def is_alias(node: Node) -> bool:
    """Whether the result of `node` may be the memory of its first argument."""
    if node.target is operator.getitem:
        return True
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    may = torch.Tag.maybe_aliasing_or_mutating in node.target.tags
    return may or any(r.alias_info is not None for r in node.target._schema.returns)


def base(node: Node) -> Node:
    """The node whose memory `node` may be: the source of a chain of views and in-place ops."""
    while is_alias(node) and isinstance(node.args[0], Node):
        node = node.args[0]
    return node


def copy_region(graph: Graph, owner: GraphModule, region: GraphModule, values: dict[Node, Node]) -> Any:
    """Append the nodes of `region` at the insertion point; its results. `values` holds its inputs."""
    for node in region.graph.nodes:
        if node.op == "output":
            return torch.fx.map_arg(node.args[0], values.__getitem__)
        if node.op == "placeholder":
            continue
        values[node] = graph.node_copy(node, values.__getitem__)
        if node.op == "get_attr":
            name = f"{values[node].name}_of_region"
            setattr(owner, name, operator.attrgetter(str(node.target))(region))
            values[node].target = name
    return None


def detached(graph: Graph, node: Any, trace: str | None) -> Any:
    """`node` cut from its gradient, if it can have one; `trace` says where."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    if not (isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex())):
        return node
    cut = graph.call_function(aten.detach.default, (node,))
    cut.meta["val"], cut.stack_trace = value, trace
    return cut


def replace(program: ExportedProgram, old: Node, new: Node) -> None:
    """Every use of `old` reads `new`, the program's results included."""
    old.replace_all_uses_with(new)
    for spec in program.graph_signature.output_specs:
        if spec.arg.name == old.name:
            spec.arg.name = new.name


def inline_no_grad(program: ExportedProgram) -> None:
    """Inline every region that switches gradients on or off."""
    module = program.graph_module
    while call := next((n for n in module.graph.nodes if n.target is SET_GRAD), None):
        enabled, function, *operands = call.args
        region = getattr(module, str(function.target))
        inputs = [node for node in region.graph.nodes if node.op == "placeholder"]
        trace = next((node.stack_trace for node in region.graph.nodes if node.stack_trace), None)
        with module.graph.inserting_before(call):
            cut = [operand if enabled else detached(module.graph, operand, trace) for operand in operands]
            results = copy_region(module.graph, module, region, dict(zip(inputs, cut, strict=True)))
        for user in list(call.users):
            if user.target is operator.getitem:
                replace(program, user, results[user.args[1]])
                module.graph.erase_node(user)
        if isinstance(results, Node):
            replace(program, call, results)
        module.graph.erase_node(call)
    module.graph.eliminate_dead_code(lambda node: node.op != "get_attr")
    module.recompile()


def keep_old_values(program: ExportedProgram) -> None:
    """Clone what is read of a buffer's old value after the copies that export added at the end."""
    graph = program.graph_module.graph
    output = graph.output_node()
    copies = [n for n in graph.nodes if n.target is aten.copy_.default and n.name.startswith(ADDED_BY_EXPORT)]
    written = {copy.args[0] for copy in copies}
    readers = dict.fromkeys([*output.all_input_nodes, *(copy.args[1] for copy in copies)])
    for node in [node for node in readers if isinstance(node, Node) and base(node) in written]:
        with graph.inserting_before(copies[0]):
            old = graph.call_function(aten.clone.default, (node,))
        old.meta = dict(node.meta)
        for user in [*(c for c in copies if c.args[1] is node), *({output} & set(node.users))]:
            user.replace_input_with(node, old)
        for spec in program.graph_signature.output_specs:
            if spec.arg.name == node.name:
                spec.arg.name = old.name
    program.graph_module.recompile()
