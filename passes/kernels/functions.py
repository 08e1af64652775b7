"""Which function is written for so many rows.

| rows                                      | skip_k               | support           |
|-------------------------------------------|----------------------|-------------------|
| 1                                         | `skip_k_row.py`      | `support.py`      |
| as many as are bound by memory            | `skip_k_stream.py`   | `support_rows.py` |
| more                                      | `skip_k.py`          | `support_rows.py` |
"""

from xdsl.dialects.func import FuncOp

from .shapes import Shape
from .signature import Machine
from .skip_k import skip_k
from .skip_k_row import skip_k_row
from .skip_k_stream import skip_k_stream, streams
from .support import Activation, support
from .support_rows import support_rows


def activation_flag(shape: Shape) -> Activation:
    """What is done to x first."""
    return next((flag for flag in shape.flags if isinstance(flag, Activation)), Activation.NONE)


def product_along_k(rows: int, shape: Shape, machine: Machine) -> FuncOp:
    """The function that skips along k, of `rows` rows, or up to so many where the shape does not say."""
    sizes, options = (shape.inputs, shape.outputs, shape.element), {"exact": shape.rows is not None}
    bias, activation = "bias" in shape.flags, activation_flag(shape)
    if rows == 1:
        return skip_k_row(*sizes, bias=bias, activation=activation, machine=machine)
    make = skip_k_stream if streams(rows, shape.element) else skip_k
    return make(rows, *sizes, bias=bias, activation=activation, machine=machine, **options)


def support_of_rows(rows: int, shape: Shape, *, keep: bool = True, name: str = "") -> FuncOp:
    """The function that finds where up to `rows` rows are active; what it makes of them is written if `keep`."""
    if rows == 1:
        return support(shape.inputs, shape.element, activation_flag(shape), keep=keep, name=name)
    return support_rows(rows, shape.inputs, shape.element, activation_flag(shape), keep=keep, name=name)
