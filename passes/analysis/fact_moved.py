"""Rules of ops that only move: the operand's facts, where the result reads it.

    %v = aten.view(%x, [s0*s1, 8])       %x: 0 unless nz(%m)         ->   %v: 0 unless nz(%m)[i0 // s1, i0 % s1]
    %t = aten.permute(%x, [2, 0, 1])     %x: %b unless nz(%m)        ->   %t: %b, stood on axis 0, unless nz(%m)

A fill that is a row moves too: it is cut, put in order and reshaped as the tensor is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...dialects.template import Ref, Template
from . import fact_gathers, fact_moves
from .calls import shape
from .fact_fills import Applied, Fill, Number, viewed
from .fact_moves import reshape
from .fact_rules import Known, Part, register_rule
from .fact_scope import MOVES, Call, position
from .indices import Axis, Index, product
from .predicates import axes

FAMILIES = (fact_moves, fact_gathers)


def moved(call: Call, known: Known) -> Iterator[Part]:
    """The operand's facts where the result reads it."""
    found = call.scope.move(call.result)
    if found is None:
        return
    source, at = found
    for part in known.of(source):
        predicate = call.scope.read(part.predicate, at, call.ranges)
        fill = part.fill if isinstance(part.fill, Number) else moved_fill(call, part.fill, at, axes(predicate))
        if fill is not None:
            yield replace(part, predicate=predicate, fill=fill)


def moved_fill(call: Call, fill: Fill, at: tuple[Index, ...], used: tuple[int, ...]) -> Fill | None:
    """A row where the result reads it: its axes are cut, put in the result's order, and given their places.

    A reshape keeps the row as it lies in memory. None where the row would depend on the fact's own axes.
    """
    varying = [axis for axis, size in enumerate(fill.sizes) if size != 1]
    if any(Axis(axis) in at[k].atoms() for k in varying for axis in used):
        return None
    target = [1 if axis in used else size for axis, size in enumerate(shape(call.result))]
    if MOVES[call.target] is reshape:
        return reshaped(call, fill, target)
    sizes = {position(axis): size for axis, size in enumerate(shape(call.result))}
    if not all(sizes.get(at[k]) == fill.sizes[k] for k in varying):
        return cut(call, fill, at, varying[0]) if len(varying) == 1 else None
    to = [atom.number for k in varying if isinstance(atom := at[k].atom, Axis)]
    if len(set(to)) != len(to):
        return None
    order = sorted(range(len(varying)), key=lambda k: to[k])
    lined = viewed(fill, tuple(fill.sizes[k] for k in varying))
    if lined is None or isinstance(lined, Number):
        return None
    if order != sorted(order):
        sizes = tuple(lined.sizes[k] for k in order)
        lined = Applied("aten.permute.default", Template((Ref(0), tuple(order))), (lined,), sizes, lined.element)
    return viewed(lined, tuple(target[axis] if axis in to else 1 for axis in range(call.rank)))


def cut(call: Call, fill: Fill, at: tuple[Index, ...], axis: int) -> Fill | None:
    """A row, along `axis`, of which the result reads one entry or a slice."""
    start = dict(at[axis].terms).get((), 0)
    rest = at[axis] - start
    places = (k for k in range(call.rank) if rest == position(k) * (rest.coefficient(Axis(k)).number or 0))
    place = next(places, None) if rest.terms else None
    step = rest.coefficient(Axis(place)).number if place is not None else 1
    count = shape(call.result)[place] if place is not None else 1
    if (place is None and rest.terms) or start < 0 or not step or step < 1 or not isinstance(count, int):
        return None
    lined = viewed(fill, (fill.sizes[axis],))
    if lined is None or isinstance(lined, Number):
        return None
    template = Template((Ref(0), 0, start, start + (count - 1) * step + 1, step))
    part = Applied("aten.slice.Tensor", template, (lined,), (count,), lined.element)
    return viewed(part, tuple(count if k == place else 1 for k in range(call.rank)))


def reshaped(call: Call, fill: Fill, target: Sequence[int | str]) -> Fill | None:
    """A row of the size that it has after the reshape."""
    before = product([Index.of(size) for size in fill.sizes])
    return viewed(fill, tuple(target)) if before == product([Index.of(size) for size in target]) else None


register_rule(moved, *MOVES)
