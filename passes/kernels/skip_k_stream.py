"""y[m, :] = bias + sum over active k of x[m, k] weight[k, :], of few rows: the weight's rows are read as they lie.

    for each block of columns:                       (columns are divided among threads)
      sums[m, :] = bias                              in cache
      for eight active k at once:
        factors[m, :] = x[m, k]                      of all eight
        for each line of columns:
          for each row m:
            sums[m, line] += factors[m, k] * weight[k, line]    of all eight, while that line of the next is asked for
      y[m, block] = sums

For few rows a product is bound by memory, as it is for one (`skip_k_row.py`); for more, by arithmetic, and sums are
better off in registers (`skip_k.py`). `streams` tells which. Sums lie in working space of the thread's own, close
together: where rows of y are pages apart, those of one column would push each other out of the cache. Columns over
after the last whole line are done in registers. Sums are of f32 in the order of the positions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from xdsl.dialects import arith, func
from xdsl.ir import SSAValue

from .signature import APART, MACHINE, Arguments, Element, Machine, kernel_function
from .skip_k import row_numbers, write_tile
from .skip_k_row import LINE, first_rows, later_rows, over_groups, prefetch_rows
from .support import Activation, activated
from .writing import (
    add,
    bytes_of,
    each,
    fma,
    lesser,
    load,
    load_index,
    number,
    pieces,
    share,
    splat,
    store,
    times,
    vector_load,
    vector_store,
    when,
    zeros,
)

TOGETHER = 8
"""Positions that are done at once. With 4 and with 16 it was slower at 2, 4 and 8 rows (AMD EPYC, 2026-11)."""
CACHE = 1 << 16
"""Bytes of the sums of a block: a part of the second-level cache. With 16 KiB 8 rows took 1.4 times as long."""


def streams(rows: int, element: Element) -> bool:
    """Are so many rows bound by memory? Up to two multiplications for each byte of weight were."""
    return rows <= 2 * bytes_of(element)


@dataclass(frozen=True)
class Block:
    """Columns from `begin` on, and the working space of their sums and of factors."""

    given: Arguments
    begin: SSAValue
    columns: SSAValue
    sums: SSAValue
    factors: SSAValue
    stride: int
    lanes: int
    line: int
    activation: Activation

    def rows(self, body: Callable[[SSAValue], None]) -> None:
        """`body(row)` for all rows."""
        each(number(0), self.given.rows, number(1), body)

    def sum_at(self, row: SSAValue, column: SSAValue) -> SSAValue:
        """Where a sum stands."""
        return add(self.sums, add(times(row, number(self.stride)), column))

    def factor_at(self, row: SSAValue, step: int, group: int) -> SSAValue:
        """Where a factor stands."""
        return add(self.factors, add(times(row, number(group)), number(step)))


def skip_k_stream(
    rows: int,
    inputs: int,
    outputs: int,
    element: Element,
    *,
    bias: bool,
    exact: bool = True,
    activation: Activation = Activation.NONE,
    machine: Machine = MACHINE,
    cache: int = CACHE,
) -> func.FuncOp:
    """The function for up to `rows` rows."""
    line = LINE // bytes_of(element)
    lanes = min(machine.lanes, line)
    lines, rest = divmod(outputs, line)
    width = max(1, min(lines, cache // (4 * rows * line))) * line

    def body(given: Arguments) -> None:
        size, after = load_index(given.size, number(0)), add(given.part, number(1))
        begin, end = (times(share(number(lines), part, given.parts), number(line)) for part in (given.part, after))
        sums = times(given.part, number(rows * (width + APART)))
        factors = add(sums, number(rows * (width + line)))

        def block(start: SSAValue) -> None:
            columns = lesser(arith.SubiOp(end, start).result, number(width))
            write_block(Block(given, start, columns, sums, factors, width + line, lanes, line, activation), size, bias)

        each(begin, end, number(width), block)
        if rest:
            is_last = arith.CmpiOp(after, given.parts, "eq").result
            tail = partial(
                write_tile, given, row_numbers(given.rows, rows, exact), size, None, bias, 0, activation=activation
            )
            when(is_last, lambda: tail(number(lines * line), pieces(rest, machine.lanes)))

    return kernel_function(rows, inputs, outputs, (inputs, outputs), element, body)


def write_block(block: Block, size: SSAValue, bias: bool) -> None:
    """The outputs of all rows in the columns of a block."""
    given, lanes, zero = block.given, block.lanes, number(0)
    over = partial(each, zero, block.columns, number(lanes))
    firsts = first_rows(given, size, TOGETHER)

    def begin(row: SSAValue, n: SSAValue) -> None:
        start = vector_load(given.bias, lanes, add(block.begin, n)) if bias else zeros(lanes)
        vector_store(start, given.scratch, block.sum_at(row, n))

    def end(row: SSAValue, n: SSAValue) -> None:
        found = vector_load(given.scratch, lanes, block.sum_at(row, n))
        vector_store(found, given.output, row, add(block.begin, n))

    each(zero, block.columns, number(block.line), lambda n: prefetch_rows(given, firsts, add(block.begin, n)))
    block.rows(lambda row: over(partial(begin, row)))
    over_groups(size, TOGETHER, partial(add_rows, block, size))
    block.rows(lambda row: over(partial(end, row)))


def add_rows(block: Block, size: SSAValue, group: int, place: SSAValue) -> None:
    """Add `group` rows of the weight, from active position `place` on, to the sums of all rows."""
    given, lanes, line = block.given, block.lanes, block.line
    active = [load_index(given.active, add(place, number(step))) for step in range(group)]
    later = later_rows(given, size, group, place)
    halves = [number(offset) for offset in range(0, line, lanes)]

    def take(row: SSAValue) -> None:
        for step, k in enumerate(active):
            store(activated(given, row, k, block.activation), given.scratch, block.factor_at(row, step, group))

    def step(n: SSAValue) -> None:
        column = add(block.begin, n)
        prefetch_rows(given, later, column)
        weights = [[vector_load(given.weight, lanes, k, add(column, half)) for k in active] for half in halves]
        block.rows(partial(add_line, block, n, halves, weights, group))

    block.rows(take)
    each(number(0), block.columns, number(line), step)


def add_line(
    block: Block,
    n: SSAValue,
    halves: Sequence[SSAValue],
    weights: Sequence[Sequence[SSAValue]],
    group: int,
    row: SSAValue,
) -> None:
    """Add a line of `group` rows of the weight to the sums of one row."""
    scratch, lanes = block.given.scratch, block.lanes
    factors = [splat(load(scratch, block.factor_at(row, step, group)), lanes) for step in range(group)]
    for half, vectors in zip(halves, weights, strict=True):
        at = block.sum_at(row, add(n, half))
        total = vector_load(scratch, lanes, at)
        for vector, factor in zip(vectors, factors, strict=True):
            total = fma(vector, factor, total)
        vector_store(total, scratch, at)
