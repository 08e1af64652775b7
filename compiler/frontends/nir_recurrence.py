"""Which edges of a recurrent graph read what was sent in the step before.

    in -> a -> b -> a        the edge b -> a closes a cycle: it has a delay of 1

NIR says nothing of it; simulators run the nodes in the order in which the inputs reach them. So does a search in depth
from the inputs: an edge to a node that is still open closes a cycle. What is left has no cycle.
"""

from collections.abc import Iterator, Sequence

Edge = tuple[str, str]


def closing_edges(edges: Sequence[Edge], starts: Sequence[str]) -> set[Edge]:
    """The edges that close a cycle, searched from `starts` and then from the others in the order of the edges."""
    after: dict[str, list[str]] = {}
    for source, target in edges:
        after.setdefault(source, []).append(target)
    closing: set[Edge] = set()
    met: set[str] = set()
    for start in (*starts, *after):
        if start not in met:
            met.add(start)
            search(start, after, met, closing)
    return closing


def search(start: str, after: dict[str, list[str]], met: set[str], closing: set[Edge]) -> None:
    """One search in depth; without recursion, as chains may be long."""
    path: list[str] = [start]
    is_open = {start}
    ahead: list[Iterator[str]] = [iter(after.get(start, ()))]
    while path:
        target = next(ahead[-1], None)
        if target is None:
            is_open.discard(path.pop())
            ahead.pop()
        elif target in is_open:
            closing.add((path[-1], target))
        elif target not in met:
            met.add(target)
            is_open.add(target)
            path.append(target)
            ahead.append(iter(after.get(target, ())))
