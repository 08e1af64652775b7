"""y = bias + sum over active k of x[k] weight[k, :], of one row: the weight's rows are read from end to end.

    ask for the first eight rows of the weight
    sums[:] = bias                                   (columns are divided among threads)
    for eight active k at once:
      for each line of columns:
        sums[line] += x[k] * weight[k, line]         of all eight, while the same line of the next eight is asked for
    y[:] = sums

Bound by memory, so the weight is read in the order that it lies in: eight streams, no page opened twice. The sums are
in cache, in the output itself where that is of f32. Columns over after the last whole line are done in registers, as
those of several rows are (`skip_k.py`). Sums are of f32 in the order of the positions.
"""

from collections.abc import Callable, Sequence
from functools import partial

from xdsl.dialects import arith, func
from xdsl.dialects.builtin import f32
from xdsl.ir import SSAValue

from .signature import MACHINE, Arguments, Element, Machine, kernel_function
from .skip_k import write_tile
from .support import Activation, activated
from .writing import (
    add,
    bytes_of,
    choose,
    each,
    fma,
    lesser,
    load_index,
    number,
    pieces,
    prefetch,
    share,
    splat,
    times,
    vector_load,
    vector_store,
    when,
    zeros,
)

LINE = 64
"""Bytes of a line of memory."""


def skip_k_row(
    inputs: int,
    outputs: int,
    element: Element,
    *,
    bias: bool,
    activation: Activation = Activation.NONE,
    machine: Machine = MACHINE,
    together: int = 8,
) -> func.FuncOp:
    """The function for one row; `together` positions are done at once."""
    lanes = min(machine.lanes, LINE // bytes_of(element))
    line = LINE // bytes_of(element)
    lines, rest = divmod(outputs, line)

    def body(given: Arguments) -> None:
        size, zero, one = load_index(given.size, number(0)), number(0), number(1)
        after = add(given.part, one)
        columns = [times(share(number(lines), part, given.parts), number(line)) for part in (given.part, after)]
        sums = [given.output, zero] if element == f32 else [given.scratch]
        begin, end = columns
        over = partial(each, begin, end, number(lanes))
        ask = partial(prefetch_rows, given, first_rows(given, size, together))
        each(begin, end, number(line), ask)
        over(lambda n: vector_store(vector_load(given.bias, lanes, n) if bias else zeros(lanes), sums[0], *sums[1:], n))
        over_groups(size, together, partial(add_rows, given, sums, size, columns, line, lanes, activation))
        if element != f32:
            over(lambda n: vector_store(vector_load(given.scratch, lanes, n), given.output, zero, n))
        if rest:
            is_last = arith.CmpiOp(after, given.parts, "eq").result
            tail = partial(write_tile, given, [zero], size, None, bias, 0, activation=activation)
            when(is_last, lambda: tail(number(lines * line), pieces(rest, machine.lanes)))

    return kernel_function(1, inputs, outputs, (inputs, outputs), element, body)


def over_groups(size: SSAValue, together: int, body: Callable[[int, SSAValue], None]) -> None:
    """`body(group, place)` for all positions: `together` of them at once, those over by halves of that."""
    first, group = number(0), together
    while group:
        last = times(arith.DivUIOp(size, number(group)).result, number(group))
        each(first, last, number(group), partial(body, group))
        first, group = last, group // 2


def first_rows(given: Arguments, size: SSAValue, count: int) -> list[SSAValue]:
    """The rows of the weight that are read first; row 0 where none is."""
    some, last = arith.CmpiOp(size, number(0), "ne").result, add(size, number(-1))

    def row(place: int) -> SSAValue:
        return choose(some, lambda: load_index(given.active, lesser(number(place), last)), lambda: number(0))

    return [row(place) for place in range(count)]


def later_rows(given: Arguments, size: SSAValue, group: int, place: SSAValue) -> list[SSAValue]:
    """The rows of the weight that are read after those from `place` on."""
    last = add(size, number(-1))
    return [load_index(given.active, lesser(add(place, number(step + group)), last)) for step in range(group)]


def prefetch_rows(given: Arguments, rows: Sequence[SSAValue], column: SSAValue) -> None:
    """Ask for one line of each row."""
    for row in rows:
        prefetch(given.weight, row, column)


def add_rows(
    given: Arguments,
    sums: Sequence[SSAValue],
    size: SSAValue,
    columns: Sequence[SSAValue],
    line: int,
    lanes: int,
    activation: Activation,
    group: int,
    place: SSAValue,
) -> None:
    """Add `group` rows of the weight, from active position `place` on, to the sums."""
    rows = [load_index(given.active, add(place, number(step))) for step in range(group)]
    later = later_rows(given, size, group, place)
    factors = [splat(activated(given, number(0), row, activation), lanes) for row in rows]

    def step(n: SSAValue) -> None:
        prefetch_rows(given, later, n)
        for offset in range(0, line, lanes):
            at = add(n, number(offset))
            value = vector_load(sums[0], lanes, *sums[1:], at)
            for row, factor in zip(rows, factors, strict=True):
                value = fma(vector_load(given.weight, lanes, row, at), factor, value)
            vector_store(value, sums[0], *sums[1:], at)

    begin, end = columns
    each(begin, end, number(line), step)
