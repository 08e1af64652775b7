"""y[m, :] = bias + sum over active k of x[m, k] weight[k, :], of several rows: the weight is read once for all of them.

    for each tile of outputs                          (divided among threads)
      sums[m, :] = bias                               in registers
      for k in active:
        sums[m, :] += x[m, k] * weight[k, tile]       neighbours in memory: the weight lies k-major
      y[m, tile] = sums

One row has its own kernel (`skip_k_row.py`), and so have few (`skip_k_stream.py`). The rows of x are first brought
together, active positions only. A tile is as wide as the sums of all rows fit in the registers; what is left over at
the end is a narrower one, done by the last thread. Sums are of f32 and in the order of the positions: the result does
not depend on the number of threads.
"""

from collections.abc import Sequence
from functools import partial

from xdsl.dialects import arith, func
from xdsl.ir import SSAValue

from .signature import MACHINE, Arguments, Element, Machine, kernel_function
from .support import Activation, activated
from .writing import (
    add,
    bytes_of,
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
    share,
    splat,
    store,
    times,
    vector_load,
    vector_store,
    when,
    zeros,
)

AHEAD = 16
"""How many positions ahead the weight is asked for. Against 8 it was tried once, at 16 rows, where it was faster."""


MOST = 12
"""Vectors of a tile at most."""


def tile_vectors(outputs: int, rows: int, machine: Machine, widest: int = MOST) -> int:
    """How many vectors wide a tile is: all sums in three quarters of the registers.

    The tiles are an even number and nothing is left over, where that takes three quarters of this width at least.
    """
    most = max(1, min(widest, machine.registers * 3 // 4 // rows))
    vectors = max(1, outputs // machine.lanes)
    even = [width for width in range(1, most + 1) if vectors % (2 * width) == 0]
    best = max(even, default=0)
    return best if 4 * best >= 3 * most else min(most, max(1, vectors // 2))


def skip_k(
    rows: int,
    inputs: int,
    outputs: int,
    element: Element,
    *,
    bias: bool,
    exact: bool = True,
    activation: Activation = Activation.NONE,
    machine: Machine = MACHINE,
    vectors: int = 0,
    ahead: int = AHEAD,
) -> func.FuncOp:
    """The function for `rows` rows, or for up to so many where not `exact`."""
    width = (vectors or tile_vectors(outputs, rows, machine)) * machine.lanes
    tiles, rest = divmod(outputs, width)

    def body(given: Arguments) -> None:
        size, one = load_index(given.size, number(0)), number(1)
        at = row_numbers(given.rows, rows, exact)
        packed = pack(given, at, size, activation)
        write = partial(write_tile, given, at, size, packed, bias, ahead)
        first, last = (share(number(tiles), place, given.parts) for place in (given.part, add(given.part, one)))
        each(first, last, one, lambda tile: write(times(tile, number(width)), pieces(width, machine.lanes)))
        if rest:
            is_last = arith.CmpiOp(add(given.part, one), given.parts, "eq").result
            when(is_last, lambda: write(number(tiles * width), pieces(rest, machine.lanes)))

    return kernel_function(rows, inputs, outputs, (inputs, outputs), element, body)


def row_numbers(rows: SSAValue, most: int, exact: bool) -> list[SSAValue]:
    """Row numbers 0 .. most; those that there are not stand for the last one, which is then computed again."""
    if exact:
        return [number(row) for row in range(most)]
    last = add(rows, number(-1))
    return [lesser(number(row), last) for row in range(most)]


Packed = tuple[SSAValue, SSAValue]
"""Working space, and where this part's begins."""


def pack(given: Arguments, at: Sequence[SSAValue], size: SSAValue, activation: Activation) -> Packed:
    """scratch[position, row] = act(x[row, active[position]])"""
    height = number(len(at))
    begin = times(given.part, times(size, height))

    def step(place: SSAValue) -> None:
        k, to = load_index(given.active, place), add(begin, times(place, height))
        for number_of_row, row in enumerate(at):
            store(activated(given, row, k, activation), given.scratch, add(to, number(number_of_row)))

    each(number(0), size, number(1), step)
    return given.scratch, begin


def write_tile(
    given: Arguments,
    at: Sequence[SSAValue],
    size: SSAValue,
    packed: Packed | None,
    bias: bool,
    ahead: int,
    begin: SSAValue,
    widths: Sequence[int],
    *,
    first: SSAValue | None = None,
    activation: Activation = Activation.NONE,
) -> None:
    """The outputs of all rows from `begin` on, in vectors of `widths`; positions stand from `first` on."""
    columns = [add(begin, number(offset)) for offset in offsets(widths)]
    start = [
        vector_load(given.bias, width, column) if bias else zeros(width)
        for width, column in zip(widths, columns, strict=True)
    ]

    def active(place: SSAValue) -> SSAValue:
        return load_index(given.active, place if first is None else add(first, place))

    def step(place: SSAValue, sums: Sequence[SSAValue]) -> Sequence[SSAValue]:
        k = active(place)
        if ahead:
            later = active(lesser(add(place, number(ahead)), add(size, number(-1))))
            for line in range(0, sum(widths), 64 // bytes_of(element_of(given.weight))):
                prefetch(given.weight, later, add(begin, number(line)))
        weights = [vector_load(given.weight, width, k, add(begin, number(offset)))
                   for width, offset in zip(widths, offsets(widths), strict=True)]  # fmt: skip
        found = []
        for row, factor in enumerate(factors(given, at, packed, place, k, activation)):
            own = sums[row * len(widths) : (row + 1) * len(widths)]
            spread = {lanes: splat(factor, lanes) for lanes in dict.fromkeys(widths)}
            found += [fma(w, spread[lanes], s) for w, lanes, s in zip(weights, widths, own, strict=True)]
        return found

    sums = iter(loop(number(0), size, number(1), start * len(at), step))
    for row in at:
        for column in columns:
            vector_store(next(sums), given.output, row, column)


def factors(
    given: Arguments,
    at: Sequence[SSAValue],
    packed: Packed | None,
    place: SSAValue,
    k: SSAValue,
    activation: Activation,
) -> list[SSAValue]:
    """x[m, k] of every row, activated where it is not packed yet."""
    if packed is None:
        return [activated(given, row, k, activation) for row in at]
    scratch, begin = packed
    start = add(begin, times(place, number(len(at))))
    return [load(scratch, add(start, number(row))) for row in range(len(at))]
