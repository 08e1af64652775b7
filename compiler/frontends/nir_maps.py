"""NIR's linear nodes as maps of projections.

| NIR                  | maps                                          |
|----------------------|-----------------------------------------------|
| Linear, Affine       | `snn.dense`, and `snn.bias`                   |
| Conv1d, Conv2d       | `snn.conv`, and `snn.bias` where it is not 0  |
| SumPool2d, AvgPool2d | `snn.pool`                                    |
| Scale                | `snn.scale`                                   |
| Flatten              | `snn.reshape`                                 |
| Delay                | none: it is the delay of the projection       |
"""

from collections.abc import Callable, Iterator
from math import prod

import numpy as np
from xdsl.utils.exceptions import VerifyException

from ...dialects.snn_maps import BiasOp, ConvOp, DenseOp, MapOp, Pooling, PoolOp, ReshapeOp, ScaleOp, windows
from .nir_nodes import Node, Shape, shape_of

Declare = Callable[[Node, str, np.ndarray], str]
"""Declares a weight of a node and gives its symbol."""


def output_shape(node: Node, shape: Shape) -> Shape:
    """The shape of what comes out of a linear node for what goes in. Raises UserError where it cannot go in."""
    match node.kind:
        case "Affine" | "Linear":
            out, into = node.array("weight").shape
            return (out,) if prod(shape) == into and squeezed(shape) else refused(node, (into,), shape)
        case "Scale" | "Delay":
            value = node.array(node.kind.lower())
            return shape if value.size == 1 or value.shape == shape else refused(node, value.shape, shape)
        case "Conv1d" | "Conv2d":
            return convolved(node, shape)
        case "SumPool2d" | "AvgPool2d":
            return pooled(node, shape)
        case "Flatten":
            start, stop = flattened_axes(node, shape)
            return (*shape[:start], prod(shape[start:stop]), *shape[stop:])
        case _:
            return shape_of(node)


def squeezed(shape: Shape) -> bool:
    """Has it one axis, but for axes of 1?"""
    return sum(size != 1 for size in shape) <= 1


def refused(node: Node, expected: Shape | list, shape: Shape) -> Shape:
    """Raises UserError: what is fed does not fit."""
    hint = "a Flatten before it would fit" if len(shape) > 1 and prod(shape) == prod(tuple(expected)) else ""
    raise node.fault(f"it takes {list(expected)}, it is fed {list(shape)}", hint=hint)


def convolved(node: Node, shape: Shape) -> Shape:
    out, into, *kernel = node.array("weight").shape
    (groups,) = node.whole("groups", 1, 1)
    stride, padding, dilation = window_steps(node)
    if out % groups:
        raise node.fault(f"groups is {groups}, which does not divide {out} channels")
    if len(shape) != len(kernel) + 1 or shape[0] != into * groups:
        wanted = [str(into * groups), *"?" * len(kernel)]
        raise node.fault(f"it takes [{', '.join(wanted)}], it is fed {list(shape)}")
    declared = node.values.get("input_shape")
    if declared is not None and tuple(np.asarray(declared).reshape(-1).tolist()) != shape[1:]:
        raise node.fault(f"its input_shape is {np.asarray(declared).tolist()}, it is fed {list(shape)}")
    return (out, *spaces(node, shape, kernel, stride, padding, dilation))


def pooled(node: Node, shape: Shape) -> Shape:
    if len(shape) != 3:
        raise node.fault(f"it takes [channels, height, width], it is fed {list(shape)}")
    kernel, (stride, padding, _) = node.whole("kernel_size", 2, 1), window_steps(node)
    return (shape[0], *spaces(node, shape, kernel, stride, padding, (1, 1)))


def spaces(node, shape, kernel, stride, padding, dilation) -> Iterator[int]:
    """The sizes of the axes of space; raises UserError where no window fits."""
    for size, *step in zip(shape[1:], kernel, stride, padding, dilation, strict=True):
        try:
            yield windows(size, *step)
        except VerifyException:
            fault = f"no window fits: the input is {list(shape)}, the kernel {list(kernel)}"
            raise node.fault(fault) from None


def window_steps(node: Node) -> tuple[Shape, Shape, Shape]:
    """Stride, padding and dilation; `same` and `valid` as numbers."""
    count = 1 if node.kind == "Conv1d" else 2
    stride = node.whole("stride", count, 1)
    dilation = node.whole("dilation", count, 1) if "dilation" in node.values else (1,) * count
    padding = node.values["padding"]
    if not isinstance(padding, str):
        return stride, node.whole("padding", count, 0), dilation
    if padding == "valid":
        return stride, (0,) * count, dilation
    reach = [d * (k - 1) for d, k in zip(dilation, node.array("weight").shape[2:], strict=True)]
    if any(r % 2 for r in reach) or set(stride) != {1}:
        raise node.fault("padding 'same' pads both sides alike, at stride 1: this kernel or stride has no such form")
    return stride, tuple(r // 2 for r in reach), dilation


def flattened_axes(node: Node, shape: Shape) -> tuple[int, int]:
    """The axes that become one, the last excluded."""
    start, stop = (node.whole(name, 1, -len(shape))[0] for name in ("start_dim", "end_dim"))
    start, stop = start % max(len(shape), 1), stop % max(len(shape), 1)
    if start > stop or max(*(node.whole(n, 1, -9)[0] for n in ("start_dim", "end_dim"))) >= len(shape):
        raise node.fault(
            f"it joins axes {node.array('start_dim')} to {node.array('end_dim')} of {list(shape)}",
            hint="axes are counted without a batch: the first is 0",
        )
    return start, stop + 1


def maps_of(node: Node, shape: Shape, declare: Declare, *, bias: bool) -> Iterator[MapOp]:
    """The maps of a linear node for an input of `shape`, without its bias where it belongs to another path."""
    values = node.values
    match node.kind:
        case "Affine" | "Linear":
            yield DenseOp(declare(node, "weight", values["weight"]))
        case "Conv1d" | "Conv2d":
            yield ConvOp(declare(node, "weight", values["weight"]), *window_steps(node), node.whole("groups", 1, 1)[0])
        case "SumPool2d" | "AvgPool2d":
            kind = Pooling.SUM if node.kind == "SumPool2d" else Pooling.AVERAGE
            yield PoolOp(kind, node.whole("kernel_size", 2, 1), *window_steps(node)[:2])
        case "Scale":
            yield ScaleOp(declare(node, "scale", values["scale"]))
        case "Flatten" | "Input" | "Output" if (new := output_shape(node, shape)) != shape:
            yield ReshapeOp(new)
    always = node.kind == "Affine"
    if bias and "bias" in values and (always or np.any(values["bias"] != 0)):
        yield BiasOp(declare(node, "bias", values["bias"]))
