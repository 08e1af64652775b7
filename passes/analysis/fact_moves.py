"""Ops that only move: result[i] = operand[at(i)], as formulas.

    view [s0, s1, 8] -> [s0*s1, 8]        %x at [i0 // s1, i0 % s1, i1]
    permute [2, 0, 1]                     %x at [i1, i2, i0]
    expand [s0, 1, 8] -> [s0, s1, 8]      %x at [i0, 0, i2]
    slice(dim = 1, start = 2, step = 3)   %x at [i0, 3*i1 + 2]

Sizes come from the types, so a size argument is never read. Add an op with `MOVES["target"] = rule`.
"""

from ...dialects.aten import tensor_of
from .calls import argument, integers
from .fact_scope import MOVES, Call, Move, Reading, position
from .index_arithmetic import Ranges, quotient, remainder
from .indices import Index, product


def identity(call: Call) -> Reading | None:
    return call.source(), call.scope.positions(call.result)


def cast(call: Call) -> Reading | None:
    """A copy in the same type."""
    return identity(call) if call.element == tensor_of(call.source()).element_type else None


def expand(call: Call) -> Reading | None:
    at = call.aligned(call.source())
    return None if at is None else (call.source(), at)


def copy(call: Call) -> Reading | None:
    """copy(self, src): src where self was"""
    source = call.tensor(1, "src")
    at = None if source is None else call.aligned(source)
    if source is None or at is None or tensor_of(source).element_type != call.element:
        return None
    return source, at


def dropout(call: Call) -> Reading | None:
    """Nothing is dropped outside of training."""
    return identity(call) if argument(call.op, 2, "train") is False else None


# -- reshape ----------------------------------------------------------------------------------------------------


def reshape(call: Call) -> Reading | None:
    """Groups of axes with equal products, each read in row-major order."""
    at = regrouped(call.scope.sizes(call.source()), call.sizes, call.ranges)
    return None if at is None else (call.source(), at)


def regrouped(before: tuple[Index, ...], after: tuple[Index, ...], ranges: Ranges) -> tuple[Index, ...] | None:
    """Where a tensor of sizes `before` is read when it is seen in sizes `after`."""
    at: list[Index] = []
    start = 0
    for group, end in matched(before, after):
        flat = Index()
        for axis in range(start, end):
            flat = flat * after[axis] + position(axis)
        at += unravel(flat, group, ranges)
        start = end
    return tuple(at) if len(at) == len(before) and start == len(after) else None


def matched(before: tuple[Index, ...], after: tuple[Index, ...]) -> list[tuple[tuple[Index, ...], int]]:
    """The shortest groups of sizes of `before`, each with the end of the axes of `after` of the same product."""
    groups: list[tuple[tuple[Index, ...], int]] = []
    low = start = 0
    while low < len(before) or start < len(after):
        ends = (
            (high, end)
            for total in range(1, len(before) + len(after) - low - start + 1)
            for high in range(low, min(low + total, len(before)) + 1)
            if (end := start + total - (high - low)) <= len(after) and end >= start
            and product(before[low:high]) == product(after[start:end])
        )  # fmt: skip
        found = next(ends, None)
        if found is None:
            return []
        groups.append((before[low : found[0]], found[1]))
        low, start = found
    return groups


def unravel(flat: Index, sizes: tuple[Index, ...], ranges: Ranges) -> list[Index]:
    """The position on each axis of `sizes` of the element at row-major offset `flat`."""
    at: list[Index] = []
    for axis in range(len(sizes)):
        index = quotient(flat, product(sizes[axis + 1 :]), ranges)
        at.append(remainder(index, sizes[axis], ranges) if axis else index)
    return at


# -- axes in another order ----------------------------------------------------------------------------------------


def permuted(call: Call, order: list[int]) -> Reading:
    """Axis k of the result is axis order[k] of the operand."""
    return call.source(), tuple(position(order.index(axis)) for axis in range(len(order)))


def permute(call: Call) -> Reading | None:
    order = integers(call.op, 1, "dims")
    return None if order is None else permuted(call, [axis % call.rank for axis in order])


def transpose(call: Call) -> Reading | None:
    one, other = call.axis(1, "dim0", 0), call.axis(2, "dim1", 1)
    if one is None or other is None or call.rank < 2:
        return identity(call)
    order = list(range(call.rank))
    order[one], order[other] = order[other], order[one]
    return permuted(call, order)


def last_two(call: Call) -> Reading | None:
    return permuted(call, [*range(call.rank - 2), call.rank - 1, call.rank - 2])


def diagonal(call: Call) -> Reading | None:
    """The last axis runs along both axes at once."""
    source, offset = call.source(), call.literal(1, "offset", 0)
    one, other = call.axis(2, "dim1", 0, call.rank + 1), call.axis(3, "dim2", 1, call.rank + 1)
    if one is None or other is None or not isinstance(offset, int):
        return None
    rest, last = iter(range(call.rank)), position(call.rank - 1)
    along = {one: last + max(0, -offset), other: last + max(0, offset)}
    return source, tuple(along[a] if a in along else position(next(rest)) for a in range(call.rank + 1))


# -- one axis -----------------------------------------------------------------------------------------------------


