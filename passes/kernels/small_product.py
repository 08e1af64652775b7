"""c = scale a b, or more of it, of matrices in near caches: a function that kernels call for each pair of them.

    small_product(a, b, c, .., rows, columns, first, near, far, scale, start, more)
      for each panel of columns                       two vectors, or one
        for each tile of rows                         eight; what is left by fours and ones
          sums = a[rows, k] b[k, panel]               over k from first to near, one after the other; rounded once each
          where one of them is zero                   and near < far: over k from there to far, too
          c = start + scale sums                      c + scale sums where `more`

Rows of b and c are neighbours in memory; a lies in any way, so it may be transposed. Nothing is packed.

`near` is for factors of which all are zero from there on: they leave a sum as it is, but for one that is -0.0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import arith, llvm
from xdsl.dialects.builtin import (
    IntegerAttr,
    IntegerType,
    UnrealizedConversionCastOp,
    f32,
    i32,
    i64,
)
from xdsl.ir import Attribute, Block, Region, SSAValue

from ..llvm_types import lanes
from .signature import Machine
from .writing import (
    INDEX,
    add,
    alike,
    branch,
    chosen,
    each,
    either,
    either_bits,
    equal,
    fma,
    lanes_of,
    larger,
    less,
    lesser,
    load,
    loop,
    minus,
    number,
    numbers,
    remainder,
    splat,
    times,
    vector_load,
    vector_store,
    zeros,
)

FUNCTION = "small_product"
"""The function's name."""
POINTER = llvm.LLVMPointerType()
POINTERS = ("a", "b", "c")
NUMBERS = ("a_row", "a_column", "b_row", "c_row", "rows", "columns", "first", "near", "far", "more")
REALS = ("scale", "start")
HEIGHT, WIDTH = 8, 2
"""Rows of a tile, and vectors of a panel."""
MAGNITUDE, SIGN = 0x7FFFFFFF, -0x80000000


@dataclass(frozen=True)
class Matrix:
    """A matrix that begins `at` a place of a buffer: so far from row to row, and from column to column."""

    buffer: SSAValue
    at: SSAValue
    row: SSAValue
    column: SSAValue

    def place(self, row: SSAValue, column: SSAValue) -> SSAValue:
        """Where a number lies."""
        return add(self.at, add(times(row, self.row), times(column, self.column)))

    def from_row(self, row: SSAValue) -> "Matrix":
        """The rows from this one on."""
        return Matrix(self.buffer, add(self.at, times(row, self.row)), self.row, self.column)

    def from_column(self, column: SSAValue) -> "Matrix":
        """The columns from this one on."""
        return Matrix(self.buffer, add(self.at, times(column, self.column)), self.row, self.column)

    @property
    def turned(self) -> "Matrix":
        """Its transpose."""
        return Matrix(self.buffer, self.at, self.column, self.row)

    @property
    def pointer(self) -> SSAValue:
        """Its address."""
        first = UnrealizedConversionCastOp.get((self.buffer,), (POINTER,)).results[0]
        return llvm.GEPOp.from_mixed_indices(first, [arith.IndexCastOp(self.at, i64).result], f32).result


@dataclass(frozen=True)
class Depth:
    """Positions of k from `first` to `near`, and, where a sum is zero there, to `far`."""

    first: SSAValue
    near: SSAValue
    far: SSAValue


def small_product(
    a: Matrix, b: Matrix, c: Matrix, rows: SSAValue, columns: SSAValue, depth: Depth,
    scale: SSAValue, start: float, more: SSAValue | None = None,
) -> None:  # fmt: skip
    """Call it. `columns` are whole vectors; sums are added to c where `more` holds."""
    added = number(0) if more is None else either(more, number(1), number(0))
    sizes = a.row, a.column, b.row, c.row, rows, columns, depth.first, depth.near, depth.far, added
    given = [arith.IndexCastOp(size, i64).result for size in sizes]
    llvm.CallOp(FUNCTION, a.pointer, b.pointer, c.pointer, *given, scale, alike(start, scale))


def product_by_parts(
    a: Matrix, b: Matrix, c: Matrix, rows: SSAValue, columns: SSAValue, near: SSAValue, far: SSAValue,
    length: SSAValue, scale: SSAValue, start: float, more: SSAValue | None = None,
) -> None:  # fmt: skip
    """The same, with sums over `length` k each, which are added to c one after the other."""

    def part(at: SSAValue) -> None:
        size, left = lesser(length, minus(far, at)), minus(near, at)
        inside = lesser(larger(left, number(0)), size)
        depth = Depth(number(0), inside, either(less(number(0), inside), size, inside))
        later = less(number(0), at)
        added = later if more is None else either_bits(later, more)
        small_product(a.from_column(at), b.from_row(at), c, rows, columns, depth, scale, start, added)

    each(number(0), far, length, part)


