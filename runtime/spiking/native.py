"""Kernels of populations, as they are called: every argument by its name.

call = kernel.call({"begin": 0, "end": 100, "batch": 1, "state.v": v, ..})
call(threads=2)                     the whole, by a team of threads
call.between(3, 4)(threads=1)       the steps from 3 to 4
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, IntegerAttr, ModuleOp, StringAttr
from xdsl.traits import SymbolTable

from ...dialects.kernel import ARGUMENTS
from ...dialects.snn import NetworkOp
from ..kernel_code import Entry, code_of
from ..native import available

RANGE = Struct("2q")
"""begin and end, the first arguments."""


@dataclass(frozen=True)
class Kernel(Entry):
    """A kernel's entries, the names of its arguments, and how its columns are laid out."""

    names: tuple[str, ...]
    width: int
    unit: int
    tile: int
    line: int

    def form(self, number: int) -> str:
        """How the projection of that number is summed."""
        names = {name.partition(".")[2] for name in self.names if name.startswith(f"projection{number}.")}
        return "rows" if "rows" in names else "sparse" if "offsets" in names else "given"

    def call(self, given: Mapping[str, "np.ndarray | int"]) -> "Call":
        """A call with these arguments; those that the kernel does not take are left out."""
        values = [given[name] for name in self.names]
        addresses = [value if isinstance(value, int) else value.ctypes.data for value in values]
        return Call(self, bytearray(Struct(f"{len(values)}q").pack(*addresses)), values)


@dataclass(frozen=True)
class Call:
    """Arguments in memory; `alive` are the buffers."""

    kernel: Kernel
    arguments: bytearray
    alive: list

    def __call__(self, threads: int) -> None:
        place = (ctypes.c_char * len(self.arguments)).from_buffer(self.arguments)
        self.kernel.start(place, threads)

    def between(self, begin: int, end: int) -> "Call":
        """The same for these steps."""
        RANGE.pack_into(self.arguments, 0, begin, end)
        return self


def kernels_of(network: NetworkOp) -> dict[str, Kernel]:
    """The kernels of a network, by population; empty where one has none, or nothing compiles here."""
    found: dict[str, Kernel] = {}
    around = network.parent_op()
    for op in network.populations() if available() else ():
        module = SymbolTable.lookup_symbol(around, op.kernel) if around and op.kernel else None
        if not isinstance(module, ModuleOp) or (code := code_of(module)) is None:
            return {}
        names = module.attributes[ARGUMENTS]
        assert isinstance(names, ArrayAttr)
        sizes = (module.attributes.get(f"kernel.{name}") for name in ("width", "unit", "tile", "line"))
        width, unit, tile, line = (size.value.data if isinstance(size, IntegerAttr) else 0 for size in sizes)
        texts = tuple(name.data for name in names if isinstance(name, StringAttr))
        entry = Entry.of(code, "step")
        found[op.sym_name.data] = Kernel(entry.serial, entry.parallel, texts, width, unit, tile, line)
    return found
