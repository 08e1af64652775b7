"""How dense the tiles of rows are that a product could go by, measured on the examples and written on the IR.

    %g = aten.relu(%a)      ->      .. {sparse.tiles = {own = array<f64: 0.05, ..>, clustered = array<f64: 0.05, ..>}}

By height (1, 2, 4, 8, 16), in the rows' own order and clustered: the share of products that tiles make, the mean over
the examples. For inputs of products along k of 2 to `MOST` rows, where each row alone is sparse enough to be worth it.
"""

import math
from collections.abc import Callable, Sequence

from xdsl.dialects.builtin import DenseArrayBase, DictionaryAttr, f64
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from ..dialects.sparse import DensityOp, Skip
from ..dialects.tiles import HEIGHTS, TileOp
from ..passes.analysis.calls import shape
from ..passes.analysis.skips import SkipSite, read_product
from ..passes.guard_density import expected, hints
from ..passes.solvers.tiles import Candidate

MOST = 512
"""Rows that are still looked at."""
DENSE = 0.6
"""A row's density from which on no tiles pay."""

Measure = Callable[[Sequence[tuple[SSAValue, Candidate]]], list[float]]
"""The mean densities of tiles of some values."""


def tiled_inputs(function: FuncOp, sites: Sequence[SkipSite]) -> list[SSAValue]:
    """Inputs of products along k, of several rows."""
    found = [read_product(site.op) for site in sites if site.axis is Skip.K and not site.reason]
    inputs = dict.fromkeys(product.x for product in found if product is not None)
    hint = hints(function)

    def rows(x: SSAValue) -> int:
        return math.prod(expected(size, hint) for size in shape(x)[:-1])

    return [x for x in inputs if 1 < rows(x) <= MOST and isinstance(shape(x)[-1], int)]


def measure_tiles(inputs: Sequence[SSAValue], measure: Measure) -> dict[SSAValue, DictionaryAttr]:
    """What is to be written for each of `inputs` that is worth it: rows alone are looked at first."""
    alone = dict(zip(inputs, measure([(x, Candidate(1)) for x in inputs]), strict=True))
    sparse = [x for x in inputs if alone[x] < DENSE]
    kinds = [Candidate(height, clustered) for clustered in (False, True) for height in HEIGHTS[1:]]
    found = iter(measure([(x, kind) for x in sparse for kind in kinds]))
    return {x: table(alone[x], [next(found) for _ in kinds]) for x in sparse}


def table(alone: float, others: Sequence[float]) -> DictionaryAttr:
    """Densities by height: in the rows' own order, then clustered."""
    half = len(others) // 2
    rows = {"own": [alone, *others[:half]], "clustered": [alone, *others[half:]]}
    return DictionaryAttr({name: DenseArrayBase.from_list(f64, row) for name, row in rows.items()})


def tile_ops(wanted: Sequence[tuple[SSAValue, Candidate]]) -> list[tuple[TileOp, DensityOp]]:
    """Ops that find tiles, and their density."""
    tiles = [TileOp(x, kind.height, clustered=kind.clustered) for x, kind in wanted]
    return [(tile, DensityOp(tile.tiles)) for tile in tiles]
