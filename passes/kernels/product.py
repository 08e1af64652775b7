"""c = a b, or bias + a b: a dense product that has its sums in a given order, so that they can be the library's.

    for each slab of columns, PANELS wide             tiles, or panels, are divided among threads
      for each block of k                             `block` long: here the order of the sums is made
        pack b                                        stays in second-level cache
        for each chunk of rows, TILES high
          pack a                                      stays there, too
          for each tile, for each panel
            sums of the block go to c                 in registers: see `product_tile.py`

Each number of c is a sum over blocks of k, and each block a sum of one k after the other that is rounded once for each:
MKL's order too (on AMD, 2026-11: blocks of 192, or halves of k where two are enough), so that c has its bits. Threads
change nothing. a and b may be transposed. After Goto and van de Geijn, "Anatomy of High-Performance Matrix
Multiplication", ACM TOMS 34(3), 2008, section 5.
"""

from dataclasses import dataclass

from xdsl.dialects.builtin import DYNAMIC_INDEX, DenseArrayBase, MemRefType, ModuleOp, f32, i64
from xdsl.ir import Attribute, SSAValue

from ...dialects.kernel import SCRATCH
from .panels import Lines, Packing
from .product_tile import WIDTH, Output, Tile, tile_rows
from .signature import MACHINE, Machine, named_kernel
from .writing import INDEX, add, each, either, equal, less, lesser, minus, number, quotient, remainder, share, times

FUNCTION = "product"
"""The function's name."""
BUFFERS = ("a", "b", "bias", "c", "scratch")
"""Arguments that are addresses of f32; c is row-major."""
NUMBERS = ("a_row", "a_column", "b_row", "b_column", "rows", "columns", "depth", "block", "biased")
"""Arguments that are numbers: strides, one of each pair 1; sizes; the length of a block; 1 where there is a bias."""
PANELS, TILES = 32, 8
"""Panels of a slab, and tiles that are packed at once: with blocks of 192 they are 786 and 98 kB, together most of a
second-level cache. One tile at a time was 5 % slower where a is read across its rows (AMD EPYC, 2026-11)."""


def scratch(machine: Machine) -> tuple[int, int]:
    """Numbers of working space for each thread: the sums of a tile, and times `block`, a slab and a chunk."""
    panel = WIDTH * machine.lanes
    return tile_rows(machine) * panel, PANELS * panel + TILES * machine.lanes


def product_kernel(name: str, machine: Machine = MACHINE) -> ModuleOp:
    """The kernel, for all sizes."""
    buffer = MemRefType(f32, (DYNAMIC_INDEX,))
    arguments: dict[str, Attribute] = {**dict.fromkeys(BUFFERS, buffer), **dict.fromkeys(NUMBERS, INDEX)}
    space = {SCRATCH: DenseArrayBase.from_list(i64, scratch(machine))}
    return named_kernel(
        FUNCTION, arguments, lambda given: Product(machine=machine, **given).write(), name=name, attributes=space
    )


@dataclass(frozen=True)
class Range:
    """Positions of an axis."""

    first: SSAValue
    end: SSAValue


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
        tall, slab = less(self.columns, self.rows), number(PANELS * self.width)
        wide = less(self.rows, add(self.columns, number(1)))
        rows, columns = self.own(self.rows, self.height, tall), self.own(self.columns, self.width, wide)

        def over_slab(left: SSAValue) -> None:
            own = Range(left, lesser(add(left, slab), columns.end))
            each(number(0), self.depth, self.block, lambda k: self.over_block(rows, own, k))

        each(columns.first, columns.end, slab, over_slab)

    def own(self, size: SSAValue, unit: int, divided: SSAValue) -> Range:
        """This thread's part of an axis, in whole tiles or panels; all of it where it is not `divided`."""
        part, parts = either(divided, self.part, number(0)), either(divided, self.parts, number(1))
        units = quotient(add(size, number(unit - 1)), unit)
        first, end = (times(share(units, at, parts), number(unit)) for at in (part, add(part, number(1))))
        return Range(first, lesser(end, size))

    def over_block(self, rows: Range, columns: Range, k: SSAValue) -> None:
        """A block of k, of a slab of columns."""
        long = lesser(self.block, minus(self.depth, k))
        a, b = self.space(PANELS * self.width), self.space(0)
        a_lines = Lines(self.a, self.a_row, self.a_column, self.rows)
        b_lines = Lines(self.b, self.b_column, self.b_row, self.columns)
        output = Output(self.c, self.bias, self.columns, equal(k, number(0)), self.biased)

        def pack(lines: Lines, own: Range, to: SSAValue, width: int) -> None:
            Packing(lines, own.first, own.end, k, long, self.scratch, to, width, self.machine.lanes).write()

        def chunk(top: SSAValue) -> None:
            own = Range(top, lesser(add(top, number(TILES * self.height)), rows.end))
            pack(a_lines, own, a, self.height)
            tiles = quotient(add(minus(own.end, top), number(self.height - 1)), self.height)
            each(number(0), tiles, number(1), lambda which: tile(own, which))

        def tile(own: Range, which: SSAValue) -> None:
            top = add(own.first, times(which, number(self.height)))
            packed = add(a, times(times(which, long), number(self.machine.lanes)))
            rest = lesser(minus(own.end, top), number(self.height))
            for count in dict.fromkeys((self.height, 4, 1)):
                some = minus(rest, remainder(rest, number(count)))
                piece = Tile(self.machine, count, self.scratch, packed, top, spare, output)
                each(number(0), some, number(count), lambda row, piece=piece: over_panels(piece.down(row)))
                top, packed, rest = add(top, some), add(packed, some), minus(rest, some)

        def over_panels(piece: Tile) -> None:
            def panel(column: SSAValue) -> None:
                piece.write(add(b, times(minus(column, columns.first), long)), long, column, columns.end)

            each(columns.first, columns.end, number(self.width), panel)

        spare = self.space(PANELS * self.width + TILES * self.machine.lanes)
        pack(b_lines, columns, b, self.width)
        each(rows.first, rows.end, number(TILES * self.height), chunk)

    def space(self, blocks: int) -> SSAValue:
        """Where working space of this thread begins, after so many times `block` numbers."""
        fixed, most = map(number, scratch(self.machine))
        whole = add(times(most, self.block), fixed)
        return add(times(self.part, whole), times(number(blocks), self.block))
