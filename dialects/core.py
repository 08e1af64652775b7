"""`core`: a network on a core array, with what each core must wait for.

| op                | reads as                                                                              |
|-------------------|---------------------------------------------------------------------------------------|
| `core.array`      | a machine: mesh, limits and costs                                                     |
| `core.program`    | a network mapped onto an array: on which core each neuron is, tiles and edges         |
| `core.tile`       | what one core holds, where it is, and its potential in the certificate                |
| `core.edge`       | spikes go from a core to another: delays, slots, axons                                |

    core.array @loihi1 mesh <8, 4> cores 4 {limits = {neurons = 1024 : i64}, time = {synapse = 3.5 : f64}, ..}
    core.program @digits on @loihi1 policy dependency neurons {hidden = @hidden.cores} {
      core.tile 0 at 5 level 1 holds {hidden = 64 : i64} work 812.0 potential 0
      core.edge 0 to 1 delays 0 to 3 axons 64 traffic 3.1 slots 5
    }

`partition-cores` writes tiles and edges, `place-cores` where tiles are (`at`), `assign-dependencies` slots, potentials
and the policy. Potentials are the certificate that no core waits for ever (see `passes/solvers/marked_graph.py`): the
verifier checks it edge by edge. Of `n` tiles, with w tokens on an edge from u to v,

    potential(v) <= potential(u) + (n + 1) w - 1

where a core edge has `least` tokens forward and `slots - longest` back (Commoner et al. 1971: a marked graph lives if
every cycle holds a token).
"""

from collections.abc import Iterator, Mapping
from enum import auto
from functools import cache

from xdsl.dialects.builtin import (
    I64,
    DictionaryAttr,
    Float64Type,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    f64,
    i64,
)
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, Dialect, Operation, Region, SpacedOpaqueSyntaxAttribute
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_attr_definition,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
)
from xdsl.traits import HasParent, NoTerminator, SymbolOpInterface, SymbolUserOpInterface
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

from .snn import NetworkOp
from .snn_maps import ShapeAttr, symbol_of


class Policy(StrEnum):
    """What a core waits for before a step."""

    DEPENDENCY = auto()
    """the cores it hears, and room at those that hear it"""
    GROUP = auto()
    """the same, but dense blocks of edges go through a collector"""
    BARRIER = auto()
    """all cores"""


@irdl_attr_definition
class PolicyAttr(EnumAttribute[Policy], SpacedOpaqueSyntaxAttribute):
    name = "core.policy"


@irdl_op_definition
class ArrayOp(IRDLOperation):
    """A machine. `constants` are those of `runtime/core_array/machine.py`, by the same names; cores are numbered
    through the tiles of the mesh."""

    name = "core.array"
    sym_name = prop_def(SymbolNameConstraint())
    mesh = prop_def(ShapeAttr)
    cores_per_tile = prop_def(IntegerAttr[I64])
    constants = prop_def(DictionaryAttr)
    traits = traits_def(SymbolOpInterface())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$sym_name `mesh` $mesh `cores` $cores_per_tile $constants attr-dict"

    def __init__(self, name: str, mesh: tuple[int, int], cores_per_tile: int, constants: Mapping[str, Attribute]):
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "mesh": ShapeAttr(tuple(mesh)),
                "cores_per_tile": IntegerAttr(cores_per_tile, i64),
                "constants": DictionaryAttr(dict(constants)),
            }
        )

    @property
    def cores(self) -> int:
        """How many cores it has."""
        width, height = self.mesh.data
        return width * height * self.cores_per_tile.value.data

    def limit(self, name: str) -> int | None:
        """One limit of a core; None where there is none."""
        limits = self.constants.data.get("limits")
        value = limits.data.get(name) if isinstance(limits, DictionaryAttr) else None
        return value.value.data if isinstance(value, IntegerAttr) else None


