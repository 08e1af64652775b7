"""A smaller model that fails the same way.

    linear -> relu -> attend -> times rows -> add        ->        linear -> times rows

Tried, the boldest first: fewer results, calls and options; a node replaced by one of its operands, or by an argument;
plainer parameters; plainer values; smaller sizes. What still fails is kept, and all is tried again on it, until nothing
smaller fails or the time is over.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from .model import INPUT, Call, Model, Node, pruned
from .ops import OPS, WRITES, types_of
from .values import ARGUMENTS, choices

Fails = Callable[[Model], bool]


def shrink(model: Model, fails: Fails, *, seconds: float = 60.0) -> Model:
    """The smallest model found that still `fails`."""
    end = time.monotonic() + seconds
    tried: set[Model] = {model}
    smaller = True
    while smaller:
        smaller = False
        for candidate in candidates(model):
            if time.monotonic() > end:
                return model
            if candidate in tried or types_of(candidate) is None:
                continue
            tried.add(candidate)
            if fails(candidate):
                model, smaller = candidate, True
                break
    return model


def candidates(model: Model) -> Iterator[Model]:
    """Models that are smaller by one step."""
    for step in (with_fewer_results, with_fewer_calls, with_fewer_options, without_a_node, plainer, with_plainer_calls):
        for candidate in step(model):
            yield pruned(candidate, WRITES)


def with_fewer_results(model: Model) -> Iterator[Model]:
    """One result alone, or all but one; one less of which rows do not count."""
    count = len(model.results)
    kept = [[k] for k in range(count)] + [[k for k in range(count) if k != left_out] for left_out in range(count)]
    for positions in kept:
        if 0 < len(positions) < count:
            yield with_results(model, positions)
    for entry in model.dont_care:
        yield replace(model, dont_care=tuple(other for other in model.dont_care if other != entry))


def with_results(model: Model, positions: Sequence[int]) -> Model:
    """Only the results at `positions`."""
    care = tuple((positions.index(r), name) for r, name in model.dont_care if r in positions)
    return replace(model, results=tuple(model.results[k] for k in positions), dont_care=care)


def with_fewer_calls(model: Model) -> Iterator[Model]:
    """One call alone, as the example; the example with one other."""
    if len(model.calls) > 1:
        for call in model.calls:
            yield replace(model, calls=(call,))
    if len(model.calls) > 2:
        for call in model.calls[1:]:
            yield replace(model, calls=(model.calls[0], call))


def with_fewer_options(model: Model) -> Iterator[Model]:
    """Without what is special about it."""
    plain = {"also": (), "dynamic": False, "training": False, "gradients": False, "seed": 0}
    plain |= {"strict_nan": False, "approximate": False, "passes": "packed"}
    for name, value in plain.items():
        if getattr(model, name) != value:
            yield replace(model, **{name: value})
    for passes in ("skipped", "kernels") if model.passes in ("kernels", "narrow kernels", "all") else ():
        yield replace(model, passes=passes)
    if len(model.also) > 1:
        yield from (replace(model, also=(name,)) for name in model.also)
    if model.dtype != "float64":
        yield replace(model, dtype="float64")


def without_a_node(model: Model) -> Iterator[Model]:
    """A node replaced by one of its operands; by an argument of its type; by a fresh one."""
    for index in reversed(range(len(model.nodes))):
        node = model.nodes[index]
        if node.op == INPUT:
            continue
        for operand in dict.fromkeys(node.inputs):
            yield redirected(model, index, operand)
    types = types_of(model) or []
    for index in reversed(range(len(model.nodes))):
        if model.nodes[index].op != INPUT:
            for name, known in ARGUMENTS.items():
                if known.dims == types[index].dims and known.kind == types[index].kind:
                    yield as_argument(model, index, name)


def redirected(model: Model, index: int, to: int) -> Model:
    """Readers of node `index` read node `to`; it is gone, though it may write."""
    nodes = [replace(n, inputs=tuple(to if i == index else i for i in n.inputs)) for n in model.nodes]
    nodes[index] = Node(INPUT, (), "") if OPS[nodes[index].op].writes else nodes[index]
    return replace(model, nodes=tuple(nodes), results=tuple(to if r == index else r for r in model.results))


def as_argument(model: Model, index: int, name: str) -> Model:
    """Node `index` is the argument `name`."""
    known = model.arguments().get(name)
    if known is not None and known < index:
        return redirected(model, index, known)
    if known is not None:
        return model
    nodes = (*model.nodes[:index], Node(INPUT, (), name), *model.nodes[index + 1 :])
    calls = tuple(replace(call, values=(*call.values, (name, choices(name)[0]))) for call in model.calls)
    return replace(model, nodes=nodes, calls=calls)


def plainer(model: Model) -> Iterator[Model]:
    """A node with one of the parameters that stand before its own."""
    for index, node in enumerate(model.nodes):
        if node.op == INPUT:
            continue
        known = OPS[node.op].parameters
        for parameter in known[: known.index(node.parameter)]:
            changed = replace(node, parameter=parameter)
            yield replace(model, nodes=(*model.nodes[:index], changed, *model.nodes[index + 1 :]))


def with_plainer_calls(model: Model) -> Iterator[Model]:
    """A call with plainer values, or smaller sizes."""
    for index, call in enumerate(model.calls):
        for other in plainer_calls(call):
            calls = (*model.calls[:index], other, *model.calls[index + 1 :])
            yield replace(model, calls=calls if model.dynamic else tuple(replace(c, sizes=other.sizes) for c in calls))


def plainer_calls(call: Call) -> Iterator[Call]:
    for k, (name, choice) in enumerate(call.values):
        known = choices(name)
        for other in known[: known.index(choice)]:
            yield replace(call, values=(*call.values[:k], (name, other), *call.values[k + 1 :]))
    for k, (name, size) in enumerate(call.sizes):
        for smaller in range(1, size):
            yield replace(call, sizes=(*call.sizes[:k], (name, smaller), *call.sizes[k + 1 :]))
    if call.seed:
        yield replace(call, seed=0)
