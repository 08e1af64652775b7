"""A tile of a product: the sums of some rows and a panel over one block of k, in registers, and how they go to c.

    sums = 0                                      rows x two vectors
    for k in block: sums = fma(a[rows, k], b[k, panel], sums)
    c = sums                                      in the first block
    c = bias + sums                               there, where there is a bias
    c = c + sums                                  in later ones

A panel that is not whole is written number by number. Lines of c, and what is packed next, are asked for meanwhile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from xdsl.dialects import arith
from xdsl.ir import SSAValue

from .panels import PITCH, Ahead
from .signature import Machine
from .writing import (
    add,
    branch,
    chosen,
    each,
    either,
    equal,
    fma,
    less,
    load,
    loop,
    minus,
    number,
    prefetch,
    quotient,
    splat,
    store,
    times,
    vector_load,
    vector_store,
    zeros,
)

WIDTH = 2
"""Vectors of a panel."""
Read = Callable[[SSAValue, SSAValue], SSAValue]
"""What stands at a place of a buffer: a number, or a vector."""
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
    """`count` rows of c from `row` on, whose numbers of a are packed at `a`, `along` k or those of one k side by side;
    `spare` is room for their sums."""

    machine: Machine
    count: int
    scratch: SSAValue
    a: SSAValue
    along: SSAValue
    row: SSAValue
    spare: SSAValue
    output: Output
    ahead: Sequence[Ahead]

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
            right = [self.vector(self.scratch, add(line, number(part * self.lanes))) for part in range(WIDTH)]
            made = list[SSAValue]()
            for at in range(self.count):  # each is read where it is used: two registers are left for them
                left = splat(load(self.scratch, add(row, number(at * down))), self.lanes)
                made += [fma(left, value, found[len(made) + part]) for part, value in enumerate(right)]
            return made

        def steps(vector: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
            for ahead in self.ahead:
                ahead.ask(vector)
            self.ask(vector, column)
            first = times(vector, number(self.lanes))
            return loop(first, add(first, number(self.lanes)), number(1), found, step)

        vectors = quotient(long, self.lanes)
        found = loop(number(0), vectors, number(1), [zeros(self.lanes)] * len(self.places), steps)
        return loop(times(vectors, number(self.lanes)), long, number(1), found, step)

    def ask(self, turn: SSAValue, column: SSAValue) -> None:
        """For two rows of c in each turn: they are read or written when the sums are made."""
        for row in range(2):
            for part in range(WIDTH):
                place = self.output.place(add(self.row, add(times(turn, number(2)), number(row))), column)
                prefetch(self.output.c, add(place, number(part * self.lanes)))

    def put(self, sums: Sequence[SSAValue], column: SSAValue, start: Start) -> None:
        """Write vectors."""
        for (row, offset), value in zip(self.places, sums, strict=True):
            j = add(column, number(offset))
            place = self.output.place(add(self.row, number(row)), j)
            vector_store(start(self.vector, place, j, value), self.output.c, place)

    def put_ragged(self, sums: Sequence[SSAValue], column: SSAValue, end: SSAValue, start: Start) -> None:
        """Write numbers up to a column, which are laid down first."""
        width = WIDTH * self.lanes

        def one(row: SSAValue, offset: SSAValue) -> None:
            value, j = load(self.scratch, add(self.spare, add(times(row, number(width)), offset))), add(column, offset)
            place = self.output.place(add(self.row, row), j)
            store(start(load, place, j, value), self.output.c, place)

        def line(row: SSAValue) -> None:
            each(number(0), minus(end, column), number(1), lambda offset: one(row, offset))

        for (row, offset), value in zip(self.places, sums, strict=True):
            vector_store(value, self.scratch, add(self.spare, number(row * width + offset)))
        each(number(0), number(self.count), number(1), line)

    def vector(self, buffer: SSAValue, at: SSAValue) -> SSAValue:
        """A vector."""
        return vector_load(buffer, self.lanes, at)
