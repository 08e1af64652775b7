"""Rules of ops that read through a window: convolution and pooling.

conv2d(x, w)        active where any(inside(2*i2 + j1 - 1) and P(i0, 2*i2 + j1 - 1) ..): the window dilates
whole images        the same images, fill the bias
zero filters of w   the same output channels, fill 0 when there is no bias
max_pool2d          a window that is one number all over gives that number
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from xdsl.ir import SSAValue

from .axis_products import numbers
from .calls import argument, rank
from .fact_elementwise import finite
from .fact_fills import ZERO, Number
from .fact_rules import Known, Part, on_axis, register_rule
from .fact_scope import Call, is_small, position
from .index_arithmetic import quotient
from .indices import Axis, Index
from .predicates import ALWAYS, Predicate, axes, exists, inside


@dataclass(frozen=True)
class Window:
    """Along one axis: position i of the result reads start(i) + dilation * tap, for each tap that is inside."""

    start: Callable[[Index], Index]
    dilation: int
    taps: int


def seen(
    call: Call, value: SSAValue, predicate: Predicate, windows: dict[int, Window], lead: dict[int, Index]
) -> Predicate:
    """Is something active in the window? `lead` says where the other axes are read."""
    sizes, used = call.scope.sizes(value), axes(predicate)
    at, ranges, bound = [Index()] * len(sizes), call.ranges, list[tuple[int, Index]]()
    kept = ALWAYS
    for axis in range(len(sizes)):
        if axis in lead:
            at[axis] = lead[axis]
        elif axis in used:
            window, tap = windows[axis], call.rank + len(bound)
            bound.append((tap, Index.of(window.taps)))
            ranges = ranges.with_size(Axis(tap), Index.of(window.taps))
            at[axis] = window.start(position(axis)) + position(tap) * window.dilation
            kept &= inside(at[axis], sizes[axis], ranges)
    moved = kept & call.scope.read(predicate, tuple(at), ranges)
    for tap, size in reversed(bound):
        moved = exists(moved, Axis(tap), size, ranges)
    return moved


# -- convolution --------------------------------------------------------------------------------------------------


def conv_windows(call: Call, weight: SSAValue) -> dict[int, Window] | None:
    """The windows of a convolution; None for `same` and transposed ones."""
    depth = call.rank - 2
    taps = [size.number for size in call.scope.sizes(weight)[2:]]
    if isinstance(argument(call.op, 4, "padding"), str) or None in taps:
        return None
    stride, padding, dilation = (
        numbers(call.op, place, name, default, depth)
        for place, name, default in ((3, "stride", 1), (4, "padding", 0), (5, "dilation", 1))
    )
    return {
        2 + k: Window(lambda i, k=k: i * stride[k] - padding[k], dilation[k], count)
        for k, count in enumerate(taps)
        if count is not None
    }


def convolution(call: Call, known: Known) -> Iterator[Part]:
    weight, bias = call.tensor(1, "weight"), call.tensor(2, "bias")
    general = call.target == "aten.convolution.default"
    groups = call.literal(8 if general else 6, "groups", 1)
    windows = conv_windows(call, weight) if weight is not None else None
    if weight is None or windows is None or not isinstance(groups, int) or rank(call.source()) != call.rank:
        return
    if general and argument(call.op, 6, "transposed") is not False:
        return
    for part in (*from_images(call, known, weight, windows, groups), *from_filters(call, known, weight)):
        if bias is None:
            yield part
        elif 1 not in axes(part.predicate) and (fill := on_axis(call, bias, call.rank, 1)) is not None:
            yield replace(part, fill=fill)


def from_images(call: Call, known: Known, weight: SSAValue, windows: dict[int, Window], groups: int) -> Iterator[Part]:
    """Where nothing that a window reads is active, in any channel of the group."""
    own, out = call.scope.sizes(weight)[1], call.sizes[1].number
    if out is None or out % groups:
        return
    group = quotient(position(1), Index.of(out // groups), call.ranges) if groups > 1 else Index()
    channel = call.rank + 8
    for part in known.zeros(call.source()):
        predicate = seen(
            call, call.source(), part.predicate, windows, {0: position(0), 1: group * own + position(channel)}
        )
        if 1 in axes(part.predicate):
            predicate = exists(predicate, Axis(channel), own, call.ranges.with_size(Axis(channel), own))
        if is_small(predicate):
            yield finite(call, replace(part, predicate=predicate, binary=False), weight)


def from_filters(call: Call, known: Known, weight: SSAValue) -> Iterator[Part]:
    """Filters that are 0 all over."""
    sizes, ranges = call.scope.sizes(weight), call.scope.ranges(weight)
    for part in known.zeros(weight):
        predicate = part.predicate
        for axis in reversed(range(1, len(sizes))):
            if axis in axes(predicate):
                predicate = exists(predicate, Axis(axis), sizes[axis], ranges)
        predicate = call.scope.read(predicate, (position(1), *[Index()] * (len(sizes) - 1)), call.ranges)
        yield finite(call, replace(part, predicate=predicate, binary=False), call.source())


# -- pooling ------------------------------------------------------------------------------------------------------


def pool_windows(call: Call, width: int, dilated: bool) -> dict[int, Window]:
    """The windows of a pooling; the stride is the kernel's size unless given."""
    kernel = numbers(call.op, 1, "kernel_size", 1, width)
    given = argument(call.op, 2, "stride")
    stride = kernel if given in (None, ()) else numbers(call.op, 2, "stride", 1, width)
    padding = numbers(call.op, 3, "padding", 0, width)
    dilation = numbers(call.op, 4, "dilation", 1, width) if dilated else (1,) * width
    return {
        call.rank - width + k: Window(lambda i, k=k: i * stride[k] - padding[k], dilation[k], kernel[k])
        for k in range(width)
    }


def adaptive_windows(call: Call, width: int) -> dict[int, Window] | None:
    """From floor(i * in / out), as many taps as the widest window has."""
    before, after = call.scope.sizes(call.source())[-width:], call.sizes[-width:]
    windows: dict[int, Window] = {}
    for k, (size, count) in enumerate(zip(before, after, strict=True)):
        if size.number is None or not count.number:
            return None
        taps = size.number // count.number if size.number % count.number == 0 else size.number // count.number + 2
        start = lambda i, size=size, count=count: quotient(i * size, count, call.ranges)  # noqa: E731
        windows[call.rank - width + k] = Window(start, 1, taps)
    return windows


def pool(call: Call, known: Known) -> Iterator[Part]:
    """A window that is one number all over gives that number; an average only for 0, which it does not round."""
    name = call.target.split(".")[1]
    width, largest = next(int(c) for c in name if c.isdigit()), "max" in name
    windows = adaptive_windows(call, width) if "adaptive" in name else pool_windows(call, width, largest)
    if call.output or windows is None:
        return
    lead = {axis: position(axis) for axis in range(call.rank - width)}
    for part in known.of(call.source()):
        if part.fill == ZERO or (largest and isinstance(part.fill, Number)):
            predicate = seen(call, call.source(), part.predicate, windows, lead)
            if is_small(predicate):
                yield replace(part, predicate=predicate, binary=False)


CONVOLUTIONS = "conv1d conv2d conv3d convolution"
POOLS = (
    "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d max_pool2d_with_indices adaptive_avg_pool1d "
    "adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d _adaptive_avg_pool2d"
)
register_rule(convolution, *(f"aten.{name}.default" for name in CONVOLUTIONS.split()))
register_rule(pool, *(f"aten.{name}.default" for name in POOLS.split()))
