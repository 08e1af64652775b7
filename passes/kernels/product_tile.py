"""A tile of a product: the sums of some rows and a panel over one block of k, in registers, and how they go to c.

    sums = 0                                      rows x two vectors
    for k in block: sums = fma(a[rows, k], b[k, panel], sums)
    c = sums                                      in the first block
    c = bias + sums                               there, where there is a bias
    c = c + sums                                  in later ones

A panel that is not whole is written under a mask. What is read next, lines of c and what is packed next are asked for
meanwhile, with a few instructions that need no branch: with branches between they cost as much as they save.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from xdsl.dialects import arith
from xdsl.ir import SSAValue

from .panels import PITCH, Ahead
from .signature import Machine
from .writing import (
    add,
    branch,
    chosen,
    either,
    equal,
    first_lanes,
    fma,
    less,
    lesser,
    load,
    loop,
    masked_load,
    masked_store,
    minus,
    number,
    prefetch,
    quotient,
    splat,
    times,
    vector_load,
    vector_store,
    zeros,
)

WIDTH = 2
"""Vectors of a panel."""
SOON = 8
"""How many k before they are read packed numbers are asked for: with blocks of 384 a tile and a panel are more than
first-level cache holds, and waiting for them takes 3 % of the time. (Lines of a along k are left to the processor: they
are few, and asking for them takes as long.) Intel Xeon, 2026-11."""
LINE = 16
"""Numbers of a line of memory."""
Read = Callable[[SSAValue, SSAValue], SSAValue]
"""The vector that begins at a place of a buffer, or as much of it as counts."""
Start = Callable[[Read, SSAValue, SSAValue, SSAValue], SSAValue]
"""(read, place in c, column, sum) -> what c becomes"""


def tile_rows(machine: Machine) -> int:
    """Rows of a whole tile: their sums take all registers but four."""
    return min(machine.lanes, (machine.registers - 4) // WIDTH)


@dataclass(frozen=True)
class Output:
    """Where sums go: c of so many columns, and the bias. `first`: is this the first block? `biased`: is there one?"""

    c: SSAValue
    bias: SSAValue
    columns: SSAValue
    first: SSAValue
    biased: SSAValue

    def place(self, row: SSAValue, column: SSAValue) -> SSAValue:
        """Where a number of c lies."""
        return add(times(row, self.columns), column)

    def choose(self, put: Callable[[Start], None]) -> None:
        """`put` with what is done in this block."""

        def plain(read: Read, place: SSAValue, column: SSAValue, value: SSAValue) -> SSAValue:
            return value

        def biased(read: Read, place: SSAValue, column: SSAValue, value: SSAValue) -> SSAValue:
            return arith.AddfOp(read(self.bias, column), value).result

        def more(read: Read, place: SSAValue, column: SSAValue, value: SSAValue) -> SSAValue:
            return arith.AddfOp(read(self.c, place), value).result

        def first() -> None:
            branch(equal(self.biased, number(0)), lambda: put(plain), lambda: put(biased))

        branch(self.first, first, lambda: put(more))


@dataclass(frozen=True)
class Tile:
    """`count` rows of c from `row` on; numbers of a are packed at `a`, `along` k or those of one k side by side."""

    machine: Machine
    count: int
    scratch: SSAValue
    a: SSAValue
    along: SSAValue
    row: SSAValue
    output: Output
    ahead: Ahead

    def down(self, rows: SSAValue) -> "Tile":
        """The tile that begins so many rows below."""
        step = either(self.along, number(PITCH), number(1))
        return replace(self, a=add(self.a, times(rows, step)), row=add(self.row, rows))

    @property
    def lanes(self) -> int:
        """Numbers of a vector."""
        return self.machine.lanes

    @property
    def places(self) -> list[tuple[int, int]]:
        """Row and column of each vector."""
        return [(row, part * self.lanes) for row in range(self.count) for part in range(WIDTH)]

    def write(self, b: SSAValue, long: SSAValue, column: SSAValue, end: SSAValue) -> None:
        """Over a panel of b, which begins with `column`, as far as there are columns before `end`."""
        sums = chosen(
            self.along,
            lambda: self.sums(b, long, column, PITCH, 1),
            lambda: self.sums(b, long, column, 1, self.lanes),
        )
        there = minus(end, column)
        whole = less(number(WIDTH * self.lanes - 1), there)

        def ragged(start: Start) -> None:
            starts = [part * self.lanes for part in range(WIDTH)]
            masks = {offset: first_lanes(minus(there, number(offset)), self.lanes) for offset in starts}
            self.put(sums, column, start, masks)

        def put(start: Start) -> None:
            branch(whole, lambda: self.put(sums, column, start, {}), lambda: ragged(start))

        self.output.choose(put)

    def sums(self, b: SSAValue, long: SSAValue, column: SSAValue, down: int, on: int) -> Sequence[SSAValue]:
        """The sums, a vector for each of the places; in a it is so far to the next row, and to the next k."""
        width, ahead, turns = WIDTH * self.lanes, self.ahead.walk(), self.ahead.turns

        def step(k: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
            row, line = add(self.a, times(k, number(on))), add(b, times(k, number(width)))
            right = [self.vector(self.scratch, add(line, number(part * self.lanes))) for part in range(WIDTH)]
            made = list[SSAValue]()
            for at in range(self.count):  # each is read where it is used: two registers are left for them
                left = splat(load(self.scratch, add(row, number(at * down))), self.lanes)
                made += [fma(left, value, found[len(made) + part]) for part, value in enumerate(right)]
            self.ask_for_packed(line, width)
            if on > 1:
                self.ask_for_packed(row, on)
            return made

        def steps(vector: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
            self.ask_for_rows(vector, column)
            first, some = times(vector, number(self.lanes)), number(self.lanes // turns)

            def turn(at: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
                prefetch(self.ahead.lines.buffer, ahead(vector, at))
                k = add(first, times(at, some))
                return loop(k, add(k, some), number(1), found, step)

            return loop(number(0), number(turns), number(1), found, turn)

        vectors = quotient(long, self.lanes)
        found = loop(number(0), vectors, number(1), [zeros(self.lanes)] * len(self.places), steps)
        return loop(times(vectors, number(self.lanes)), long, number(1), found, step)

    def ask_for_packed(self, place: SSAValue, count: int) -> None:
        """For so many numbers of one k that lie side by side, which are read soon."""
        for offset in range(0, count, LINE):
            prefetch(self.scratch, add(place, number(SOON * count + offset)), at_once=True)

    def ask_for_rows(self, turn: SSAValue, column: SSAValue) -> None:
        """For two rows of c in each of the first turns: they are read or written when the sums are made."""
        for which in range(2):
            row = lesser(add(times(turn, number(2)), number(which)), number(self.count - 1))
            for part in range(WIDTH):
                place = self.output.place(add(self.row, row), column)
                prefetch(self.output.c, add(place, number(part * self.lanes)))

    def put(self, sums: Sequence[SSAValue], column: SSAValue, start: Start, masks: Mapping[int, SSAValue]) -> None:
        """Write vectors, or what the masks of their columns leave of them."""
        for (row, offset), value in zip(self.places, sums, strict=True):
            j, mask = add(column, number(offset)), masks.get(offset)
            place = self.output.place(add(self.row, number(row)), j)
            if mask is None:
                vector_store(start(self.vector, place, j, value), self.output.c, place)
            else:
                read = partial(masked_load, mask)
                masked_store(mask, start(read, place, j, value), self.output.c, place)

    def vector(self, buffer: SSAValue, at: SSAValue) -> SSAValue:
        """A vector."""
        return vector_load(buffer, self.lanes, at)
