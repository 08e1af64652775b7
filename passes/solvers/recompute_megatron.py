"""The choices that Megatron-LM offers, as schedules: nothing here looks for a good one.

| schedule  | keeps                                            | runs again, just before it is read           |
|-----------|--------------------------------------------------|----------------------------------------------|
| full      | the input of every layer                         | the whole layer, its collectives too         |
| uniform n | the input of every n-th layer                    | n layers, then their n backward passes       |
| block n   | the input of the first n layers, all of others   | those n, each whole                          |
| selective | all but what attention makes of qkv              | scores, softmax, dropout, attention          |
"""

from collections.abc import Callable, Iterable, Sequence

from .recompute_graph import Graph, Phase, Schedule
from .recompute_stage import sequenced

CORE = frozenset({"scores", "softmax", "mask", "dropped", "attention"})
"""What selective recomputation runs again of a layer, by name."""


def full(graph: Graph) -> Schedule:
    """Every layer runs again before its backward pass."""
    return uniform(graph, 1)


def uniform(graph: Graph, group: int) -> Schedule:
    """Groups of layers run again, the last group the first one."""
    layers = layers_of(graph)
    return before_backward(graph, [layers[at : at + group] for at in range(0, len(layers), group)])


def block(graph: Graph, count: int) -> Schedule:
    """The first `count` layers run again, one by one; others keep all."""
    return before_backward(graph, [[layer] for layer in layers_of(graph)[:count]])


def selective(graph: Graph) -> Schedule:
    """Attention runs again from qkv, where its gradient begins."""
    return before_backward(graph, [[layer] for layer in layers_of(graph)], CORE.__contains__)


def layers_of(graph: Graph) -> list[int]:
    """The layers in order."""
    return sorted({op.layer for op in graph.ops if op.layer is not None})


def before_backward(
    graph: Graph, groups: Iterable[Sequence[int]], again: Callable[[str], bool] = lambda name: True
) -> Schedule:
    """Of each group of layers the ops that run `again`, before its first backward op that reads a result of one."""
    due: dict[int, list[int]] = {}
    for group in groups:
        clones = [
            index
            for index, op in enumerate(graph.ops)
            if op.phase is Phase.FORWARD and op.layer in group and not op.fixed and again(op.name.rpartition(".")[2])
        ]
        results = {value for index in clones for value in graph.ops[index].results}
        due[
            next(
                index
                for index, op in enumerate(graph.ops)
                if op.phase is Phase.BACKWARD and op.layer in group and results & set(op.reads)
            )
        ] = clones
    order = [index for at in range(len(graph.ops)) for index in (*due.get(at, ()), at)]
    return sequenced(graph, order)
