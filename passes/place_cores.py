"""Put each tile of a mapped program on a core of the array, near the tiles it sends to.

    core.tile 0 level 1 holds {hidden = 64}    ->    core.tile 0 at 5 level 1 holds {hidden = 64}

Legal always; tiles that have a place get another. Pays by the links that packets go over (`solvers/core_placement.py`).
Cubic in the number of tiles: 0.1 s for 256, a few seconds for 1,024.
"""

from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.passes import ModulePass

from ..dialects.core import ArrayOp, ProgramOp
from ..dialects.snn_maps import symbol_of
from .solvers.core_placement import place


def programs(module: ModuleOp) -> list[tuple[ProgramOp, ArrayOp]]:
    """The mapped programs of a module, each with its array."""
    found = [(op, symbol_of(op, op.array)) for op in module.ops if isinstance(op, ProgramOp)]
    return [(program, array) for program, array in found if isinstance(array, ArrayOp)]


def traffic_of(program: ProgramOp) -> np.ndarray:
    """Packets a step from each tile to each, [tiles, tiles]."""
    tiles = len(list(program.tiles()))
    traffic = np.zeros((tiles, tiles))
    for edge in program.edges():
        traffic[edge.source.value.data, edge.target.value.data] = edge.traffic.value.data
    return traffic


@dataclass(frozen=True)
class PlaceCores(ModulePass):
    name = "place-cores"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for program, array in programs(op):
            width, height = array.mesh.data
            where = place(traffic_of(program), (width, height), array.cores_per_tile.value.data)
            for tile, core in zip(program.tiles(), where, strict=True):
                tile.properties["at"] = IntegerAttr(int(core), i64)
