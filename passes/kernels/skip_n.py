"""y[m, n] = (x[m, :] weight[n, :] + bias[n]) gate[m, n] for active n, and 0 elsewhere: inactive weights are not read.

    y[:, own columns] = 0                             (columns and active positions are divided among threads)
    for some active n at once:
      for each vector of k:
        sums[m, n] += x[m, k] * weight[n, k]          x is read once for all of them
      y[m, n] = (total of sums[m, n] + bias[n]) * gate[m, n]

A thread's columns go from its first active position to the next thread's first: no two threads write the same place,
and none waits. The line of the weight that comes one group later is asked for as each is used. Many rows are done in
blocks: the group's part of the weight is near when the second one reads it.
"""

from collections.abc import Sequence

from xdsl.dialects import arith, func
from xdsl.dialects.builtin import f32
from xdsl.ir import SSAValue

from .signature import MACHINE, Arguments, Element, Machine, kernel_function
from .skip_k import row_numbers
from .writing import (
    add,
    choose,
    each,
    element_of,
    fma,
    lesser,
    load,
    load_index,
    loop,
    number,
    offsets,
    pieces,
    prefetch,
    real,
    share,
    store,
    times,
    total,
    vector_load,
    zeros,
)

BLOCK = 8
"""Rows that are done at once: their sums and those of some columns fit the registers."""


def skip_n(
    rows: int,
    inputs: int,
    outputs: int,
    element: Element,
    *,
    bias: bool,
    gate: bool = False,
    exact: bool = True,
    machine: Machine = MACHINE,
    together: int = 0,
) -> func.FuncOp:
    """The function for `rows` rows, or for up to so many where not `exact`; `together` positions at once."""
    block = min(rows, BLOCK)
    group = together or max(1, min(8, machine.registers // 2 // block))

    def body(given: Arguments) -> None:
        size, one = load_index(given.size, number(0)), number(1)
        at, after = row_numbers(given.rows, rows, exact), add(given.part, one)
        begin, end = (first_column(given, size, place, outputs) for place in (given.part, after))
        for row in at:
            each(begin, end, one, lambda column, row=row: store(real(0.0), given.output, row, column))
        first, last = (share(size, place, given.parts) for place in (given.part, after))
        whole = times(arith.DivUIOp(arith.SubiOp(last, first).result, number(group)).result, number(group))
        middle = add(first, whole)

        def write(count: int, place: SSAValue) -> None:
            for begin in range(0, rows, block):
                some = at[begin : begin + block]
                write_columns(given, some, size, machine.lanes, inputs, bias, gate, count, place, ask=not begin)

        each(first, middle, number(group), lambda place: write(group, place))
        if group > 1:
            each(middle, last, one, lambda place: write(1, place))

    return kernel_function(rows, inputs, outputs, (outputs, inputs), element, body)


def first_column(given: Arguments, size: SSAValue, part: SSAValue, outputs: int) -> SSAValue:
    """Where the columns of `part` begin: at its first active position, the first part's at 0; all end at the end."""
    place = share(size, part, given.parts)
    inside = arith.CmpiOp(place, size, "ult").result
    found = choose(inside, lambda: load_index(given.active, place), lambda: number(outputs))
    return arith.SelectOp(arith.CmpiOp(part, number(0), "eq").result, number(0), found).result


def write_columns(
    given: Arguments,
    at: Sequence[SSAValue],
    size: SSAValue,
    lanes: int,
    inputs: int,
    bias: bool,
    gate: bool,
    count: int,
    place: SSAValue,
    ask: bool,
) -> None:
    """`count` active columns from `place` on, of the rows `at`; `ask` for the next ones as well."""
    columns = [load_index(given.active, add(place, number(step))) for step in range(count)]
    last = add(size, number(-1))
    later = [load_index(given.active, lesser(add(place, number(step + count)), last)) for step in range(count)]

    def multiply(k: SSAValue, width: int, sums: Sequence[SSAValue]) -> list[SSAValue]:
        xs = [vector_load(given.x, width, row, k) for row in at]
        found = []
        for step, column in enumerate(columns):
            w = vector_load(given.weight, width, column, k)
            found += [fma(x, w, s) for x, s in zip(xs, sums[step * len(at) : (step + 1) * len(at)], strict=True)]
        return found

    def step(k: SSAValue, sums: Sequence[SSAValue]) -> Sequence[SSAValue]:
        if ask and line_begins_at_each_vector(given, lanes):
            for column in later:
                prefetch(given.weight, column, k)
        return multiply(k, lanes, sums)

    whole = inputs - inputs % lanes
    dots: list[SSAValue] = []
    if whole:
        dots = [*map(total, loop(number(0), number(whole), number(lanes), [zeros(lanes)] * (count * len(at)), step))]
    for width, offset in zip(pieces(inputs - whole, lanes), offsets(pieces(inputs - whole, lanes)), strict=True):
        rest = map(total, multiply(number(whole + offset), width, [zeros(width)] * (count * len(at))))
        dots = [arith.AddfOp(a, b).result for a, b in zip(dots, rest, strict=True)] if dots else list(rest)
    for place_in_group, column in enumerate(columns):
        shift = load(given.bias, column) if bias else None
        for index, row in enumerate(at):
            value = dots[place_in_group * len(at) + index]
            value = value if shift is None else arith.AddfOp(value, shift).result
            value = arith.MulfOp(value, load(given.gate, row, column)).result if gate else value
            store(value, given.output, row, column)


def line_begins_at_each_vector(given: Arguments, lanes: int) -> bool:
    """Is a vector of the weight a whole line of memory or near it? (Else lines would be asked for too often.)"""
    return element_of(given.weight) == f32 or lanes > 8