def along(call: Call, axis: int | None, index: Index | None) -> Reading | None:
    """`axis` is read at `index`, every other one at its own position."""
    if axis is None or index is None:
        return None
    rank = len(call.scope.sizes(call.source()))
    return call.source(), tuple(index if k == axis else position(k) for k in range(rank))


def offset(call: Call, place: int, name: str, size: Index) -> Index | None:
    """An argument that is a position, negative ones counted from the end; None when it may be either."""
    start = call.size(place, name, 0)
    if start is None and argument(call.op, place, name) is None:
        start = Index()
    if start is not None and start.number is not None and start.number < 0:
        start = start + size
        start = Index() if start.number is not None and start.number < 0 else start
    return start if start is not None and call.ranges.nonnegative(start) else None


def slice_(call: Call) -> Reading | None:
    axis, step = call.axis(1, default=0), call.literal(4, "step", 1)
    if axis is None or not isinstance(step, int):
        return None
    start = offset(call, 2, "start", call.scope.sizes(call.source())[axis])
    return None if start is None else along(call, axis, position(axis) * step + start)


def narrow(call: Call) -> Reading | None:
    axis = call.axis(1)
    start = None if axis is None else offset(call, 2, "start", call.scope.sizes(call.source())[axis])
    return None if axis is None or start is None else along(call, axis, position(axis) + start)


def removed(call: Call, axis: int, index: Index) -> Reading:
    """`axis` is read at `index` and gone from the result."""
    at = [position(k) for k in range(call.rank)]
    return call.source(), (*at[:axis], index, *at[axis:])


def select(call: Call) -> Reading | None:
    axis = call.axis(1, rank=call.rank + 1)
    index = None if axis is None else offset(call, 2, "index", call.scope.sizes(call.source())[axis])
    return None if axis is None or index is None else removed(call, axis, index)


def unbind(call: Call) -> Reading | None:
    axis = call.axis(1, default=0, rank=call.rank + 1)
    return None if axis is None else removed(call, axis, Index.of(call.output))


def split(call: Call) -> Reading | None:
    """The results before this one say where it starts."""
    axis = call.axis(2, default=0)
    if axis is None:
        return None
    start = Index()
    for before in call.op.results[: call.output]:
        start += call.scope.sizes(before)[axis]
    return along(call, axis, position(axis) + start)


def flip(call: Call) -> Reading | None:
    axes = call.axes(1, "dims")
    if axes is None:
        return None
    return call.source(), tuple(
        size - 1 - position(axis) if axis in axes else position(axis) for axis, size in enumerate(call.sizes)
    )


def roll(call: Call) -> Reading | None:
    shifts, axes = integers(call.op, 1, "shifts"), integers(call.op, 2, "dims")
    if not shifts or not axes or len(shifts) != len(axes):
        return None
    at = list(call.scope.positions(call.result))
    for shift, axis in zip(shifts, axes, strict=True):
        at[axis] = remainder(at[axis] - shift, call.sizes[axis], call.ranges)
    return call.source(), tuple(at)


def repeat(call: Call) -> Reading | None:
    sizes = call.scope.sizes(call.source())
    start = call.rank - len(sizes)
    return call.source(), tuple(
        remainder(position(start + axis), size, call.ranges) for axis, size in enumerate(sizes)
    )  # fmt: skip


def repeat_interleave(call: Call) -> Reading | None:
    times, axis = call.literal(1, "repeats"), call.axis(2)
    if not isinstance(times, int) or times < 1 or axis is None:
        return None
    return along(call, axis, quotient(position(axis), Index.of(times), call.ranges))


def unfold(call: Call) -> Reading | None:
    """Windows of `size`, `step` apart; the place inside the window is the last axis."""
    axis, step = call.axis(1, "dimension", rank=call.rank - 1), call.literal(3, "step")
    if axis is None or not isinstance(step, int):
        return None
    return along(call, axis, position(axis) * step + position(call.rank - 1))


RESHAPES = (
    "view.default reshape.default _unsafe_view.default flatten.using_ints unflatten.int view_as.default "
    "squeeze.default squeeze.dim squeeze.dims unsqueeze.default ravel.default"
)
SAME = "alias clone contiguous detach lift_fresh_copy positive"
RULES: dict[str, Move] = {
    "_to_copy.default": cast, "to.dtype": cast, "expand.default": expand, "broadcast_to.default": expand,
    "expand_as.default": expand, "copy.default": copy, "dropout.default": dropout, "permute.default": permute,
    "transpose.int": transpose, "t.default": transpose, "mT.default": last_two, "diagonal.default": diagonal,
    "slice.Tensor": slice_, "narrow.default": narrow, "select.int": select, "unbind.int": unbind,
    "split.Tensor": split, "split_with_sizes.default": split, "chunk.default": split, "tensor_split.sections": split,
    "flip.default": flip, "roll.default": roll, "repeat.default": repeat, "tile.default": repeat,
    "repeat_interleave.self_int": repeat_interleave, "unfold.default": unfold,
}  # fmt: skip

MOVES.update({f"aten.{name}": reshape for name in RESHAPES.split()})
MOVES.update({f"aten.{name}.default": identity for name in SAME.split()})
MOVES.update({f"aten.{name}": rule for name, rule in RULES.items()})
