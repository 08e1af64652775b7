"""Rules of ops that write some positions of a tensor.

    scatter(zeros, 1, %idx, %v)        0 unless any(%idx[i0, j1] == i1 for j1 < k)
    index_add(zeros, 0, %idx, %v)      0 on axis 0 unless any(%idx[j1] == i0 for j1 < n)
    index_put(x, [%mask], 1.0)         active where x is, or the mask holds

A position is inactive when the base is, and everything written there is 0 (or nothing is): which of several writes
wins does not matter.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from xdsl.ir import SSAValue

from .calls import argument, rank
from .fact_gathers import wrapped
from .fact_rules import Known, Part, register_rule
from .fact_scope import Call, is_bool, is_integer, is_small, position
from .index_arithmetic import substitute
from .indices import Axis, Index, Var, at_positions
from .predicates import ALWAYS, NEVER, Predicate, conjunction, equal, exists, inside

Write = Callable[[Call, Known], "Part | None"]


def onto(writes: Write) -> Callable[[Call, Known], Iterator[Part]]:
    """The rule of an op that writes onto its first argument where `writes` says."""

    def rule(call: Call, known: Known) -> Iterator[Part]:
        written = writes(call, known)
        if written is None:
            return
        for base in known.zeros(call.source()):
            yield replace(base.with_other(written, base.predicate | written.predicate), binary=False)

    return rule


def values_part(known: Known, value: SSAValue | float | None) -> Part:
    """Where what is written may not be zero, over its own axes."""
    if not isinstance(value, SSAValue):
        return Part(NEVER if value == 0 else ALWAYS)
    found = list(known.zeros(value))
    needs = frozenset[Var]().union(*(part.needs for part in found))
    return Part(conjunction(part.predicate for part in found), needs=needs)


def quantify(call: Call, predicate: Predicate, sizes: tuple[Index, ...]) -> Predicate:
    """Is there a write? Its position runs over free axes after those of the result."""
    ranges = call.ranges
    for k, size in enumerate(sizes):
        ranges = ranges.with_size(Axis(call.rank + k), size)
    for k in reversed(range(len(sizes))):
        predicate = exists(predicate, Axis(call.rank + k), sizes[k], ranges)
    return predicate


def scatter(call: Call, known: Known) -> Part | None:
    """out[.., idx[i, j, k], ..] = src[i, j, k], along one axis"""
    axis, index, source = call.axis(1), call.tensor(2, "index"), call.tensor(3, "src")
    if axis is None or index is None or rank(index) != call.rank or not call.rank:
        return None
    value = source if source is not None else call.literal(3, "value")
    written = values_part(known, value)
    sizes, at = call.scope.sizes(index), list(call.scope.positions(call.result))
    at[axis] = position(call.rank)
    ranges = call.ranges.with_size(Axis(call.rank), sizes[axis])
    hit = equal(substitute(call.scope.number(index), at_positions(tuple(at)), ranges), position(axis), ranges)
    for other, size in enumerate(sizes):
        hit &= inside(position(other), size, ranges) if other != axis else hit
    active = hit & call.scope.read(written.predicate, tuple(at), ranges)
    return Part(quantify(call, active, (sizes[axis],)), needs=written.needs)


def index_add(call: Call, known: Known) -> Part | None:
    """out[.., idx[j], ..] += src[.., j, ..]"""
    axis, index, source = call.axis(1), call.tensor(2, "index"), call.tensor(3, "source")
    if axis is None or index is None or source is None or rank(index) != 1 or not call.rank:
        return None
    written = values_part(known, source)
    sizes, at = call.scope.sizes(index), list(call.scope.positions(call.result))
    at[axis] = position(call.rank)
    ranges = call.ranges.with_size(Axis(call.rank), sizes[0])
    hit = equal(substitute(call.scope.number(index), at_positions((at[axis],)), ranges), position(axis), ranges)
    active = hit & call.scope.read(written.predicate, tuple(at), ranges)
    return Part(quantify(call, active, (sizes[0],)), needs=written.needs)


def index_put(call: Call, known: Known) -> Part | None:
    """out[.., idx, ..] = values: by truth values, or by integers on neighbouring axes"""
    given, values = argument(call.op, 1, "indices"), call.tensor(2, "values")
    tensors = [item if isinstance(item, SSAValue) else None for item in given] if isinstance(given, tuple) else []
    places = [k for k, item in enumerate(tensors) if item is not None]
    if values is None or not places or places != list(range(places[0], places[0] + len(places))):
        return None
    indices = [item for item in tensors if item is not None]
    if len(indices) == 1 and is_bool(indices[0]):
        return by_mask(call, known, indices[0], places[0], values)
    return by_integers(call, known, indices, places[0], values) if all(map(is_integer, indices)) else None


def by_mask(call: Call, known: Known, mask: SSAValue, start: int, values: SSAValue) -> Part:
    """Positions are written where the mask holds."""
    at = tuple(position(start + k) for k in range(rank(mask)))
    written = values_part(known, values)
    if written.predicate not in (ALWAYS, NEVER):
        written = Part(ALWAYS)
    hit = call.scope.read(call.scope.truth(mask), at, call.ranges)
    return Part(hit & written.predicate, needs=written.needs)


def by_integers(call: Call, known: Known, indices: list[SSAValue], start: int, values: SSAValue) -> Part | None:
    """Positions are listed by index tensors, which broadcast."""
    sizes = together([call.scope.sizes(index) for index in indices])
    ranges, hit = call.ranges, ALWAYS
    for k, size in enumerate(sizes):
        ranges = ranges.with_size(Axis(call.rank + k), size)
    write = tuple(position(call.rank + k) for k in range(len(sizes)))
    for k, index in enumerate(indices):
        own = call.scope.broadcast(index, sizes)
        if own is None:
            return None
        at = tuple(substitute(i, at_positions(write)) for i in own)
        entry = substitute(call.scope.number(index), at_positions(at), ranges)
        hit &= equal(wrapped(entry, call.sizes[start + k], ranges), position(start + k), ranges)
    positions = call.scope.positions(call.result)
    full = (*positions[:start], *write, *positions[start + len(indices) :])
    written, own_rank = values_part(known, values), rank(values)
    to = (*call.sizes[:start], *sizes, *call.sizes[start + len(indices) :])
    aligned = call.scope.broadcast(values, to) if own_rank <= len(full) else None
    if aligned is None:
        written = Part(ALWAYS)
    else:
        at = tuple(substitute(i, at_positions(full)) for i in aligned)
        written = Part(call.scope.read(written.predicate, at, ranges), needs=written.needs)
    predicate = quantify(call, hit & written.predicate, sizes)
    return Part(predicate, needs=written.needs) if is_small(predicate) else None


def together(shapes: list[tuple[Index, ...]]) -> tuple[Index, ...]:
    """The sizes that index tensors broadcast to."""
    depth, one = max(map(len, shapes)), Index.of(1)
    padded = [(one,) * (depth - len(sizes)) + sizes for sizes in shapes]
    return tuple(next((size for size in axis if size != one), one) for axis in zip(*padded, strict=True))


register_rule(onto(scatter), *(f"aten.{n}" for n in (
    "scatter.src", "scatter.value", "scatter_add.default", "scatter_reduce.two")))  # fmt: skip
register_rule(onto(index_add), "aten.index_add.default", "aten.index_copy.default")
register_rule(onto(index_put), "aten.index_put.default")
