"""Linear maps between neurons: an `aten` value traced to what it is a sum of linear functions of.

    linear(spikes, w, b) + conv2d(x, k)     ->     [Path(spikes, [dense w, bias b]), Path(x, [conv k])]

| call                                   | map                                      |
|----------------------------------------|------------------------------------------|
| `linear`                               | dense, and bias                          |
| `conv1d`, `conv2d`                     | conv, and bias                           |
| `avg_pool1d`, `avg_pool2d`             | pool, where each window counts its padding |
| `mul` by a weight of each element or channel | scale                              |
| `add` of a weight of each element or channel | bias                               |
| `flatten`, `view`, `reshape`, `unflatten`, `squeeze`, `unsqueeze` | reshape, where the batch stays |
| `clone`, `alias`, `detach`, dropout in evaluation | nothing                       |

A map of a sum is applied to each of its parts; its bias goes to the first.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from xdsl.ir import Operation, SSAValue

from ...dialects.aten import CallOp
from ...dialects.diagnostics import UserError, place_of
from ...dialects.snn_maps import BiasOp, ConvOp, DenseOp, MapOp, Pooling, PoolOp, ReshapeOp, ScaleOp
from .calls import argument, integers, shape, target

NameOf = Callable[[SSAValue], str | None]
"""The weight that a value is; None where it is none."""


@dataclass(frozen=True)
class Path:
    """From a value that is no linear function of others, through maps."""

    source: SSAValue
    maps: tuple[MapOp, ...] = ()
    distributed: bool = False
    """Is it a part of a sum that is made before a map, or before others are added to it?"""


def refuse(op: Operation, why: str, hint: str = "") -> UserError:
    """An error at a call."""
    return UserError(f"`{target(op) or op.name}` cannot be part of a projection: {why}", place=place_of(op), hint=hint)


def sizes(value: SSAValue) -> tuple[int, ...]:
    """The sizes of a value but for its batch. Raises UserError where one is known only at run time."""
    found = shape(value)[1:]
    if not all(isinstance(size, int) for size in found):
        raise UserError(f"neurons are counted when a network is read, but there are {list(found)}")
    return tuple(size for size in found if isinstance(size, int))


def weight(op: CallOp, position: int, name: str, name_of: NameOf) -> str | None:
    """The weight given as an argument; None where none is given. Raises UserError where it is computed."""
    value = argument(op, position, name)
    if value is None:
        return None
    found = name_of(value) if isinstance(value, SSAValue) else None
    if found is None:
        raise refuse(op, f"its {name} is computed while it runs")
    return found


def per_axis(op: CallOp, position: int, name: str, axes: int, default: int) -> tuple[int, ...]:
    """An argument of one number for each axis."""
    found = integers(op, position, name) if argument(op, position, name) not in (None, ()) else (default,)
    if found is None:
        raise refuse(op, f"its {name} is computed while it runs")
    return found * axes if len(found) == 1 else found


def linear(op: CallOp, name_of: NameOf) -> list[MapOp]:
    matrix, bias = weight(op, 1, "weight", name_of), weight(op, 2, "bias", name_of)
    if matrix is None or len(shape(op.operands[0])) != 2:
        raise refuse(op, f"it is given {list(shape(op.operands[0]))}, expected [batch, neurons]")
    return [DenseOp(matrix), *([BiasOp(bias)] if bias else [])]


def convolution(op: CallOp, name_of: NameOf) -> list[MapOp]:
    kernel, bias = weight(op, 1, "weight", name_of), weight(op, 2, "bias", name_of)
    axes = len(shape(op.results[0])) - 2
    steps = (
        per_axis(op, *entry) for entry in ((3, "stride", axes, 1), (4, "padding", axes, 0), (5, "dilation", axes, 1))
    )
    groups = argument(op, 6, "groups", 1)
    if kernel is None or not isinstance(groups, int):
        raise refuse(op, "its weight or groups are computed while it runs")
    return [ConvOp(kernel, *steps, groups=groups), *([BiasOp(bias)] if bias else [])]


def average(op: CallOp, _: NameOf) -> list[MapOp]:
    axes = len(shape(op.results[0])) - 2
    kernel = per_axis(op, 1, "kernel_size", axes, 1)
    given = argument(op, 2, "stride")
    stride = kernel if given in (None, ()) else per_axis(op, 2, "stride", axes, 1)
    padding = per_axis(op, 3, "padding", axes, 0)
    ceil, counted = argument(op, 4, "ceil_mode", False), argument(op, 5, "count_include_pad", True)
    if ceil or (not counted and any(padding)) or argument(op, 6, "divisor_override") is not None:
        raise refuse(op, "ceil_mode, count_include_pad=False and divisor_override have no map")
    return [PoolOp(Pooling.AVERAGE, kernel, stride, padding)]


def reshape(op: CallOp, _: NameOf) -> list[MapOp]:
    before, after = shape(op.operands[0]), shape(op.results[0])
    if before[:1] != after[:1]:
        raise refuse(op, f"it moves the batch: {list(before)} -> {list(after)}")
    return [ReshapeOp(sizes(op.results[0]))]


def nothing(op: CallOp, _: NameOf) -> list[MapOp]:
    if target(op) == "aten.dropout.default" and argument(op, 2, "train") is not False:
        raise refuse(op, "it is random", hint="model.eval()")
    if op.operands[0].type != op.results[0].type:
        raise refuse(op, f"it changes {op.operands[0].type} to {op.results[0].type}")
    return []


LINEAR: dict[str, Callable[[CallOp, NameOf], list[MapOp]]] = {
    "aten.linear.default": linear,
    "aten.conv1d.default": convolution,
    "aten.conv2d.default": convolution,
    "aten.avg_pool1d.default": average,
    "aten.avg_pool2d.default": average,
    **dict.fromkeys(
        ["aten.flatten.using_ints", "aten.view.default", "aten.reshape.default", "aten._unsafe_view.default",
         "aten.unflatten.int", "aten.squeeze.dim", "aten.unsqueeze.default"],
        reshape,
    ),
    **dict.fromkeys(
        ["aten.clone.default", "aten.alias.default", "aten.detach.default", "aten.dropout.default",
         "aten._to_copy.default", "aten.contiguous.default", "aten.lift_fresh_copy.default"],
        nothing,
    ),
}  # fmt: skip
"""The maps of a call of one operand."""


def paths(value: SSAValue, name_of: NameOf, is_source: Callable[[SSAValue], bool]) -> list[Path]:
    """What `value` is the sum of. Raises UserError, at the call, where it is no linear function of sources."""
    if is_source(value):
        return [Path(value)]
    op = value.owner
    if not isinstance(op, CallOp):
        raise UserError("a value between neurons is neither their spikes nor an input")
    if target(op) in ("aten.add.Tensor", "aten.mul.Tensor"):
        return of_two(op, name_of, is_source)
    if (maps := LINEAR.get(target(op) or "")) is None:
        raise refuse(op, "it is no linear map", hint=f"known: {', '.join(sorted(LINEAR))}, add and mul")
    found, ops = paths(op.operands[0], name_of, is_source), maps(op, name_of)
    for entry in ops:
        entry.location = op.location
    unbiased = [entry for entry in ops if not isinstance(entry, BiasOp)]
    parts = len(found) > 1 and any(not isinstance(entry, ReshapeOp) for entry in ops)
    rest = [replace(path, maps=(*path.maps, *(entry.clone() for entry in unbiased))) for path in found[1:]]
    found = [replace(found[0], maps=(*found[0].maps, *ops)), *rest]
    return [replace(path, distributed=path.distributed or parts) for path in found]


def of_two(op: CallOp, name_of: NameOf, is_source: Callable[[SSAValue], bool]) -> list[Path]:
    """A sum, or a product with a weight."""
    left, right = (argument(op, position, name) for position, name in ((0, "self"), (1, "other")))
    if not isinstance(left, SSAValue) or not isinstance(right, SSAValue) or argument(op, 2, "alpha", 1) != 1:
        raise refuse(op, "it has a number of its own", hint="make it a buffer of the model")
    names = [name_of(left), name_of(right)]
    if names == [None, None]:
        if target(op) == "aten.mul.Tensor":
            raise refuse(op, "it multiplies two values that change")
        second = paths(right, name_of, is_source)
        second = [replace(path, distributed=path.distributed or len(second) > 1) for path in second]
        return [*paths(left, name_of, is_source), *second]
    name, other = (names[1], left) if names[1] else (names[0], right)
    if shape(other) != shape(op.results[0]):
        raise refuse(op, f"it makes {list(shape(op.results[0]))} of {list(shape(other))}")
    verify_spread(op, left if other is right else right, other)
    found, kind = paths(other, name_of, is_source), BiasOp if target(op) == "aten.add.Tensor" else ScaleOp
    found = [replace(path, distributed=path.distributed or len(found) > 1) for path in found]
    count = 1 if kind is BiasOp else len(found)
    changed = [replace(path, maps=(*path.maps, located(kind(name or ""), op))) for path in found[:count]]
    return [*changed, *found[count:]]


def located(entry: MapOp, op: CallOp) -> MapOp:
    """A map where the call stands that it is, with what is noted of that."""
    entry.location = op.location
    entry.attributes |= op.attributes
    return entry


def verify_spread(op: CallOp, weight: SSAValue, value: SSAValue) -> None:
    """A weight has one number, or one for each channel, or for each element. Raises UserError where it has others."""
    sizes, given = shape(value), shape(weight)
    given = (1,) * (len(sizes) - len(given)) + given
    channel = (1, sizes[1], *(1 for _ in sizes[2:]))
    if given not in ((1,) * len(sizes), channel, (1, *sizes[1:])):
        raise refuse(op, f"its weight {list(shape(weight))} is neither one for each element nor for each channel of "
                     f"{list(sizes[1:])}")  # fmt: skip
