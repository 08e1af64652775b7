"""h = act(x + bias), and where any row of it is not zero: an activation and the list of what it left, in one pass.

    found = 0
    for k:
      h[m, k] = act(x[m, k] + bias[k])
      active[found] = k                         always written: the next one overwrites what did not count
      found += any of h[:, k] != 0              NaN counts, -0.0 does not
    size = found

Without an activation h is x itself, and nothing but the list is written. One thread: it reads x once.
"""

from collections.abc import Sequence
from enum import StrEnum, auto

from xdsl.dialects import arith, func
from xdsl.dialects.builtin import f32, i64
from xdsl.ir import SSAValue

from .signature import Arguments, Element, kernel_function
from .skip_k import row_numbers
from .writing import INDEX, add, element_of, load, loop, number, real, store, store_index


class Activation(StrEnum):
    """What is done to x before its support is taken."""

    NONE = auto()
    RELU = auto()
    SQUARED_RELU = auto()


def support(rows: int, inputs: int, element: Element, activation: Activation, *, exact: bool = True) -> func.FuncOp:
    """The function for `rows` rows, or for up to so many where not `exact`."""

    def body(given: Arguments) -> None:
        at = row_numbers(given.rows, rows, exact)

        def step(k: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
            values = [activate(given, row, k, activation) for row in at]
            store_index(k, given.active, found[0])
            return (add(found[0], any_counts(values)),)

        (found,) = loop(number(0), number(inputs), number(1), [number(0)], step)
        store_index(found, given.size, number(0))

    return kernel_function(rows, inputs, inputs, (1, 1), element, body)


def activate(given: Arguments, row: SSAValue, k: SSAValue, activation: Activation) -> SSAValue:
    """h[row, k], written where it is not x itself."""
    value = load(given.x, row, k)
    if activation is Activation.NONE:
        return value
    zero = real(0.0)
    value = arith.SelectOp(arith.CmpfOp(value, zero, "ugt").result, value, zero).result
    if activation is Activation.SQUARED_RELU:
        value = arith.MulfOp(value, value).result
        if (element := element_of(given.output)) != f32:
            value = arith.ExtFOp(arith.TruncFOp(value, element).result, f32).result
    store(value, given.output, row, k)
    return value


def any_counts(values: Sequence[SSAValue]) -> SSAValue:
    """1 where any of the values is not zero, else 0."""
    zero = real(0.0)
    counts = [arith.CmpfOp(value, zero, "une").result for value in values]
    some = counts[0]
    for one in counts[1:]:
        some = arith.OrIOp(some, one).result
    return arith.IndexCastOp(arith.ExtUIOp(some, i64).result, INDEX).result
