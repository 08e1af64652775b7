"""The bytes that no schedule of these ops in this order can do without, and the op that needs them.

While an op runs there is what it reads and makes, its workspace, and whatever cannot be computed again or moved and is
read later. Everything else could be elsewhere.
"""

from .recompute_graph import INPUT, Graph, Phase
from .recompute_moves import movable
from .recompute_schedule import droppable


def floor(graph: Graph) -> tuple[int, str]:
    """Bytes and the name of the op that needs them."""
    most, at = max(((bytes, -index) for index, bytes in enumerate(needed(graph))), default=(graph.static, 0))
    return most, graph.ops[-at].name if graph.ops else ""


def needed(graph: Graph) -> list[int]:
    """Of each op, the bytes that are there while it runs, whatever is recomputed or moved."""
    loose, owner, sizes = movable(graph).union(droppable(graph)), graph.storage, graph.sizes(())
    last = {owner[value]: len(graph.ops) for value in graph.outputs}
    for index, op in enumerate(graph.ops):
        for value in (*op.reads, *op.results):
            last[owner[value]] = max(index, last.get(owner[value], index))
    found, held, firm, stash = [], set[int](), 0, 0
    for index, op in enumerate(graph.ops):
        own = {owner[value] for value in (*op.reads, *op.results) if graph.values[owner[value]].producer != INPUT}
        firm += sum(sizes[storage] for storage in own - loose - held)
        held |= own - loose
        own_bytes = sum(sizes[storage] for storage in own & loose)
        found.append(graph.static + op.workspace + own_bytes + firm)
        gone = {storage for storage in own if storage in held and last[storage] <= index}
        held -= gone
        firm -= sum(sizes[storage] for storage in gone)
        if op.phase is Phase.FORWARD:
            stash = firm
    return [bytes + (graph.in_flight - 1) * stash for bytes in found]
