"""A tile of a product: the sums of some rows and a panel over one block of k, in registers, and how they go to c.

    sums = 0                                      rows x two vectors
    for k in block: sums = fma(a[rows, k], b[k, panel], sums)
    c = sums                                      in the first block
    c = bias + sums                               there, where there is a bias
    c = c + sums                                  in later ones

A panel that is not whole is written under a mask. What is read next, lines of c and what is packed next are asked for
meanwhile, with a few instructions that need no branch: with branches between they cost as much as they save.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from xdsl.dialects import arith
from xdsl.ir import SSAValue

from .panels import PITCH, QUARTERS, Ahead
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
AHEAD = 8
"""How many k before they are read packed numbers are asked for: with blocks of 384 a tile and a panel are more than
first-level cache holds, and waiting for them took a tenth of the time (Intel Xeon, 2026-11)."""
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
        """Over a panel of b, which begins with `column`."""
        sums = chosen(
            self.along,
            lambda: self.sums(b, long, column, PITCH, 1),
            lambda: self.sums(b, long, column, 1, self.lanes),
        )
        whole = less(add(column, number(WIDTH * self.lanes - 1)), end)

        def put(start: Start) -> None:
            branch(whole, lambda: self.put(sums, column, start), lambda: self.put_ragged(sums, column, end, start))

        self.output.choose(put)

    def sums(self, b: SSAValue, long: SSAValue, column: SSAValue, down: int, on: int) -> Sequence[SSAValue]:
        """The sums, a vector for each of the places; in a it is so far to the next row, and to the next k."""

        def step(k: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
            row, line = add(self.a, times(k, number(on))), add(b, times(k, number(WIDTH * self.lanes)))
            right = list[SSAValue]()
            for part in range(WIDTH):
                at = add(line, number(part * self.lanes))
                right.append(self.vector(self.scratch, at))
                prefetch(self.scratch, add(at, number(AHEAD * WIDTH * self.lanes)), at_once=True)
            made = list[SSAValue]()
            for at in range(self.count):  # each is read where it is used: two registers are left for them
                left = splat(load(self.scratch, add(row, number(at * down))), self.lanes)
                made += [fma(left, value, found[len(made) + part]) for part, value in enumerate(right)]
            if on > 1:
                prefetch(self.scratch, add(row, number(AHEAD * on)), at_once=True)
            return made

        ahead, (far, near), some = self.ahead.start(), self.ahead.steps(), self.lanes // QUARTERS

        def steps(vector: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
            self.ask(vector, column)
            first, asked = times(vector, number(self.lanes)), add(ahead, times(vector, far))

            def quarter(turn: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
                prefetch(self.ahead.lines.buffer, add(asked, times(turn, near)))
                k = add(first, times(turn, number(some)))
                for place in range(some):
                    found = step(add(k, number(place)), found)
                return found

            return loop(number(0), number(QUARTERS), number(1), found, quarter)

        vectors = quotient(long, self.lanes)
        found = loop(number(0), vectors, number(1), [zeros(self.lanes)] * len(self.places), steps)
        return loop(times(vectors, number(self.lanes)), long, number(1), found, step)

    def ask(self, row: SSAValue, column: SSAValue) -> None:
        """For a row of c with each vector of k: it is read or written when the sums are made."""
        for part in range(WIDTH):
            place = self.output.place(add(self.row, row), column)
            prefetch(self.output.c, add(place, number(part * self.lanes)))

    def put(self, sums: Sequence[SSAValue], column: SSAValue, start: Start) -> None:
        """Write vectors."""
        for (row, offset), value in zip(self.places, sums, strict=True):
            j = add(column, number(offset))
            place = self.output.place(add(self.row, number(row)), j)
            vector_store(start(self.vector, place, j, value), self.output.c, place)

    def put_ragged(self, sums: Sequence[SSAValue], column: SSAValue, end: SSAValue, start: Start) -> None:
        """Write the numbers before a column."""
        starts = [part * self.lanes for part in range(WIDTH)]
        masks = {offset: first_lanes(minus(minus(end, column), number(offset)), self.lanes) for offset in starts}
        for (row, offset), value in zip(self.places, sums, strict=True):
            mask, j = masks[offset], add(column, number(offset))
            place = self.output.place(add(self.row, number(row)), j)
            found = start(lambda buffer, at, mask=mask: masked_load(buffer, mask, at), place, j, value)
            masked_store(found, self.output.c, mask, place)

    def vector(self, buffer: SSAValue, at: SSAValue) -> SSAValue:
        """A vector."""
        return vector_load(buffer, self.lanes, at)
