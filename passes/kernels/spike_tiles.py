"""What many spikes bring: tiles of some steps, in which all sources count, with 1 or 0.

    for each tile:                                             (once for all columns)
      if enough sources are active in it:
        raster[steps, :] = 0; raster[step, source] = 1         (or the value of an analog source)
    for each block of columns:
      for each other tile: as lists                            (`spike_rows.py`)
      for each such tile:
        sums = 0                                               (of all its steps, in registers)
        for each source:
          sums[step] += raster[step, source] * rows[source, block]
        x[step, block] (+)= sums

A row of the weight is read once for all steps of a tile, not once a spike. Pays where enough of the sources are active:
how many, `projectionN.least`, is told when it runs. Sums are those of the lists, bit by bit: sources come in the same
order, a sum is never -0.0, weights are finite, and a weight times 1 or 0 rounds nothing, so product and sum may round
together; those of analog sources round apart. Not for blocks of one vector: lists are as fast there when all fire.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects import arith, memref, vector
from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from .neurons import Numbers
from .spike_rows import LANES, Feed, Place, Rows, index, line, product, scalar, splat, sum_, zeros
from .writing import add, each, fma, lesser, loop, number, times, when

REGISTERS = 24
"""Vectors of sums that stay in registers, where there are 32."""
COLUMNS = 4 * LANES
"""Columns of a tile, at most."""


def steps_of(unit: int) -> int:
    """The steps of a tile, for blocks of `unit` columns."""
    return REGISTERS * LANES // min(unit, COLUMNS)


def whole(size: int, unit: int) -> int:
    """`size`, up to a multiple of `unit`."""
    return -(-size // unit) * unit


def greater(a: SSAValue, b: SSAValue) -> SSAValue:
    """The greater of two indices."""
    return arith.SelectOp(arith.CmpiOp(a, b, "sgt").result, a, b).result


@dataclass(frozen=True)
class Tiles:
    """Writes what `feed`, of form "rows", brings to a place; `begin` and `end` are the steps of the call."""

    rows: Rows
    feed: Feed
    place: Place
    begin: SSAValue
    end: SSAValue
    first: bool

    @property
    def steps(self) -> int:
        return steps_of(self.rows.unit)

    @property
    def numbers(self) -> Numbers:
        return self.rows.numbers

    @property
    def pitch(self) -> int:
        """The length of a row of the raster."""
        return whole(self.feed.sources, LANES)

    def buffer(self, name: str) -> SSAValue:
        return self.rows.buffers[self.feed.name(name)]

    def since(self, t: SSAValue) -> SSAValue:
        return arith.SubiOp(t, self.begin).result

    def row(self, t: SSAValue) -> SSAValue:
        """Where a step begins in the raster."""
        part = self.rows.buffers["part"]
        tiles = arith.DivUIOp(add(self.since(self.end), number(self.steps - 1)), number(self.steps)).result
        return times(add(times(part, times(tiles, number(self.steps))), self.since(t)), number(self.pitch))

    def mark_of(self, t: SSAValue) -> SSAValue:
        """Where the mark of the tile that begins with a step is."""
        return add(times(self.rows.buffers["part"], self.since(self.end)), self.since(t))

    def sums(self) -> None:
        """x of all steps becomes what the feed brings, or it is added."""
        place, steps = self.place, number(self.steps)
        delay = index(self.buffer("delays"), number(0))

        def lists(column: SSAValue) -> None:
            def tile(t: SSAValue) -> None:
                none = arith.SelectOp(self.is_dense(t), t, self.until(t)).result
                self.rows.block(self.feed, place, column, delay, t, none, self.first)

            each(self.begin, self.end, steps, tile)

        def dense(column: SSAValue) -> None:
            def tile(t: SSAValue) -> None:
                when(self.is_dense(t), lambda: self.tile(column, t))

            each(self.begin, self.end, steps, tile)

        each(self.begin, self.end, steps, lambda t: self.decide(t, delay))
        each(place.low, place.high, number(self.rows.unit), lists)
        each(place.low, place.high, number(min(self.rows.unit, COLUMNS)), dense)

    def until(self, t: SSAValue) -> SSAValue:
        """Where the tile that begins with a step ends."""
        return lesser(add(t, number(self.steps)), self.end)

    def is_dense(self, t: SSAValue) -> SSAValue:
        """Is the tile that begins with a step marked?"""
        return arith.CmpiOp(index(self.buffer("dense"), self.mark_of(t)), number(0), "ne").result

    def decide(self, t: SSAValue, delay: SSAValue) -> None:
        """Mark a tile, and draw it, where enough sources are active."""
        enough = arith.CmpiOp(self.count(t, delay), self.buffer("least"), "sge").result
        memref.StoreOp.get(arith.ExtUIOp(enough, i64).result, self.buffer("dense"), [self.mark_of(t)])
        when(enough, lambda: self.draw(t, delay))

    def count(self, t: SSAValue, delay: SSAValue) -> SSAValue:
        """How many sources are active in a tile; one that is so twice counts twice."""
        of, zero, one, source = self.rows.buffers, number(0), number(1), self.feed.source
        batch, splits = of["batch"], of[f"{source}.splits"]

        def step(s: SSAValue, total: Sequence[SSAValue]) -> Sequence[SSAValue]:
            row = times(add(times(s, batch), self.place.sample), splits)
            return loop(zero, splits, one, total,
                        lambda part, total: [add(total[0], index(of[f"{source}.counts"], add(row, part)))])  # fmt: skip

        first, last = (greater(arith.SubiOp(at, delay).result, zero) for at in (t, self.until(t)))
        return loop(first, last, one, [zero], step)[0]

    def draw(self, t: SSAValue, delay: SSAValue) -> None:
        """The raster of a tile; steps after the last are empty."""
        raster, one = self.buffer("raster"), number(1)
        begin, end = (self.row(at) for at in (t, add(t, number(self.steps))))
        nothing = zeros(self.numbers, LANES)

        def clear(n: SSAValue) -> None:
            vector.StoreOp(nothing, raster, [n])

        def step(s: SSAValue) -> None:
            row = self.row(s)

            def source(source: SSAValue, value: SSAValue | None, _: Sequence[SSAValue]) -> list[SSAValue]:
                drawn = self.numbers.constant(1) if value is None else value
                memref.StoreOp.get(drawn, raster, [add(row, source)])
                return []

            self.rows.active(self.feed, self.place, s, delay, (), source)

        each(begin, end, number(LANES), clear)
        each(t, self.until(t), one, step)

    def tile(self, column: SSAValue, t: SSAValue) -> None:
        """Some columns of a tile."""
        weights, raster, width = self.buffer("rows"), self.buffer("raster"), number(self.rows.width)
        lines = range(0, min(self.rows.unit, COLUMNS), LANES)
        steps = [add(t, number(step)) for step in range(self.steps)]
        rows = [self.row(step) for step in steps]

        def source(k: SSAValue, sums: Sequence[SSAValue]) -> Sequence[SSAValue]:
            at = add(times(k, width), column)
            found = [line(self.numbers, weights, add(at, number(offset))) for offset in lines]
            factors = [splat(self.numbers, scalar(raster, add(row, k))) for row in rows]
            pairs = [(factor, part) for factor in factors for part in found]
            return [self.plus(total, *pair) for total, pair in zip(sums, pairs, strict=True)]

        start = [zeros(self.numbers, LANES) for _ in range(len(steps) * len(lines))]
        totals = loop(number(0), number(self.feed.sources), number(1), start, source)
        for place, step in enumerate(steps):
            mine = totals[place * len(lines) : (place + 1) * len(lines)]
            when(arith.CmpiOp(step, self.end, "slt").result, lambda step=step, mine=mine: self.put(step, column, mine))

    def put(self, t: SSAValue, column: SSAValue, totals: Sequence[SSAValue]) -> None:
        """x of a step and some columns."""
        for number_, total in enumerate(totals):
            at = add(column, number(number_ * LANES))
            self.rows.put(self.feed, self.place, t, at, total, line, self.first)

    def plus(self, total: SSAValue, factor: SSAValue, weight: SSAValue) -> SSAValue:
        """total + factor weight"""
        if self.numbers.whole or self.feed.graded:
            return sum_(self.numbers, total, product(self.numbers, factor, weight))
        return fma(factor, weight, total)