def small_product_function(machine: Machine) -> llvm.FuncOp:
    """The function."""
    kinds: dict[str, Attribute] = {
        **dict.fromkeys(POINTERS, POINTER), **dict.fromkeys(NUMBERS, i64), **dict.fromkeys(REALS, f32)
    }  # fmt: skip
    block = Block(arg_types=[*kinds.values()])
    given = dict[str, SSAValue](zip(kinds, block.args, strict=True))
    with ImplicitBuilder(block):
        given |= {name: numbers(given[name], f32) for name in POINTERS}
        given |= {name: arith.IndexCastOp(given[name], INDEX).result for name in NUMBERS}
        SmallProduct(machine=machine, **given).write()
        llvm.ReturnOp()
    kind = llvm.LLVMFunctionType([*kinds.values()])
    return llvm.FuncOp(FUNCTION, kind, llvm.LinkageAttr("internal"), body=Region(block))


@dataclass(frozen=True)
class SmallProduct:
    """The function's arguments; see the head of this file."""

    a: SSAValue
    b: SSAValue
    c: SSAValue
    a_row: SSAValue
    a_column: SSAValue
    b_row: SSAValue
    c_row: SSAValue
    rows: SSAValue
    columns: SSAValue
    first: SSAValue
    near: SSAValue
    far: SSAValue
    more: SSAValue
    scale: SSAValue
    start: SSAValue
    machine: Machine

    @property
    def lanes(self) -> int:
        """Numbers of a vector."""
        return self.machine.lanes

    def write(self) -> None:
        """The loops."""
        pair = number(WIDTH * self.lanes)
        whole = minus(self.columns, remainder(self.columns, pair))
        each(number(0), whole, pair, lambda column: self.panel(column, WIDTH))
        each(whole, self.columns, number(self.lanes), lambda column: self.panel(column, 1))

    def panel(self, column: SSAValue, parts: int) -> None:
        """All rows of some vectors."""
        top = number(0)
        for count in dict.fromkeys((min(HEIGHT, (self.machine.registers - 4) // WIDTH), 4, 1)):
            rest = minus(self.rows, top)
            end = add(top, minus(rest, remainder(rest, number(count))))
            each(top, end, number(count), lambda row, count=count: self.tile(row, column, count, parts))
            top = end

    def tile(self, row: SSAValue, column: SSAValue, count: int, parts: int) -> None:
        """Some rows of them."""

        def step(k: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
            line, made = add(times(k, self.b_row), column), list[SSAValue]()
            right = [vector_load(self.b, self.lanes, add(line, number(part * self.lanes))) for part in range(parts)]
            at = add(times(row, self.a_row), times(k, self.a_column))
            for place in range(count):
                left = splat(load(self.a, add(at, times(number(place), self.a_row))), self.lanes)
                made += [fma(left, value, found[len(made) + part]) for part, value in enumerate(right)]
            return made

        nothing = [zeros(self.lanes)] * (count * parts)
        near = loop(self.first, self.near, number(1), nothing, step)

        def farther() -> Sequence[SSAValue]:
            return chosen(any_zero(near), lambda: loop(self.near, self.far, number(1), near, step), lambda: near)

        sums = chosen(less(self.near, self.far), farther, lambda: near)

        def put(before: Callable[[SSAValue], SSAValue]) -> None:
            factor, values = splat(self.scale, self.lanes), iter(sums)
            for place in range(count):
                line = add(times(add(row, number(place)), self.c_row), column)
                for part in range(parts):
                    at = add(line, number(part * self.lanes))
                    value = arith.MulfOp(factor, next(values)).result
                    vector_store(arith.AddfOp(before(at), value).result, self.c, at)

        branch(
            equal(self.more, number(0)),
            lambda: put(lambda at: splat(self.start, self.lanes)),
            lambda: put(lambda at: vector_load(self.c, self.lanes, at)),
        )


def any_zero(values: Sequence[SSAValue]) -> SSAValue:
    """Is a lane of some vectors 0.0 or -0.0? Their bits but for the sign, less 1, are negative there alone."""

    def below(value: SSAValue) -> SSAValue:
        bits = bits_of(value)
        return arith.SubiOp(arith.AndIOp(bits, alike(MAGNITUDE, bits)).result, alike(1, bits)).result

    return any_negative(reduce(either_bits, map(below, values)))


def any_negative(value: SSAValue) -> SSAValue:
    """Is a lane of a vector of i32 negative?"""
    signs = arith.AndIOp(value, alike(SIGN, value)).result
    whole = IntegerType(32 * lanes(signs))
    none = arith.ConstantOp(IntegerAttr(0, whole)).result
    return arith.CmpiOp(llvm.BitcastOp(signs, whole).results[0], none, "ne").result


def bits_of(value: SSAValue) -> SSAValue:
    """A vector of f32 as i32."""
    return llvm.BitcastOp(value, lanes_of(lanes(value), i32)).results[0]
