"""y[m, :] = bias + sum over k active in the tile of m of x[m, k] weight[k, :]: rows in tiles, each with its own k.

    for each tile of outputs                          (divided among threads)
      for each tile of rows:                          the part of the weight that they share is in cache
        sums[m, :] = bias                             in registers
        for k in active(tile):
          sums[m, :] += x[m, k] * weight[k, outputs]
        y[m, outputs] = sums

`active` is an index as `tile_index.py` makes it, and `size` the sum of the tiles' sizes. The rows of a tile are first
brought together, active positions only, one tile after the other. Sums are as in `skip_k.py`: of f32 and in the order
of the positions, whatever the number of threads.
"""

from collections.abc import Callable, Sequence

from xdsl.dialects import arith, func
from xdsl.ir import SSAValue

from .signature import MACHINE, Arguments, Element, Machine, kernel_function
from .skip_k import AHEAD, MOST, Packed, tile_vectors, write_tile
from .tile_index import Index
from .writing import add, bytes_of, each, load, load_index, loop, number, pieces, share, store, times, when

WIDEST, PAGE = 6, 4096
"""Vectors of a tile of outputs at most: what all rows read of the weight stays in cache. Bytes of a page: where rows of
the weight are whole pages apart few of them fit the cache, and wide tiles of outputs are read faster from memory."""


def skip_k_tiles(
    height: int,
    inputs: int,
    outputs: int,
    element: Element,
    *,
    bias: bool,
    machine: Machine = MACHINE,
    vectors: int = 0,
    ahead: int = AHEAD,
) -> func.FuncOp:
    """The function for tiles of `height` rows."""
    aliased = outputs * bytes_of(element) % PAGE == 0
    widest = MOST if aliased and height == 1 else WIDEST
    width = (vectors or tile_vectors(outputs, height, machine, widest)) * machine.lanes
    columns, rest = divmod(outputs, width)

    def body(given: Arguments) -> None:
        index = Index.of(given, height, inputs)
        begin = times(given.part, times(load_index(given.size, number(0)), number(height)))
        if height > 1:
            over_tiles(index, begin, lambda tile, at: pack(given, index, tile, at))

        def write(column: SSAValue, widths: Sequence[int]) -> None:
            def rows(tile: SSAValue, at: SSAValue) -> None:
                packed: Packed | None = (given.scratch, at) if height > 1 else None
                size, first = index.size(tile), index.first(tile)
                write_tile(given, index.rows(tile), size, packed, bias, ahead, column, widths, first=first)

            over_tiles(index, begin, rows)

        one, parts = number(1), (given.part, add(given.part, number(1)))
        first, last = (share(number(columns), place, given.parts) for place in parts)
        each(first, last, one, lambda tile: write(times(tile, number(width)), pieces(width, machine.lanes)))
        if rest:
            is_last = arith.CmpiOp(parts[1], given.parts, "eq").result
            when(is_last, lambda: write(number(columns * width), pieces(rest, machine.lanes)))

    return kernel_function(height, inputs, outputs, (inputs, outputs), element, body)


def over_tiles(index: Index, begin: SSAValue, body: Callable[[SSAValue, SSAValue], None]) -> None:
    """`body(tile, place)` for every tile; its packed rows begin at `place`."""

    def step(tile: SSAValue, place: Sequence[SSAValue]) -> Sequence[SSAValue]:
        body(tile, place[0])
        return (add(place[0], times(index.size(tile), number(index.height))),)

    loop(number(0), index.tiles, number(1), [begin], step)


def pack(given: Arguments, index: Index, tile: SSAValue, begin: SSAValue) -> None:
    """scratch[begin + position, row] = x[row, active[position]]"""
    rows, first, height = index.rows(tile), index.first(tile), number(index.height)

    def step(place: SSAValue) -> None:
        k, to = load_index(given.active, add(first, place)), add(begin, times(place, height))
        for position, row in enumerate(rows):
            store(load(given.x, row, k), given.scratch, add(to, number(position)))

    each(number(0), index.size(tile), number(1), step)
