"""Torch's types in the IR.

| torch                                     | IR                                                   |
|-------------------------------------------|------------------------------------------------------|
| float32 tensor of sizes (s72, 768)        | `tensor<?x768xf32, #aten.dims<"s72", 768>>`          |
| bool, int8 .. int64, uint8 elements       | `i1`, `i8` .. `i64`, `ui8`                           |
| complex64 elements                        | `complex<f32>`                                       |
| SymInt `4*s72`, int 3                     | `!aten.scalar<int, "4*s72">`, `!aten.scalar<int, "3">` |
| None, a sparse tensor, a quantized tensor | `!aten.object<"NoneType">`, ..                       |
"""

import torch
from xdsl.dialects.builtin import StringAttr
from xdsl.ir import TypeAttribute

from ...dialects.aten import ObjectType, ScalarType, tensor_type
from ...runtime.dtypes import ELEMENT_TYPES

SCALARS: dict[type, str] = {
    bool: "bool",
    int: "int",
    float: "float",
    torch.SymBool: "bool",
    torch.SymInt: "int",
    torch.SymFloat: "float",
}


def size(value: int | torch.SymInt) -> int | str:
    """A size: an integer, or its expression as text."""
    text = str(value)
    return int(text) if text.isdecimal() else text


def type_of(value: object) -> TypeAttribute:
    """The IR type of an example value (export's are fake: sizes without data)."""
    if isinstance(value, torch.Tensor):
        sizes = [size(s) for s in value.shape]
        element = ELEMENT_TYPES.get(value.dtype) if value.layout is torch.strided else None
        if element is not None:
            return tensor_type(element, sizes)
        shape = ", ".join(map(str, sizes))
        return ObjectType(StringAttr(f"{value.layout} tensor of {value.dtype}, sizes ({shape})"))
    if kind := SCALARS.get(type(value)):
        return ScalarType(StringAttr(kind), StringAttr(str(value)))
    return ObjectType(StringAttr(type(value).__name__))
