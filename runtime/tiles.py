"""Tiles at run time: rows in an order, `height` of them a tile, and the active positions of each tile.

    rows 0: a . . b     tile of 0 and 2: 0, 3         index   0 2 1 1 | 2 1 | 0 3 . . 2 . . .
         1: . . c .     tile of 1:       2                    order     sizes  positions, K for each tile
         2: d . . .

One tensor holds everything, as kernels read it; the last row stands again where rows are too few for a tile.
"""

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from ..dialects.tiles import sampled


class Tiles:
    """Tiles of the rows of a tensor of sizes `space`. `everywhere` says that all positions of all rows are active."""

    def __init__(self, space: Sequence[int], height: int, index: Tensor, everywhere: bool = False):
        self.space = tuple(space)
        self.height = height
        self.index = index
        self.everywhere = everywhere

    @classmethod
    def of(cls, x: Tensor, height: int, *, clustered: bool = False) -> "Tiles":
        """Where `x` is not zero; NaN is not zero."""
        active = (x != 0).reshape(-1, x.shape[-1])
        order = clusters(active, height) if clustered else list(range(len(active)))
        order += order[-1:] * (-len(order) % height)
        shared = active[order].reshape(-1, height, x.shape[-1]).any(1)
        index = torch.zeros(len(order) + len(shared) * (1 + x.shape[-1]), dtype=torch.int64, device=x.device)
        found = cls(x.shape, height, index)
        found.order.copy_(torch.tensor(order, dtype=torch.int64))
        found.sizes.copy_(shared.sum(1))
        for tile, columns in enumerate(shared):
            found.columns(tile).copy_(columns.nonzero().squeeze(1))
        return found

    @classmethod
    def all(cls, space: Sequence[int], device: torch.device | str = "cpu") -> "Tiles":
        """Every position of every row."""
        return cls(space, 1, torch.empty(0, dtype=torch.int64, device=device), everywhere=True)

    def whole(self) -> "Tiles":
        """Every position of the same rows."""
        return Tiles.all(self.space, self.index.device)

    @cached_property
    def rows(self) -> int:
        """The number of rows."""
        return math.prod(self.space[:-1])

    @property
    def number(self) -> int:
        """The number of tiles."""
        return -(-self.rows // self.height)

    @property
    def order(self) -> Tensor:
        """The rows of every tile, int64 [number * height]."""
        return self.index[: self.number * self.height]

    @property
    def sizes(self) -> Tensor:
        """How many positions of each tile are active, int64 [number]."""
        return self.index[self.number * self.height : self.number * (self.height + 1)]

    @cached_property
    def active(self) -> int:
        """The active positions of all tiles together."""
        return int(self.sizes.sum())

    def columns(self, tile: int) -> Tensor:
        """The active positions of a tile, ascending."""
        first = self.number * (self.height + 1) + tile * self.space[-1]
        return self.index[first : first + int(self.sizes[tile])]

    @property
    def density(self) -> float:
        """Products that the tiles make / all products; more than 1 where tiles are not full. 1 where there are none."""
        total = math.prod(self.space)
        return 1.0 if self.everywhere or not total else self.active * self.height / total

    def __repr__(self) -> str:
        where = (
            "everywhere" if self.everywhere else f"{self.number} of height {self.height}, density {self.density:.3f}"
        )
        return f"Tiles({list(self.space)}, {where})"


def clusters(active: Tensor, height: int) -> list[int]:
    """Rows in an order in which those that are active alike are neighbours.

    The first row that is left leads a tile; those join it that differ from it at the fewest sampled positions.
    """
    runs = [active[:, first : first + length] for first, length in sampled(active.shape[1])]
    flags = torch.cat(runs, 1).float()
    apart = torch.cdist(flags, flags, p=1.0).tolist()
    left, order = list(range(len(active))), list[int]()
    while left:
        tile = sorted(left, key=apart[left[0]].__getitem__)[:height]
        order += tile
        left = [row for row in left if row not in tile]
    return order
