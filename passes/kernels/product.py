"""c = a b, or bias + a b: a dense product that has its sums in a given order, so that they can be the library's.

    for each block of k                             `block` long: here the order of the sums is made
      pack one matrix                               at most TILES of rows, or PANELS of columns: stays in second-level
      for each unit of the other                    a tile of rows, or a panel of columns
        pack it                                     stays in first-level cache, as far as that goes
        for each unit of the first
          sums of the block go to c                 in registers: see `product_tile.py`

Which is packed first is an argument, too: the better way hangs on sizes and caches. What is packed unit by unit is
asked for meanwhile. Each thread has a part of the longer side of c.

Each number of c is a sum over blocks of k, and each block a sum of one k after the other that is rounded once for each:
MKL's order too (on AMD, 2026-11: blocks of 192, or halves of k where two are enough), so that c has its bits. Threads
change nothing. a and b may be transposed. After Goto and van de Geijn, "Anatomy of High-Performance Matrix
Multiplication", ACM TOMS 34(3), 2008, section 5.
"""

from collections.abc import Callable
from dataclasses import dataclass

from xdsl.dialects.builtin import DYNAMIC_INDEX, DenseArrayBase, MemRefType, ModuleOp, f32, i64
from xdsl.ir import Attribute, SSAValue

from ...dialects.kernel import SCRATCH
from .panels import PITCH, QUARTERS, Ahead, Lines, Packing, Range
from .product_tile import WIDTH, Output, Tile, tile_rows
from .signature import MACHINE, Machine, named_kernel
from .writing import (
    INDEX,
    add,
    both,
    branch,
    each,
    either,
    equal,
    larger,
    less,
    lesser,
    minus,
    number,
    quotient,
    remainder,
    share,
    times,
)

FUNCTION = "product"
"""The function's name."""
BUFFERS = ("a", "b", "bias", "c", "scratch")
"""Arguments that are addresses of f32; c is row-major."""
NUMBERS = ("a_row", "a_column", "b_row", "b_column", "rows", "columns", "depth", "block", "b_first", "biased")
"""Arguments that are numbers: strides, one of each pair 1; sizes; the length of a block; 1 where b is packed
before a, and where there is a bias."""
TILES, PANELS = 40, 32
"""Tiles, and panels, that are packed before: with blocks of 192 at most 790 kB, with 384 at most 1.6 MB."""


def scratch(machine: Machine) -> tuple[int, int]:
    """Numbers of working space for each thread: all tiles, and times `block + 1`, panels."""
    return TILES * machine.lanes * PITCH, PANELS * WIDTH * machine.lanes


def product_kernel(name: str, machine: Machine = MACHINE) -> ModuleOp:
    """The kernel, for all sizes."""
    buffer = MemRefType(f32, (DYNAMIC_INDEX,))
    arguments: dict[str, Attribute] = {**dict.fromkeys(BUFFERS, buffer), **dict.fromkeys(NUMBERS, INDEX)}
    space = {SCRATCH: DenseArrayBase.from_list(i64, scratch(machine))}
    return named_kernel(
        FUNCTION, arguments, lambda given: Product(machine=machine, **given).write(), name=name, attributes=space
    )


@dataclass(frozen=True)
class Product:
    """The function's arguments; see the head of this file."""

    a: SSAValue
    b: SSAValue
    bias: SSAValue
    c: SSAValue
    scratch: SSAValue
    a_row: SSAValue
    a_column: SSAValue
    b_row: SSAValue
    b_column: SSAValue
    rows: SSAValue
    columns: SSAValue
    depth: SSAValue
    block: SSAValue
    b_first: SSAValue
    biased: SSAValue
    part: SSAValue
    parts: SSAValue
    machine: Machine

    @property
    def height(self) -> int:
        """Rows of a tile."""
        return tile_rows(self.machine)

    @property
    def width(self) -> int:
        """Columns of a panel."""
        return WIDTH * self.machine.lanes

    def write(self) -> None:
        """The loops."""
        tall, wide = less(self.columns, self.rows), less(self.rows, add(self.columns, number(1)))
        rows, columns = self.own(self.rows, self.height, tall), self.own(self.columns, self.width, wide)
        b_first = equal(self.b_first, number(1))
        high = either(b_first, larger(rows.size, number(1)), number(TILES * self.height))
        broad = either(b_first, number(PANELS * self.width), larger(columns.size, number(1)))

        def block(k: SSAValue) -> None:
            long = lesser(self.block, minus(self.depth, k))

            def chunk(own: Range, others: Range) -> None:
                Chunk(self, own, others, k, long, b_first).write()

            each_part(rows, high, lambda own: each_part(columns, broad, lambda others: chunk(own, others)))

        each(number(0), self.depth, self.block, block)

    def own(self, size: SSAValue, unit: int, divided: SSAValue) -> Range:
        """This thread's part of an axis, in whole tiles or panels; all of it where it is not `divided`."""
        part, parts = either(divided, self.part, number(0)), either(divided, self.parts, number(1))
        units = quotient(add(size, number(unit - 1)), unit)
        first, end = (times(share(units, at, parts), number(unit)) for at in (part, add(part, number(1))))
        return Range(first, lesser(end, size))

    @property
    def tiles(self) -> SSAValue:
        """Where working space of this thread begins, with tiles that are packed."""
        fixed, most = map(number, scratch(self.machine))
        return times(self.part, add(times(most, add(self.block, number(1))), fixed))

    @property
    def panels(self) -> SSAValue:
        """Where panels are packed."""
        return add(self.tiles, number(scratch(self.machine)[0]))


