"""Who was active in each row, a step and a sample: lists of neurons, as kernels write and read them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Lists:
    """Those of row r are, for each segment s, `counts[r, s]` entries of `ids[r]` from `starts[s]`; all ascending.

    `ids` int32 [rows, stride], `counts` int64 [rows, splits], `starts` int64 [splits + 1].
    """

    ids: np.ndarray
    counts: np.ndarray
    starts: np.ndarray

    @classmethod
    def empty(cls, rows: int, stride: int, starts: np.ndarray) -> "Lists":
        """Room for lists."""
        return cls(np.empty((rows, stride), np.int32), np.zeros((rows, len(starts) - 1), np.int64), starts)

    @cached_property
    def addresses(self) -> dict[str, int]:
        """Where they lie, and the numbers that they are read by."""
        buffers = {"ids": self.ids, "counts": self.counts, "starts": self.starts}
        found = {name: buffer.ctypes.data for name, buffer in buffers.items()}
        return found | {"splits": self.counts.shape[1], "stride": self.ids.shape[1]}

    def arguments(self, name: str) -> dict[str, int]:
        """What a kernel is given of them; they have to outlive its call."""
        return {f"{name}.{key}": value for key, value in self.addresses.items()}

    def put(self, row: int, neurons: np.ndarray) -> None:
        """Make `neurons` the list of a row, where there is one segment."""
        self.ids[row, : len(neurons)] = neurons
        self.counts[row, 0] = len(neurons)

    def of(self, row: int) -> np.ndarray:
        """The neurons of a row, ascending."""
        found = [self.ids[row, a : a + n] for a, n in zip(self.starts[:-1], self.counts[row], strict=True)]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def dense(self, begin: int, end: int, size: int, dtype: np.dtype) -> np.ndarray:
        """Ones where a neuron was active, [rows from begin to end, size]."""
        full = np.zeros((end - begin, size), dtype)
        for row in range(begin, end):
            full[row - begin, self.of(row)] = 1
        return full


@dataclass(frozen=True)
class Tiles:
    """Of a projection: which tiles of steps were dense, int64 by the step that they begin with, and their raster."""

    dense: np.ndarray
    raster: np.ndarray

    @cached_property
    def addresses(self) -> dict[str, int]:
        """Where they lie."""
        return {"dense": self.dense.ctypes.data, "raster": self.raster.ctypes.data}
