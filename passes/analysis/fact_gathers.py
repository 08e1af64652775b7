"""Ops that read at computed places: by index tensors, and pixels in another order.

index_select(dim = 0, %idx)           %x at [%idx[i0], i1]
%x[:, %idx]                           %x at [i0, %idx[i1] % s1]      negative indices count from the end
pixel_shuffle(2)                      %x at [i0, 4*i1 + 2*(i2 % 2) + i3 % 2, i2 // 2, i3 // 2]
"""

from xdsl.ir import SSAValue

from .calls import argument
from .fact_moves import along
from .fact_scope import MOVES, Call, Move, Reading, is_integer, position
from .index_arithmetic import Ranges, quotient, remainder, substitute
from .indices import Index, at_positions

# -- pixels -------------------------------------------------------------------------------------------------------


def pixel_shuffle(call: Call) -> Reading | None:
    """[.., c*r*r, h, w] -> [.., c, h*r, w*r]"""
    factor = call.literal(1, "upscale_factor")
    if not isinstance(factor, int):
        return None
    r, (c, h, w) = Index.of(factor), (position(call.rank - k) for k in (3, 2, 1))
    channel = (c * r + remainder(h, r, call.ranges)) * r + remainder(w, r, call.ranges)
    pixel = (quotient(h, r, call.ranges), quotient(w, r, call.ranges))
    return call.source(), (*map(position, range(call.rank - 3)), channel, *pixel)


def pixel_unshuffle(call: Call) -> Reading | None:
    """[.., c, h*r, w*r] -> [.., c*r*r, h, w]"""
    factor = call.literal(1, "downscale_factor")
    if not isinstance(factor, int):
        return None
    r, (c, h, w) = Index.of(factor), (position(call.rank - k) for k in (3, 2, 1))
    channel = quotient(c, r * r, call.ranges)
    row = h * r + quotient(remainder(c, r * r, call.ranges), r, call.ranges)
    return call.source(), (*map(position, range(call.rank - 3)), channel, row, w * r + remainder(c, r, call.ranges))


def channel_shuffle(call: Call) -> Reading | None:
    """Channel g*n + k moves to k*groups + g."""
    groups = call.literal(1, "groups")
    channels = call.sizes[1].number
    if not isinstance(groups, int) or channels is None or channels % groups:
        return None
    g = Index.of(groups)
    index = remainder(position(1), g, call.ranges) * (channels // groups) + quotient(position(1), g, call.ranges)
    return along(call, 1, index)


def upsample(call: Call) -> Reading | None:
    """Nearest neighbour by a power of two: other factors are rounded in floating point."""
    at = [position(0), position(1)]
    for axis in range(2, call.rank):
        before, after = call.scope.sizes(call.source())[axis].number, call.sizes[axis].number
        if not before or not after or after % before or (after // before) & (after // before - 1):
            return None
        at.append(quotient(position(axis), Index.of(after // before), call.ranges))
    return call.source(), tuple(at)


# -- by index tensor ----------------------------------------------------------------------------------------------


def wrapped(index: Index, size: Index, ranges: Ranges) -> Index:
    """An index that may count from the end."""
    return index if ranges.within(index, size) else remainder(index, size, ranges)


def entries(call: Call, value: SSAValue, at: tuple[Index, ...]) -> Index:
    """The entry of an integer tensor at `at`."""
    return substitute(call.scope.number(value), at_positions(at), call.ranges)


def index_select(call: Call) -> Reading | None:
    axis, index = call.axis(1), call.tensor(2, "index")
    if axis is None or index is None:
        return None
    return along(call, axis, entries(call, index, (position(axis),) * len(call.scope.sizes(index))))


def gather(call: Call) -> Reading | None:
    axis, index = call.axis(1), call.tensor(2, "index")
    return None if axis is None or index is None else along(call, axis, call.scope.number(index))


def take_along(call: Call) -> Reading | None:
    """A gather whose operands broadcast to each other."""
    axis, index = call.axis(2), call.tensor(1, "indices")
    at = None if index is None else call.aligned(index)
    if axis is None or index is None or at is None:
        return None
    read = [Index() if size.number == 1 else position(k) for k, size in enumerate(call.scope.sizes(call.source()))]
    read[axis] = entries(call, index, at)
    return (call.source(), tuple(read)) if len(read) == call.rank else None


def embedding(call: Call) -> Reading | None:
    index = call.tensor(1, "indices")
    return None if index is None else (call.source(), (call.scope.number(index), position(call.rank - 1)))


def index_tensor(call: Call) -> Reading | None:
    """x[.., idx, ..]: indexed axes make way for those of the index tensors, together at the first if adjacent."""
    source, given = call.source(), argument(call.op, 1, "indices")
    tensors = [item if isinstance(item, SSAValue) else None for item in given] if isinstance(given, tuple) else []
    indexed = [axis for axis, item in enumerate(tensors) if item is not None]
    if not indexed or any(item is not None and not is_integer(item) for item in tensors):
        return None
    sizes = call.scope.sizes(source)
    width = call.rank - len(sizes) + len(indexed)
    adjacent = indexed == list(range(indexed[0], indexed[0] + len(indexed)))
    start = indexed[0] if adjacent else 0
    others = iter([axis for axis in range(call.rank) if not start <= axis < start + width])
    at: list[Index] = []
    for axis, size in enumerate(sizes):
        item = tensors[axis] if axis < len(tensors) else None
        if item is None:
            at.append(position(next(others)))
            continue
        own = call.scope.broadcast(item, call.sizes[start : start + width])
        if own is None:
            return None
        moved = at_positions(tuple(position(start + k) for k in range(width)))
        shifted = tuple(substitute(index, moved) for index in own)
        at.append(wrapped(entries(call, item, shifted), size, call.ranges))
    return source, tuple(at)


PIXELS: dict[str, Move] = {
    "pixel_shuffle.default": pixel_shuffle, "pixel_unshuffle.default": pixel_unshuffle,
    "channel_shuffle.default": channel_shuffle, "upsample_nearest1d.vec": upsample, "upsample_nearest2d.vec": upsample,
    "upsample_nearest3d.vec": upsample,
}  # fmt: skip
BY_INDEX: dict[str, Move] = {
    "index_select.default": index_select, "gather.default": gather, "take_along_dim.default": take_along,
    "embedding.default": embedding, "index.Tensor": index_tensor,
}  # fmt: skip
MOVES.update({f"aten.{name}": rule for name, rule in (PIXELS | BY_INDEX).items()})
