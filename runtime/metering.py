"""The memory that a program's values take while it runs, to the byte, and where each value lies.

    meter = Meter.over([*weights.values(), *args])
    Program.build(module, weights, "step", observer=meter)(args)
    meter.peak, meter.static                    the most bytes alive at once; those of weights and arguments among them
    meter.places[op]                            of each result: ("new", 4096), ("operand", 0) or ("result", 1)

Storages are counted, each once, from the op that makes them until Python lets go of the last tensor in them. What torch
takes and gives back inside one op is not seen here; see `allocations.py`.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from xdsl.ir import Operation

Place = tuple[str, int]

PARTS: dict[torch.layout, Callable[[Tensor], tuple[Tensor, ...]]] = {
    torch.strided: lambda tensor: (tensor,),
    torch.sparse_coo: lambda tensor: (tensor._indices(), tensor._values()),
    torch.sparse_csr: lambda tensor: (tensor.crow_indices(), tensor.col_indices(), tensor.values()),
    torch.sparse_csc: lambda tensor: (tensor.ccol_indices(), tensor.row_indices(), tensor.values()),
}
"""The dense tensors that a tensor is made of, by its layout."""


@dataclass
class Meter:
    """An observer that counts storages. `live` now, `peak` at most; `places` of each op."""

    static: int = 0
    live: int = 0
    peak: int = 0
    places: dict[Operation, tuple[Place, ...]] = field(default_factory=dict)
    peaks: list[tuple[Operation, int]] = field(default_factory=list)
    known: dict[int, int] = field(default_factory=dict)
    inside: list[int] = field(default_factory=list)

    @classmethod
    def over(cls, given: Iterable[Any]) -> "Meter":
        """A meter of a program that starts with the tensors among `given`."""
        meter = cls()
        for storage in storages(list(given)):
            meter.known[storage._cdata] = storage.nbytes()
        meter.static = meter.live = meter.peak = sum(meter.known.values())
        return meter

    def begin(self, op: Operation, /) -> None:
        """What functions of `op` take counts for it."""
        self.inside.append(self.live)

    def end(self, op: Operation, results: Sequence[Any], operands: Sequence[Any], /) -> None:
        """Count new storages."""
        self.places[op] = tuple(self.place(results, index, operands) for index in range(len(results)))
        most = max(self.inside.pop(), self.live)
        self.peak = max(self.peak, most)
        self.peaks.append((op, most))
        if self.inside:
            self.inside[-1] = max(self.inside[-1], most)

    def place(self, results: Sequence[Any], index: int, operands: Sequence[Any]) -> Place:
        """Where one result lies; a function of the op may have made it, and counted it, before.

        One that lies in several places, as a sparse tensor may, counts as new: rather too much than too little.
        """
        found = list(storages(results[index]))
        homes = {self.home(storage, results[:index], operands) for storage in found}
        if len(homes) == 1 and (home := homes.pop()) is not None:
            return home
        for storage in found:
            if storage._cdata not in self.known:
                self.add(storage)
        return "new", sum(storage.nbytes() for storage in found)

    def home(self, storage: torch.UntypedStorage, results: Sequence[Any], operands: Sequence[Any]) -> Place | None:
        """Which result or operand lies in a storage."""
        for kind, values in (("result", results), ("operand", operands)):
            for number, value in enumerate(values):
                if any(other._cdata == storage._cdata for other in storages(value)):
                    return kind, number
        return None

    def add(self, storage: torch.UntypedStorage) -> None:
        """Count a storage until it is given back."""
        key, size = storage._cdata, storage.nbytes()
        self.known[key] = size
        self.live += size
        weakref.finalize(storage, self.freed, key).atexit = False

    def freed(self, key: int) -> None:
        """A storage is gone."""
        self.live -= self.known.pop(key)


def storages(value: Any) -> Iterator[torch.UntypedStorage]:
    """The storages of the tensors in `value`, each once; a sparse one lies in those of its indices and values."""
    tensors = [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
    dense = [part for tensor in tensors for part in (PARTS[tensor.layout](tensor) if tensor.layout in PARTS else ())]
    yield from {storage._cdata: storage for storage in (leaf.untyped_storage() for leaf in dense)}.values()
