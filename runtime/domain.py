"""A domain at run time: the active positions of an index space, ascending.

    mask   1 1 0 0        rows       0 1  5 6 7        (row-major positions)
           0 1 1 1        sequences  (number 0, rows 0:2, columns 0:2), (number 1, rows 2:5, columns 1:4)

Everything is found once and kept: many gathers, scatters and attentions share one domain. Finding the rows of a mask
costs one `nonzero` (13 us for 4,096 flags), the sequences one `unique_consecutive` and one copy to the host.
"""

import math
from collections.abc import Hashable
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

SORTED = 16
"""Marking a position among as many others takes as long as sorting one entry."""


class Sequence(NamedTuple):
    """The active positions of one sequence: rows `start:stop` of the compact form, within columns `low:high`."""

    number: int
    start: int
    stop: int
    low: int
    high: int

    @property
    def contiguous(self) -> bool:
        """Is every column of `low:high` active? Then a slice of a full tensor is a view."""
        return self.high - self.low == self.stop - self.start


class Run(NamedTuple):
    """Neighbouring sequences of one length: `sequences * length` rows of the compact form."""

    sequences: int
    length: int


class Domain:
    """Active positions of the index space `space`.

    `rows` is int64 [active], ascending row-major positions. `everywhere` says that they are all positions: kernels
    then move nothing.
    """

    def __init__(self, space: tuple[int, ...], rows: Tensor, everywhere: bool = False):
        self.space = tuple(space)
        self.rows = rows
        self.everywhere = everywhere
        self.memo: dict[Hashable, Any] = {}
        self.recent: dict[Hashable, Any] = {}

    @classmethod
    def of(cls, mask: Tensor) -> "Domain":
        """Where `mask`, of any dtype, is not zero; NaN is not zero."""
        return cls(tuple(mask.shape), mask.reshape(-1).nonzero().squeeze(1))

    @classmethod
    def listed(cls, entries: Tensor, size: int) -> "Domain":
        """The positions of an axis of `size` that `entries` name, modulo `size`."""
        entries = entries.reshape(-1).long()
        if not entries.numel() or not size:
            return cls((size,), entries[:0])
        low, high = (int(bound) for bound in entries.aminmax())
        if low < 0 or high >= size:
            entries = entries % size
        if entries.numel() * SORTED < size:
            return cls((size,), torch.unique(entries))
        return cls.of(torch.zeros(size, dtype=torch.bool, device=entries.device).index_fill(0, entries, True))

    @classmethod
    def all(cls, space: tuple[int, ...], device: torch.device | str = "cpu") -> "Domain":
        """Every position of `space`."""
        return cls(space, torch.arange(math.prod(space), device=device), everywhere=True)

    def whole(self) -> "Domain":
        """Every position of the same index space."""
        return Domain.all(self.space, self.rows.device)

    def padded(self, multiple: int) -> "Domain":
        """With the last position repeated up to a multiple of `multiple`; everywhere when that would be all.

        Everywhere, too, while gradients are taken: a repeated row would count twice.
        """
        size = -(-self.size // multiple) * multiple
        if size >= self.total or torch.is_grad_enabled():
            return self.whole()
        return Domain(self.space, torch.cat((self.rows, self.rows[-1:].expand(size - self.size))))

    @cached_property
    def total(self) -> int:
        """Number of positions of the index space."""
        return math.prod(self.space)

    @property
    def size(self) -> int:
        """Number of active positions."""
        return self.rows.shape[0]

    @property
    def density(self) -> float:
        """Active positions / all positions; 1 for an empty index space."""
        return self.size / self.total if self.total else 1.0

    def coordinate(self, axis: int) -> Tensor:
        """The coordinate of each active position along `axis`, int64 [active]."""
        if (known := self.memo.get(axis)) is None:
            stride = math.prod(self.space[axis + 1 :])
            rows = self.rows if stride == 1 else self.rows // stride
            known = self.memo[axis] = rows if axis == 0 else rows % self.space[axis]
        return known

    @cached_property
    def sequences(self) -> list[Sequence]:
        """Active positions by all axes but the last; sequences without any are left out."""
        length = self.space[-1]
        if not self.size:
            return []
        index, counts = torch.unique_consecutive(self.rows // length, return_counts=True)
        stop = counts.cumsum(0)
        start = stop - counts
        low, high = self.rows[start] - index * length, self.rows[stop - 1] - index * length + 1
        return [Sequence(*numbers) for numbers in torch.stack((index, start, stop, low, high), 1).tolist()]

    @cached_property
    def runs(self) -> list[Run]:
        """Sequences that one batched call can take together, in order."""
        lengths = (sequence.stop - sequence.start for sequence in self.sequences)
        return [Run(len(list(group)), length) for length, group in groupby(lengths)]

    def columns(self, sequence: Sequence) -> Tensor:
        """Active positions of `sequence` along the last axis, int64."""
        return self.coordinate(len(self.space) - 1)[sequence.start : sequence.stop]

    def remember(self, key: Hashable, value: Any) -> None:
        """Keep `value` in `recent`, and drop all but the last two: they may be large."""
        self.recent[key] = value
        if len(self.recent) > 2:
            del self.recent[next(iter(self.recent))]

    def __repr__(self) -> str:
        where = "everywhere" if self.everywhere else f"{self.size} of {self.total} active"
        return f"Domain({list(self.space)}, {where})"