def each_part(whole: Range, size: SSAValue, body: Callable[[Range], None]) -> None:
    """`body` with one part after another, so many positions long."""
    each(whole.first, whole.end, size, lambda first: body(Range(first, lesser(add(first, size), whole.end))))


@dataclass(frozen=True)
class Chunk:
    """A block of k, from `k` on and so `long`, for some rows and columns."""

    product: Product
    rows: Range
    columns: Range
    k: SSAValue
    long: SSAValue
    b_first: SSAValue

    @property
    def a(self) -> Lines:
        """The rows of a."""
        given = self.product
        return Lines(given.a, given.a_row, given.a_column, given.rows)

    @property
    def b(self) -> Lines:
        """The columns of b."""
        given = self.product
        return Lines(given.b, given.b_column, given.b_row, given.columns)

    def turned(self, one: SSAValue, other: SSAValue) -> SSAValue:
        """`one` where b is packed before, else `other`."""
        return either(self.b_first, one, other)

    def write(self) -> None:
        """One matrix is packed, then the other unit by unit."""
        tiles, panels = self.rows.units(self.product.height), self.columns.units(self.product.width)
        branch(self.b_first, lambda: self.pack_b(self.columns), lambda: self.pack_a(self.rows))

        def unit(at: SSAValue) -> None:
            own, others = self.rows.unit(at, self.product.height), self.columns.unit(at, self.product.width)
            branch(self.b_first, lambda: self.pack_a(own), lambda: self.pack_b(others))
            each(
                number(0), self.turned(panels, tiles), number(1),
                lambda other: self.pair(self.turned(at, other), self.turned(other, at)),
            )  # fmt: skip

        each(number(0), self.turned(tiles, panels), number(1), unit)

    def pack_a(self, own: Range) -> None:
        """Tiles of rows."""
        packing = self.packing(self.a, own, self.product.tiles, self.product.height)
        branch(self.a.is_along, packing.by_lines, packing.by_vectors)

    def pack_b(self, own: Range) -> None:
        """Panels of columns."""
        packing = self.packing(self.b, own, self.product.panels, self.product.width)
        branch(self.b.is_along, packing.by_squares, packing.by_vectors)

    def packing(self, lines: Lines, own: Range, to: SSAValue, width: int) -> Packing:
        """Of some lines of this block."""
        return Packing(lines, own, self.k, self.long, self.product.scratch, to, width, self.product.machine.lanes)

    def pair(self, tile: SSAValue, panel: SSAValue) -> None:
        """A tile and a panel: all its rows at once, or what is left by fours and ones."""
        given, none, line = self.product, number(0), add(self.long, number(1))
        own, along = self.rows.unit(tile, given.height), self.a.is_along
        a_apart = either(along, number(given.height * PITCH), times(line, number(given.machine.lanes)))
        packed = add(given.tiles, times(self.turned(none, tile), a_apart))
        b = add(given.panels, times(self.turned(panel, none), times(line, number(given.width))))
        column = self.columns.unit(panel, given.width).first
        output = Output(given.c, given.bias, given.columns, equal(self.k, none), given.biased)
        top, rest, ahead = own.first, own.size, self.ahead(tile, panel)
        for count in dict.fromkeys((given.height, 4, 1)):
            some = minus(rest, remainder(rest, number(count)))
            piece = Tile(given.machine, count, given.scratch, packed, along, top, output, ahead)
            each(
                none, some, number(count),
                lambda row, piece=piece: piece.down(row).write(b, self.long, column, self.columns.end),
            )  # fmt: skip
            done = piece.down(some)
            top, packed, rest = done.row, done.a, minus(rest, some)

    @property
    def unpacked(self) -> Lines:
        """Those that are packed unit by unit."""
        a, b = self.a, self.b
        pairs = (a.buffer, b.buffer), (a.step, b.step), (a.stride, b.stride), (a.count, b.count)
        return Lines(*(self.turned(*pair) for pair in pairs))

    def ahead(self, tile: SSAValue, panel: SSAValue) -> Ahead:
        """What is packed next: a tile, with the first four panels, or each vector of a panel, with four tiles."""
        given, lanes = self.product, self.product.machine.lanes
        turn, end = self.turned(panel, tile), self.turned(self.rows.end, self.columns.end)
        part = quotient(turn, QUARTERS)
        row = self.rows.unit(add(tile, number(1)), given.height).first
        column = self.columns.unit(add(panel, number(1)), given.width).first
        line = add(self.turned(row, column), times(part, number(lanes)))
        wanted = both(less(part, self.turned(number(1), number(WIDTH))), less(line, end))
        return Ahead(self.unpacked, line, self.k, self.long, remainder(turn, number(QUARTERS)), wanted, lanes)
