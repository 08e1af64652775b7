"""Fills: what stands where a tensor is inactive, as one small expression.

    0                    after relu, after x * mask
    -inf                 after masked_fill(x, ~mask, -inf)
    %bias                after linear(x, w, bias) of a zero row
    gelu(%bias)          after gelu of that

A fill has the rank of the tensor it stands in: its size is 1 on the axes of its fact, and 1 or the tensor's own size
on the others (a `Number` has no axes at all). It is made of weights and other values that do not depend on the
inactive positions, and of torch calls: a pass writes each `Applied` as one `aten.call` on one row.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from xdsl.dialects.builtin import BFloat16Type, Float16Type, Float32Type, Float64Type, IntegerType, Signedness, f32
from xdsl.ir import Attribute

from ...dialects.aten import CallOp, tensor_of
from ...dialects.template import Argument, Name, Ref, Template
from ..solvers.sizes import Size
from .indices import Var

Sizes: TypeAlias = tuple[Size, ...]


@dataclass(frozen=True)
class Number:
    """The same number everywhere. The element type of the tensor represents it exactly."""

    value: float

    @property
    def sizes(self) -> Sizes:
        return ()

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True)
class Whole:
    """A value of the program as it is: a weight, mostly."""

    var: Var
    sizes: Sizes
    element: Attribute

    def __str__(self) -> str:
        return str(self.var)


@dataclass(frozen=True)
class Applied:
    """What a torch call makes of other fills, a tensor of `sizes` with elements of type `element`."""

    target: str
    template: Template
    operands: "tuple[Fill, ...]"
    sizes: Sizes
    element: Attribute

    def __str__(self) -> str:
        name = self.target.split(".")[1]
        if name == "full":
            return f"{self.template.args[1]:g}"
        shown = [str(operand) for operand in self.operands]
        return shown[0] if name in ("view", "expand", "permute") else f"{name}({', '.join(shown)})"


Fill: TypeAlias = Number | Whole | Applied

ZERO, ONE, NEGATIVE_INFINITY = Number(0.0), Number(1.0), Number(-math.inf)

DTYPES: dict[Attribute, str] = {
    Float64Type(): "float64", Float32Type(): "float32", Float16Type(): "float16", BFloat16Type(): "bfloat16",
    IntegerType(1): "bool", IntegerType(8): "int8", IntegerType(16): "int16", IntegerType(32): "int32",
    IntegerType(64): "int64", IntegerType(8, Signedness.UNSIGNED): "uint8",
}  # fmt: skip
"""torch's names of the element types that a fill can have."""

PACKED: dict[Attribute, str] = {Float16Type(): "<e", Float32Type(): "<f", Float64Type(): "<d"}


def represents(element: Attribute, value: float) -> bool:
    """Does the element type hold `value` exactly? All hold 0, none holds NaN."""
    if value == 0:
        return True
    if isinstance(element, IntegerType):
        signed = element.signedness.data is not Signedness.UNSIGNED and element.width.data > 1
        bits = element.width.data - signed
        return value == math.floor(value) and -(2**bits) * signed <= value < 2**bits if math.isfinite(value) else False
    if isinstance(element, BFloat16Type):
        return represents(f32, value) and struct.pack("<f", value)[:2] == b"\0\0"
    form = PACKED.get(element)
    try:
        return form is not None and struct.unpack(form, struct.pack(form, value))[0] == value
    except OverflowError:
        return False


def filled(value: float, sizes: Sizes, element: Attribute) -> Applied | None:
    """A number as a tensor of `sizes`; None where a size, or a name for the element type, is not known."""
    if element not in DTYPES or not all(isinstance(size, int) for size in sizes):
        return None
    number: Argument = value
    if isinstance(element, IntegerType):
        number = bool(value) if element.width.data == 1 else int(value)
    template = Template((sizes, number), (("dtype", Name(f"torch.{DTYPES[element]}")),))
    return Applied("aten.full.default", template, (), sizes, element)


def viewed(fill: Fill, sizes: Sizes) -> Fill | None:
    """`fill` reshaped; one size may be known only at run time."""
    if fill.sizes == sizes or isinstance(fill, Number):
        return fill
    unknown = [size for size in sizes if not isinstance(size, int)]
    if len(unknown) > 1:
        return None
    target = tuple(size if isinstance(size, int) else -1 for size in sizes)
    return Applied("aten.view.default", Template((Ref(0), target)), (fill,), sizes, fill.element)


def broadcast(shapes: Sequence[Sizes]) -> Sizes:
    """The sizes that operands of these sizes broadcast to."""
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(sizes)) + sizes for sizes in shapes]
    return tuple(next((size for size in axis if size != 1), 1) for axis in zip(*padded, strict=True))


def applied(op: CallOp, fills: Mapping[int, Fill], sizes: Sizes) -> Applied:
    """What `op` makes of its operands' fills: `fills` by operand number, none of them a Number."""
    result = tensor_of(op.results[0]).element_type
    operands = tuple(fills[index] for index in range(len(op.operands)))
    return Applied(op.target.data, op.template.data, operands, sizes, result)


def variables(fill: Fill) -> Iterator[Var]:
    """The values of the program that a fill is made of."""
    if isinstance(fill, Whole):
        yield fill.var
    elif isinstance(fill, Applied):
        for operand in fill.operands:
            yield from variables(operand)


def ones(sizes: Sizes) -> Sizes:
    """As many axes, each of size 1."""
    return (1,) * len(sizes)