class NamesNetworkAndArray(SymbolUserOpInterface):
    """A program names a network and an array of its module."""

    def verify(self, op: Operation) -> None:
        assert isinstance(op, ProgramOp)
        if not isinstance(symbol_of(op, op.network), NetworkOp):
            raise VerifyException(f"there is no network {op.network}")
        array = symbol_of(op, op.array)
        if not isinstance(array, ArrayOp):
            raise VerifyException(f"there is no array {op.array}")
        op.verify_capacity(array)


@irdl_op_definition
class ProgramOp(IRDLOperation):
    """A network mapped onto an array. `neurons` gives, for each population that is on cores, the weight with the tile
    of each of its neurons, int32."""

    name = "core.program"
    network = prop_def(SymbolRefAttr)
    array = prop_def(SymbolRefAttr)
    policy = opt_prop_def(PolicyAttr)
    neurons = prop_def(DictionaryAttr)
    body = region_def("single_block")
    traits = traits_def(NoTerminator(), NamesNetworkAndArray())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$network `on` $array (`policy` $policy^)? `neurons` $neurons $body attr-dict"

    def __init__(self, network: str, array: str, neurons: Mapping[str, Attribute], body: Region):
        super().__init__(
            properties={
                "network": SymbolRefAttr(network),
                "array": SymbolRefAttr(array),
                "neurons": DictionaryAttr(dict(neurons)),
            },
            regions=[body],
        )

    def tiles(self) -> "Iterator[TileOp]":
        """What the cores hold, in order of their numbers."""
        return (op for op in self.body.block.ops if isinstance(op, TileOp))

    def edges(self) -> "Iterator[EdgeOp]":
        """Who sends to whom."""
        return (op for op in self.body.block.ops if isinstance(op, EdgeOp))

    def verify_(self) -> None:
        numbers = [op.number.value.data for op in self.tiles()]
        if numbers != list(range(len(numbers))):
            raise VerifyException(f"tiles are numbered from 0 in order, got {numbers[:8]}")
        places = [op.at.value.data for op in self.tiles() if op.at is not None]
        if len(set(places)) != len(places):
            raise VerifyException("two tiles are at one core")
        pairs = [(op.source.value.data, op.target.value.data) for op in self.edges()]
        if len(set(pairs)) != len(pairs):
            raise VerifyException("two edges join the same tiles")
        for source, target in pairs:
            if source == target or not (0 <= source < len(numbers) and 0 <= target < len(numbers)):
                raise VerifyException(f"an edge joins two of {len(numbers)} tiles: {source} to {target}")
        self.verify_certificate(len(numbers))

    def verify_certificate(self, tiles: int) -> None:
        """Every edge holds by the potentials, where there are any."""
        given = [op.potential for op in self.tiles()]
        if None in given:
            if any(value is not None for value in given):
                raise VerifyException("either all tiles have potentials or none has")
            return
        potential = [value.value.data for value in given if value is not None]
        for op in self.edges():
            if op.slots is None:
                raise VerifyException("a program with potentials has slots on every edge")
            source, target = op.source.value.data, op.target.value.data
            forward, back = op.least.value.data, op.slots.value.data - op.longest.value.data
            for u, v, tokens in ((source, target, forward), (target, source, back)):
                if potential[v] > potential[u] + (tiles + 1) * tokens - 1:
                    raise VerifyException(
                        f"the certificate fails from tile {u} to tile {v}: {potential[v]} > "
                        f"{potential[u]} + {tiles + 1} * {tokens} - 1"
                    )

    def verify_capacity(self, array: ArrayOp) -> None:
        """Tiles fit the array, and what they hold fits a core."""
        tiles = list(self.tiles())
        if len(tiles) > array.cores:
            raise VerifyException(f"{len(tiles)} tiles for {array.cores} cores of {self.array}")
        for op in tiles:
            if op.at is not None and not 0 <= op.at.value.data < array.cores:
                raise VerifyException(f"tile {op.number.value.data} is at core {op.at.value.data} of {array.cores}")
            for name, value in op.used():
                limit = array.limit(name)
                if limit is not None and value > limit:
                    raise VerifyException(f"tile {op.number.value.data} has {value} {name}, a core holds {limit}")


