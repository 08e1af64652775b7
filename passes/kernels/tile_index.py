"""Rows in tiles, and where any row of a tile is not zero: what `skip_k_tiles.py` goes by.

| part of `active`  | numbers          | is                                                                   |
|-------------------|------------------|----------------------------------------------------------------------|
| order             | tiles * height   | the rows of each tile; the last one again where rows are too few     |
| sizes             | tiles            | how many positions of each tile are active                           |
| positions         | tiles * K        | those positions, ascending, from tile * K on                         |

    order   own: 0, 1, 2, ..                          clustered: see below, one thread
    for each tile:                                    (divided among threads)
      flags[k] = any of x[rows of tile, k] != 0       NaN counts, -0.0 does not
      positions = where flags

Clustered, the first row that is left leads a tile, and those join it that differ from it at the fewest of up to
`SAMPLES` positions, sixteen neighbours here and there; the first of equals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects import arith, func
from xdsl.ir import SSAValue

from ...dialects.tiles import sampled
from .signature import MACHINE, Arguments, Element, Machine, kernel_function
from .support import is_active, one_if
from .writing import (
    add,
    choose,
    each,
    fma,
    lesser,
    load,
    load_index,
    loop,
    number,
    real,
    share,
    store,
    store_index,
    times,
    total,
    vector_load,
    zeros,
)

TAKEN = 3.0e38
"""The distance of a row that is in a tile already."""


@dataclass(frozen=True)
class Index:
    """The parts of `active`, for tiles of `height` rows of `inputs` numbers."""

    active: SSAValue
    tiles: SSAValue
    height: int
    inputs: int

    @classmethod
    def of(cls, given: Arguments, height: int, inputs: int) -> "Index":
        """Of as many rows as are given."""
        tiles = arith.DivUIOp(add(given.rows, number(height - 1)), number(height)).result
        return cls(given.active, tiles, height, inputs)

    def place(self, tile: SSAValue, row: int | SSAValue) -> SSAValue:
        """Where a row of a tile stands."""
        return add(times(tile, number(self.height)), number(row) if isinstance(row, int) else row)

    def rows(self, tile: SSAValue) -> list[SSAValue]:
        """The rows of a tile."""
        return [load_index(self.active, self.place(tile, row)) for row in range(self.height)]

    def size_place(self, tile: SSAValue) -> SSAValue:
        """Where the size of a tile stands."""
        return add(times(self.tiles, number(self.height)), tile)

    def size(self, tile: SSAValue) -> SSAValue:
        """How many positions of a tile are active."""
        return load_index(self.active, self.size_place(tile))

    def first(self, tile: SSAValue) -> SSAValue:
        """Where the positions of a tile begin."""
        return add(times(self.tiles, number(self.height + 1)), times(tile, number(self.inputs)))


def tile_positions(height: int, inputs: int, element: Element) -> func.FuncOp:
    """The function that finds the active positions of each tile, once `active` holds the order."""

    def body(given: Arguments) -> None:
        index = Index.of(given, height, inputs)
        begin = times(given.part, number(inputs))

        def fill(tile: SSAValue) -> None:
            rows, first = index.rows(tile), index.first(tile)

            def flag(k: SSAValue) -> None:
                store(flag_of([load(given.x, row, k) for row in rows]), given.scratch, add(begin, k))

            def keep(k: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
                store_index(k, given.active, add(first, found[0]))
                value = load(given.scratch, add(begin, k)) if height > 1 else load(given.x, rows[0], k)
                return (add(found[0], one_if(is_active(value))),)

            if height > 1:
                each(number(0), number(inputs), number(1), flag)
            (found,) = loop(number(0), number(inputs), number(1), [number(0)], keep)
            store_index(found, given.active, index.size_place(tile))

        first, last = (share(index.tiles, part, given.parts) for part in (given.part, add(given.part, number(1))))
        each(first, last, number(1), fill)

    return kernel_function(height, inputs, inputs, (1, 1), element, body)


def flag_of(values: Sequence[SSAValue]) -> SSAValue:
    """1.0 where any of the values is not zero, else 0.0."""
    some = is_active(values[0])
    for value in values[1:]:
        some = arith.OrIOp(some, is_active(value)).result
    return arith.SelectOp(some, real(1.0), real(0.0)).result


def own_order(height: int, inputs: int, element: Element) -> func.FuncOp:
    """The function that leaves rows in their order."""

    def body(given: Arguments) -> None:
        index, last = Index.of(given, height, inputs), add(given.rows, number(-1))
        each(number(0), times(index.tiles, number(height)), number(1),
             lambda place: store_index(lesser(place, last), given.active, place))  # fmt: skip

    return kernel_function(height, inputs, inputs, (1, 1), element, body, name=f"order_{height}")


def clustered_order(height: int, inputs: int, element: Element, *, machine: Machine = MACHINE) -> func.FuncOp:
    """The function that brings rows together that are active at the same positions."""
    runs = sampled(inputs)
    length = sum(size for _, size in runs)
    padded = -(-length // machine.lanes) * machine.lanes

    def body(given: Arguments) -> None:
        index, one = Index.of(given, height, inputs), number(1)
        distances = times(given.rows, number(padded))
        each(number(0), given.rows, one, lambda row: sample(given, runs, row, padded))
        each(number(0), given.rows, one, lambda row: store(real(0.0), given.scratch, add(distances, row)))

        def fill(tile: SSAValue) -> None:
            leader, _ = least(given, distances)

            def measure(row: SSAValue) -> None:
                place = add(distances, row)
                is_taken = arith.CmpfOp(load(given.scratch, place), real(TAKEN), "oge").result
                apart = apart_of(given, leader, row, padded, machine.lanes)
                store(arith.SelectOp(is_taken, real(TAKEN), apart).result, given.scratch, place)

            def join(position: SSAValue, before: Sequence[SSAValue]) -> Sequence[SSAValue]:
                found, distance = least(given, distances)
                is_left = arith.CmpfOp(distance, real(TAKEN), "olt").result
                row = choose(is_left, lambda: found, lambda: before[0])
                store(real(TAKEN), given.scratch, add(distances, row))
                store_index(row, given.active, index.place(tile, position))
                return (row,)

            def forget(row: SSAValue) -> None:
                place = add(distances, row)
                is_taken = arith.CmpfOp(load(given.scratch, place), real(TAKEN), "oge").result
                store(arith.SelectOp(is_taken, real(TAKEN), real(0.0)).result, given.scratch, place)

            each(number(0), given.rows, one, measure)
            loop(number(0), number(height), one, [leader], join)
            each(number(0), given.rows, one, forget)

        each(number(0), index.tiles, one, fill)

    return kernel_function(height, inputs, inputs, (1, 1), element, body, name=f"order_{height}")


def sample(given: Arguments, runs: Sequence[tuple[int, int]], row: SSAValue, padded: int) -> None:
    """scratch[row, :] = 1 where x[row, positions of runs] is not zero, else 0"""
    begin, length = times(row, number(padded)), sum(size for _, size in runs)
    size, step = runs[0][1], runs[1][0] - runs[0][0] if len(runs) > 1 else 0

    def run(count: SSAValue) -> None:
        def one(place: SSAValue) -> None:
            value = load(given.x, row, add(times(count, number(step)), place))
            store(flag_of([value]), given.scratch, add(begin, add(times(count, number(size)), place)))

        each(number(0), number(size), number(1), one)

    each(number(0), number(len(runs)), number(1), run)
    each(number(length), number(padded), number(1),
         lambda place: store(real(0.0), given.scratch, add(begin, place)))  # fmt: skip


def apart_of(given: Arguments, one: SSAValue, other: SSAValue, padded: int, lanes: int) -> SSAValue:
    """At how many samples two rows differ."""
    begins = [times(row, number(padded)) for row in (one, other)]

    def step(place: SSAValue, sums: Sequence[SSAValue]) -> Sequence[SSAValue]:
        a, b = (vector_load(given.scratch, lanes, add(begin, place)) for begin in begins)
        apart = arith.SubfOp(a, b).result
        return (fma(apart, apart, sums[0]),)

    return total(loop(number(0), number(padded), number(lanes), [zeros(lanes)], step)[0])


def least(given: Arguments, begin: SSAValue) -> tuple[SSAValue, SSAValue]:
    """The first row of the least distance, and that distance."""

    def step(row: SSAValue, best: Sequence[SSAValue]) -> Sequence[SSAValue]:
        distance = load(given.scratch, add(begin, row))
        is_less = arith.CmpfOp(distance, best[1], "olt").result
        pairs = ((row, best[0]), (distance, best[1]))
        return [arith.SelectOp(is_less, new, old).result for new, old in pairs]

    found, distance = loop(number(0), given.rows, number(1), [number(0), real(TAKEN)], step)
    return found, distance
