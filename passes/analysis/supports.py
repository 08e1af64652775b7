"""What tells which positions of a last axis are active: the values of a tensor, or a list of positions.

nz(%relu)           where any row of %relu is not zero
listed(%topk_1)     the positions that the entries of %topk_1 name
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from xdsl.ir import SSAValue

from ..solvers.sizes import Size
from .calls import shape


@dataclass(frozen=True)
class Columns:
    """Positions of a last axis where any row of `value` is not zero (`negated`: is zero)."""

    value: SSAValue
    negated: bool = False

    @property
    def values(self) -> tuple[SSAValue, ...]:
        """What it is found from."""
        return (self.value,)

    def map(self, of: Callable[[SSAValue], SSAValue]) -> "Columns":
        """The same of other values."""
        return replace(self, value=of(self.value))

    def __str__(self) -> str:
        return f"{'not ' * self.negated}nz(%{self.value.name_hint})"


@dataclass(frozen=True)
class Listed:
    """Positions of an axis of `size` that entries of integer tensors name, each plus a number, and some `positions`."""

    entries: tuple[tuple[SSAValue, int], ...]
    positions: tuple[int, ...]
    size: int

    @property
    def values(self) -> tuple[SSAValue, ...]:
        """What it is found from."""
        return tuple(value for value, _ in self.entries)

    def length(self, number_of: Callable[[Size], float]) -> float:
        """How many entries there are; `number_of` tells a size as a number."""
        return sum(math.prod(map(number_of, shape(value))) for value in self.values) + len(self.positions)

    def map(self, of: Callable[[SSAValue], SSAValue]) -> "Listed":
        """The same of other values."""
        return replace(self, entries=tuple((of(value), offset) for value, offset in self.entries))

    def __str__(self) -> str:
        named = [f"%{value.name_hint}" + (f" + {offset}" if offset else "") for value, offset in self.entries]
        return f"listed({', '.join([*named, *map(str, self.positions)])})"


Support: TypeAlias = Columns | Listed
