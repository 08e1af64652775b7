"""Arguments of a torch call as template arguments.

torch.float32            torch.float32                    [1, None]          [1, none]
torch.device("cpu")      device<"cpu">                    slice(0, None)     [slice, 0, none, none]
torch.ops.aten.add       op<"aten.add.Tensor">            {"a": 1}           [dict, ["a", 1]]
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ...dialects.diagnostics import UserError
from ...dialects.template import Argument, Literal, Name


def by_name(value: object) -> Name:
    """`torch.float32`"""
    return Name(str(value))


LITERALS: dict[type, Callable[[Any], Literal]] = {
    type(None): lambda _: None,
    bool: bool,
    int: int,
    float: float,
    complex: complex,
    str: str,
    torch.dtype: by_name,
    torch.layout: by_name,
    torch.memory_format: by_name,
    torch.qscheme: by_name,
    torch.device: lambda value: Name("device", str(value)),
    torch._ops.OpOverload: lambda value: Name("op", str(value)),
    type(...): lambda _: Name("ellipsis"),
}
"""What can be written down, by its type."""


def argument(value: object, leaf: Callable[[object], Argument]) -> Argument:
    """`value` with lists, tuples, dicts and slices as tuples, and everything else as `leaf` makes it."""
    if isinstance(value, list | tuple):
        return tuple(argument(item, leaf) for item in value)
    if isinstance(value, Mapping):
        return (Name("dict"), *((literal(key), argument(item, leaf)) for key, item in value.items()))
    if isinstance(value, slice):
        return (Name("slice"), *(argument(part, leaf) for part in (value.start, value.stop, value.step)))
    return leaf(value)


def literal(value: object) -> Literal:
    """A constant. Raises UserError for an object that cannot be written down."""
    make = next((make for kind, make in LITERALS.items() if isinstance(value, kind)), None)
    if make is None:
        raise UserError(
            f"a value of type {type(value).__name__} cannot be part of a compiled program",
            details=[f"value: {value!r:.200}"],
            hint="pass tensors, numbers, strings, dtypes or devices",
        )
    return make(value)
