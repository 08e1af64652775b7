"""Products of rows that are active at different positions: tiles of a few rows skip along k, each by its own.

    %r = aten.relu(%a)                       %r = aten.relu(%a)
    %y = aten.linear(%r, %w, %b)             %t = sparse.tile %r clustered upto 0.67 -> !sparse.tiles<4 : 16, 3072>
                                             %p = arith.cmpf ole, (sparse.density %t), 0.62
                                      ->     %d = scf.if %p { yield %t } else { yield sparse.everywhere %t }
                                             %y = sparse.matmul %r, %w[%d] k bias %b

Of many rows, or of rows that share little, the union is nearly everything: `insert-skips` leaves such products dense,
and this pass takes them up; it also takes those that skip by a union which tiles beat. In low tiles few rows multiply
each other's zeros, high ones run faster. Rows that are active alike may be brought together first (`clustered`).

Legal where `insert-skips` could skip along k by the input itself: it is 0 where its own zeros are. REASSOC, and
`exact="bitwise"` forbids it. Pays where calibration found (`sparse.tiles` on the op that makes the input) that tiles
are sparse enough (`solvers/tiles.py`); without that nothing is done. The density of the tiles is checked when the
program runs, and above the break-even the product is the dense one: at once where a sample shows the rows alone to be
denser, else after the tiles were found in vain, which takes 1 to 10 % of its time. Costs an analysis where anything was
measured. Linear in the number of ops.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TypeGuard

from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import DenseArrayBase, DictionaryAttr, FloatAttr, ModuleOp, f32
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from ..dialects.aten import CallOp, dims
from ..dialects.sparse import DensityOp, MatmulOp, Skip
from ..dialects.tiles import TileOp, TilesType
from .analysis.calls import shape
from .analysis.skips import read_product, skip_sites
from .analysis.supports import Columns
from .guard_density import element_bytes, expected, hints
from .insert_gathers import guarded, is_exact
from .insert_skips import place, untransposed
from .skip_plan import attribute, attributes_of, number
from .solvers.skipping import union as random_union
from .solvers.tiles import Candidate, Choice, TiledProduct, Tiler, by_candidate, choose

TILES = "sparse.tiles"
"""On what gives a product its input: densities of the tiles in the examples, by height, in own order and clustered."""
PROBED = 0.05
"""By how much a sample's density has to exceed the threshold for tiles not to be looked for: three deviations."""
MORE_ROWS = 4
"""By how many times the number of rows may exceed that of the examples: comparing rows is quadratic."""


@dataclass(frozen=True)
class TileSite:
    """A product that may go by tiles; `skips` where it skips by a union already."""

    op: CallOp | MatmulOp
    x: SSAValue
    weight: SSAValue
    bias: SSAValue | None
    transposed: bool

    @property
    def skips(self) -> bool:
        return isinstance(self.op, MatmulOp)


def tile_sites(function: FuncOp) -> Iterator[TileSite]:
    """Products along k whose tiles were measured."""
    for op in function.body.block.ops:
        if is_united(op) and tile_densities(op.x, function):
            yield TileSite(op, op.x, op.weight, op.bias, transposed=False)
    for site in skip_sites(function):
        product = read_product(site.op)
        assert product is not None
        legal = site.axis is Skip.K and not site.reason and Columns(product.x) in site.supports
        if legal and "sparse.layout" not in site.op.attributes and tile_densities(product.x, function):
            yield TileSite(site.op, product.x, product.weight, product.bias, product.transposed)


def is_united(op: Operation) -> TypeGuard[MatmulOp]:
    """Is `op` a product that skips along k by the union of its rows?"""
    return isinstance(op, MatmulOp) and op.axis.data is Skip.K and not isinstance(op.domain.type, TilesType)


def tile_densities(x: SSAValue, function: FuncOp) -> dict[Candidate, float]:
    """The densities that calibration found."""
    found = attributes_of(x, function).get(TILES)
    if not isinstance(found, DictionaryAttr):
        return {}
    both = [found.data.get(name) for name in ("own", "clustered")]
    own, clustered = (list(map(float, one.get_values())) for one in both if isinstance(one, DenseArrayBase))
    return by_candidate(own, clustered)


def is_measured(function: FuncOp) -> bool:
    """Is there anything to choose from?"""
    arguments: Iterator[Mapping[str, object]] = (attributes.data for attributes in function.arg_attrs or ())
    return any(TILES in op.attributes for op in function.body.block.ops) or any(TILES in one for one in arguments)


