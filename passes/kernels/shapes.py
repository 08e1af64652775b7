"""What a kernel is written for: sizes, element type, and what else it does.

Shape(3072, 768, rows=1, element=f32, flags=("bias",)).name("skip_k")   ->   skip_k_3072x768_f32_bias_rows1
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from xdsl.dialects.builtin import BFloat16Type, Float32Type, TensorType
from xdsl.ir import SSAValue

from ...dialects.aten import dims
from ...dialects.tiles import HEIGHTS, TilesType
from .signature import BLOCKS, Element

MOST_ROWS = BLOCKS[-1]
CLUSTERED = "clustered"
"""A flag: rows are brought together that are active alike."""


@dataclass(frozen=True)
class Shape:
    """Widths of what comes in and goes out. `rows` is None where that is known only when it runs.

    Of tiles, `rows` are those of one, and `height` is what they have at most where that is known only when it runs.
    """

    inputs: int
    outputs: int
    rows: int | None
    element: Element
    flags: tuple[str, ...] = ()
    height: int = 0

    @property
    def counts(self) -> tuple[int, ...]:
        """The row counts that functions are written for."""
        if self.height:
            return tuple(height for height in HEIGHTS if height <= self.height)
        return BLOCKS if self.rows is None else (self.rows,)

    def with_flags(self, flags: tuple[str, ...]) -> "Shape":
        """With what else the kernel does."""
        return replace(self, flags=flags)

    def name(self, form: str) -> str:
        """The kernel's name, with the number of rows if that is static."""
        rows = () if self.rows is None else (f"rows{self.rows}",)
        rows = (*rows, f"upto{self.height}") if self.height else rows
        return "_".join((form, f"{self.inputs}x{self.outputs}", str(self.element), *self.flags, *rows))


def number_of_rows(x: SSAValue) -> int | None:
    """Rows of `x`, all axes but the last; None where that is known only when it runs."""
    count = 1
    for size in dims(x.type)[:-1]:
        if not isinstance(size, int):
            return None
        count *= size
    return count


def element_of(values: Sequence[SSAValue]) -> Element | None:
    """The one type of all numbers; None where they differ or there is no kernel for it."""
    found = {value.type.element_type for value in values if isinstance(value.type, TensorType)}
    element = found.pop()
    return element if not found and isinstance(element, Float32Type | BFloat16Type) else None


def shape_of(inputs: object, outputs: object, x: SSAValue, values: Sequence[SSAValue]) -> Shape | None:
    """What kernel works on rows of `x`, with all numbers of `values`; None where there is none."""
    element, rows = element_of(values), number_of_rows(x)
    if element is None or not isinstance(inputs, int) or not isinstance(outputs, int):
        return None
    if not inputs or not outputs or (rows is not None and not 1 <= rows <= MOST_ROWS):
        return None
    return Shape(inputs, outputs, rows, element)


def tiled_shape_of(inputs: object, outputs: object, tiles: SSAValue, values: Sequence[SSAValue]) -> Shape | None:
    """What kernel works on these tiles of rows, with all numbers of `values`; None where there is none."""
    element, kind = element_of(values), tiles.type
    assert isinstance(kind, TilesType)
    if element is None or not isinstance(inputs, int) or not isinstance(outputs, int) or not inputs or not outputs:
        return None
    known = [size for size in kind.sizes[:-1] if isinstance(size, int)]
    if len(known) < len(kind.sizes) - 1:
        return Shape(inputs, outputs, None, element, height=kind.height.data)
    rows = math.prod(known)
    return Shape(inputs, outputs, height_for(rows, kind.height.data), element) if rows else None


def height_for(rows: int, most: int) -> int:
    """How high tiles of so many rows are: no higher than that, as far as there are heights."""
    return next((height for height in HEIGHTS if rows <= height <= most), most)
