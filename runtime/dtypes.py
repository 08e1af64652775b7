"""Element types of the IR and dtypes of torch, both ways.

f32 <-> torch.float32    i1 <-> torch.bool    i64 <-> torch.int64    ui8 <-> torch.uint8    complex<f32> <-> ..
"""

import torch
from xdsl.dialects.builtin import (
    ComplexType,
    Float8E4M3FNType,
    Float8E4M3FNUZType,
    Float8E5M2FNUZType,
    Float8E5M2Type,
    Float8E8M0FNUType,
    IntegerType,
    Signedness,
    bf16,
    f16,
    f32,
    f64,
    i1,
    i8,
    i16,
    i32,
    i64,
)
from xdsl.ir import Attribute

DTYPES: dict[Attribute, torch.dtype] = {
    f64: torch.float64,
    f32: torch.float32,
    f16: torch.float16,
    bf16: torch.bfloat16,
    Float8E4M3FNType(): torch.float8_e4m3fn,
    Float8E4M3FNUZType(): torch.float8_e4m3fnuz,
    Float8E5M2Type(): torch.float8_e5m2,
    Float8E5M2FNUZType(): torch.float8_e5m2fnuz,
    Float8E8M0FNUType(): torch.float8_e8m0fnu,
    ComplexType(f16): torch.complex32,
    ComplexType(f32): torch.complex64,
    ComplexType(f64): torch.complex128,
    i1: torch.bool,
    i8: torch.int8,
    i16: torch.int16,
    i32: torch.int32,
    i64: torch.int64,
    IntegerType(8, Signedness.UNSIGNED): torch.uint8,
    IntegerType(16, Signedness.UNSIGNED): torch.uint16,
    IntegerType(32, Signedness.UNSIGNED): torch.uint32,
    IntegerType(64, Signedness.UNSIGNED): torch.uint64,
}
"""Every element type that a torch tensor can have."""

ELEMENT_TYPES: dict[torch.dtype, Attribute] = {dtype: element for element, dtype in DTYPES.items()}


def dtype_name(dtype: torch.dtype) -> str:
    """`float32`"""
    return str(dtype).removeprefix("torch.")


def describe(value: object) -> str:
    """A run-time value in few words: `float32 [2, 3]`, `7`, `None`, `a Domain`."""
    if isinstance(value, torch.Tensor):
        place = "" if value.device.type == "cpu" else f" on {value.device}"
        return f"{dtype_name(value.dtype)} {list(value.shape)}{place}"
    if value is None or isinstance(value, bool | int | float | complex | str):
        return repr(value)
    return f"a {type(value).__name__}"