@irdl_op_definition
class TileOp(IRDLOperation):
    """What one core holds: neurons by population. `work` is nanoseconds a step, on average in the profile; `uses` are
    resources besides neurons; `level` is that of its neurons (see `snn`); `at` is a core of the array."""

    name = "core.tile"
    number = prop_def(IntegerAttr[I64])
    at = opt_prop_def(IntegerAttr[I64])
    level = prop_def(IntegerAttr[I64])
    holds = prop_def(DictionaryAttr)
    work = prop_def(FloatAttr[Float64Type])
    uses = opt_prop_def(DictionaryAttr)
    potential = opt_prop_def(IntegerAttr[I64])
    traits = traits_def(HasParent(ProgramOp))
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$number (`at` $at^)? `level` $level `holds` $holds (`uses` $uses^)? `work` $work "
        "(`potential` $potential^)? attr-dict"
    )

    def __init__(
        self, number: int, level: int, holds: Mapping[str, int], work: float, uses: Mapping[str, int] | None = None
    ):
        super().__init__(
            properties={
                "number": IntegerAttr(number, i64),
                "level": IntegerAttr(level, i64),
                "holds": integers(holds),
                "work": FloatAttr(work, f64),
                "uses": integers(uses) if uses else None,
            }
        )

    def used(self) -> Iterator[tuple[str, int]]:
        """Each resource with how much of it the tile takes."""
        yield "neurons", sum(numbers(self.holds).values())
        yield from numbers(self.uses).items()


@irdl_op_definition
class EdgeOp(IRDLOperation):
    """Spikes of a tile reach another `least` to `longest` steps later. `axons` are distinct neurons,
    `traffic` packets a step, `slots` for how many steps at once the target keeps room."""

    name = "core.edge"
    source = prop_def(IntegerAttr[I64])
    target = prop_def(IntegerAttr[I64])
    least = prop_def(IntegerAttr[I64])
    longest = prop_def(IntegerAttr[I64])
    axons = prop_def(IntegerAttr[I64])
    traffic = prop_def(FloatAttr[Float64Type])
    slots = opt_prop_def(IntegerAttr[I64])
    traits = traits_def(HasParent(ProgramOp))
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$source `to` $target `delays` $least `to` $longest `axons` $axons `traffic` $traffic "
        "(`slots` $slots^)? attr-dict"
    )

    def __init__(self, ends: tuple[int, int], delays: tuple[int, int], axons: int, traffic: float):
        given = {"source": ends[0], "target": ends[1], "least": delays[0], "longest": delays[1], "axons": axons}
        super().__init__(
            properties={name: number(value) for name, value in given.items()} | {"traffic": FloatAttr(traffic, f64)}
        )

    def verify_(self) -> None:
        least, longest = self.least.value.data, self.longest.value.data
        if not 0 <= least <= longest:
            raise VerifyException(f"delays are 0 or more, the least first: {least} to {longest}")
        if self.slots is not None and self.slots.value.data < longest - least + 1:
            raise VerifyException(f"delays of {least} to {longest} need {longest - least + 1} slots or more")


@cache
def number(value: int) -> IntegerAttr:
    """`64 : i64`, made once: edges are many, and their numbers few."""
    return IntegerAttr(value, i64)


def integers(values: Mapping[str, int]) -> DictionaryAttr:
    """`{hidden = 64 : i64}`"""
    return DictionaryAttr({name: IntegerAttr(value, i64) for name, value in values.items()})


def numbers(values: DictionaryAttr | None) -> dict[str, int]:
    """`{hidden = 64 : i64}` -> {"hidden": 64}"""
    return {n: v.value.data for n, v in values.data.items() if isinstance(v, IntegerAttr)} if values else {}


Core = Dialect("core", [ArrayOp, ProgramOp, TileOp, EdgeOp], [PolicyAttr])
