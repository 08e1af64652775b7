"""Say what each core waits for: slots for every edge, as few as keep the pace, and the proof that none waits for ever.

    core.tile 0 at 5 .. work 812.0                  core.tile 0 at 5 .. work 812.0 potential 0
    core.tile 1 at 6 .. work 790.5            ->    core.tile 1 at 6 .. work 790.5 potential -1
    core.edge 0 to 1 delays 0 to 3 ..               core.edge 0 to 1 delays 0 to 3 .. slots 5

A core starts step t once it has all spikes for it, and once those that hear it have room for what it sends. With K
slots an edge of delays `least` to `longest` is a pair of arcs of a marked graph, of `least` and K - `longest` tokens;
potentials certify that every cycle holds a token (`solvers/marked_graph.py`), and the verifier checks them edge by
edge. `slack` fixes K to `longest` + slack; without it K is sized by the work of the tiles (`solvers/core_slots.py`).
A mapping that cannot run is refused with the cycle. Costs a few shortest paths over tiles and edges.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, FloatAttr, IntegerAttr, ModuleOp, i64
from xdsl.passes import ModulePass

from ..dialects.core import ArrayOp, EdgeOp, Policy, PolicyAttr, ProgramOp, TileOp, number
from ..dialects.diagnostics import UserError, did_you_mean, place_of
from .place_cores import programs
from .solvers.core_slots import size_slots
from .solvers.marked_graph import CoreEdges, DeadlockError, certify


def core_edges(edges: Sequence[EdgeOp]) -> CoreEdges:
    """The edges of a program as arrays."""
    columns = [(e.source, e.target, e.least, e.longest) for e in edges]
    table = np.array([[value.value.data for value in row] for row in columns], np.int64).reshape(-1, 4)
    return CoreEdges(*table.T)


def latencies(array: ArrayOp, tiles: Sequence[TileOp], edges: CoreEdges) -> np.ndarray:
    """Nanoseconds of a packet on each edge, by XY routing without contention; 0 where tiles have no place."""
    times = array.constants.data.get("time")
    table = times.data.items() if isinstance(times, DictionaryAttr) else ()
    cost = {name: value.value.data for name, value in table if isinstance(value, FloatAttr)}
    places = [tile.at for tile in tiles]
    if None in places:
        return np.zeros(len(edges))
    spot = np.array([at.value.data for at in places if at is not None], np.int64) // array.cores_per_tile.value.data
    x, y = spot % array.mesh.data[0], spot // array.mesh.data[0]
    along = [np.abs(axis[edges.source] - axis[edges.target]) for axis in (x, y)]
    return cost.get("tile", 0.0) + along[0] * cost.get("hop_x", 0.0) + along[1] * cost.get("hop_y", 0.0)


def describe(tile: TileOp) -> str:
    """`tile 3 (hidden)`"""
    return f"tile {tile.number.value.data} ({', '.join(tile.holds.data)})"


def deadlock(program: ProgramOp, tiles: Sequence[TileOp], error: DeadlockError) -> UserError:
    """The cycle by the names of what is on it."""
    names = [describe(tiles[core]) for core in [*error.cycle, error.cycle[0]]]
    return UserError(
        f"tiles of {program.network} wait for each other: {' -> '.join(names)}",
        place=place_of(program),
        details=[f"together their edges hold {error.tokens} tokens; a cycle that holds none never starts"],
        hint="give the edges more slots, or a projection on the cycle a delay of 1 or more",
    )


@dataclass(frozen=True)
class AssignDependencies(ModulePass):
    name = "assign-dependencies"
    policy: str = Policy.DEPENDENCY
    slack: int | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.policy not in {*Policy}:
            raise UserError(f"no policy '{self.policy}'", hint=did_you_mean(self.policy, Policy))
        for program, array in programs(op):
            self.assign(program, array)

    def assign(self, program: ProgramOp, array: ArrayOp) -> None:
        """Write slots, potentials and the policy of one program."""
        tiles, edges = list(program.tiles()), list(program.edges())
        arrays = core_edges(edges)
        try:
            slots = self.slots(array, tiles, arrays)
            potentials = certify(len(tiles), arrays, slots)
        except DeadlockError as error:
            raise deadlock(program, tiles, error) from None
        for edge, count in zip(edges, slots, strict=True):
            edge.properties["slots"] = number(int(count))
        for tile, potential in zip(tiles, potentials, strict=True):
            tile.properties["potential"] = IntegerAttr(int(potential), i64)
        program.properties["policy"] = PolicyAttr(Policy(self.policy))

    def slots(self, array: ArrayOp, tiles: Sequence[TileOp], edges: CoreEdges) -> np.ndarray:
        """How many slots each edge gets."""
        if self.slack is not None:
            return edges.dmax + self.slack
        work = np.array([tile.work.value.data for tile in tiles], np.float64)
        return size_slots(work, edges, latencies(array, tiles, edges))