def tiled_work(function: FuncOp, site: TileSite) -> TiledProduct:
    """The sizes of a product as in the examples."""
    hint = hints(function)
    *sizes, inputs = (expected(size, hint) for size in shape(site.x))
    outputs = expected(shape(site.op.results[0])[-1], hint)
    return TiledProduct(math.prod(sizes), inputs, outputs, element_bytes(site.weight))


def decide(function: FuncOp, site: TileSite, machine: Tiler) -> Choice:
    """What is best for a product."""
    work, densities = tiled_work(function, site), tile_densities(site.x, function)
    union = number(attributes_of(site.x, function).get(attribute(Columns(site.x))))
    if union is None:
        union = random_union(densities[Candidate(1)], work.rows)
    return choose(work, densities, union, machine, skips=site.skips)


@dataclass
class Tiling:
    """Rewrites one function."""

    function: FuncOp
    domains: dict[tuple[SSAValue, Candidate, float], SSAValue] = field(default_factory=dict)

    def rewrite(self, site: TileSite, choice: Choice) -> None:
        """The product by tiles, in its place."""
        assert choice.candidate is not None
        ops, op = list[Operation](), site.op
        weight = untransposed(site.weight, ops) if site.transposed else site.weight
        domain = self.tiles(site.x, choice.candidate, choice.threshold)
        new = MatmulOp(site.x, weight, domain, Skip.K, site.bias)
        new.output.name_hint = op.results[0].name_hint
        ops.append(new)
        for made in ops:
            made.location = op.location
        before = op.domain if isinstance(op, MatmulOp) else None
        Rewriter.replace_op(op, ops, [new.output])
        if before is not None:
            erase_unread(before)

    def tiles(self, x: SSAValue, candidate: Candidate, threshold: float) -> SSAValue:
        """The tiles of `x`, if they are sparse enough; one guard for products that share both."""
        key = (x, candidate, threshold)
        if key not in self.domains:
            most = {"rows": self.most_rows(x), "upto": min(threshold + PROBED, 1.0)}
            tile = TileOp(x, candidate.height, clustered=candidate.clustered, **most)
            density, limit = DensityOp(tile.tiles), arith.ConstantOp(FloatAttr(threshold, f32))
            pays = arith.CmpfOp(density.density, limit.result, "ole")
            choice = guarded(pays.result, tile.tiles)
            tile.tiles.name_hint, choice.results[0].name_hint = "tiles", "columns"
            place([tile, density, limit, pays, choice], after=x.owner)
            self.domains[key] = choice.results[0]
        return self.domains[key]

    def most_rows(self, x: SSAValue) -> int:
        """How many rows are worth looking at; 0 where they are as many as in the examples anyway."""
        sizes = dims(x.type)[:-1]
        if all(isinstance(size, int) for size in sizes):
            return 0
        return MORE_ROWS * math.prod(expected(size, hints(self.function)) for size in shape(x)[:-1])


def erase_unread(value: SSAValue) -> None:
    """Erase the op of a domain that nothing reads any more, and what was made for it alone."""
    op = value.owner
    if not isinstance(op, Operation) or isinstance(op, CallOp) or any(result.first_use for result in op.results):
        return
    inside = [operand for inner in op.walk() for operand in inner.operands]
    Rewriter.erase_op(op)
    for operand in dict.fromkeys(inside):
        if operand.owner is not op and getattr(operand.owner, "parent", None) is not None:
            erase_unread(operand)


@dataclass(frozen=True)
class ChooseTiles(ModulePass):
    """See the head of this file. The options are the machine's: see `solvers.tiles.Tiler`."""

    name = "choose-tiles"
    flops: float | None = None
    weights: float | None = None
    cached: float | None = None
    cache: float | None = None
    call: float | None = None
    rates: tuple[float, ...] | None = None
    half_flops: float | None = None
    half_rates: tuple[float, ...] | None = None

    @property
    def machine(self) -> Tiler:
        """The options, and the defaults for those not given."""
        given = {f.name: getattr(self, f.name) for f in fields(Tiler)}
        return Tiler(**{name: value for name, value in given.items() if value is not None})

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if is_exact(op):
            return
        for function in op.body.block.ops:
            if isinstance(function, FuncOp) and is_measured(function):
                tiling = Tiling(function)
                for site in list(tile_sites(function)):
                    choice = decide(function, site, self.machine)
                    if choice.candidate is not None:
                        tiling.rewrite(site, choice)
