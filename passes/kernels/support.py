"""h = act(x), and where it is not zero, of one row: an activation and the list of what it left, in one pass.

    found = 0
    for k:
      h[k] = act(x[k])
      active[found] = k                         always written: the next one overwrites what did not count
      found += h[k] != 0                        NaN counts, -0.0 does not
    size = found

Without an activation h is x itself, and nothing but the list is written; so it is where h is not kept, as its readers
activate x themselves. One thread: it reads x once.
"""

from collections.abc import Sequence
from enum import StrEnum, auto

from xdsl.dialects import arith, func
from xdsl.dialects.builtin import f32, i64
from xdsl.ir import SSAValue

from .signature import Arguments, Element, kernel_function
from .writing import INDEX, add, element_of, load, loop, number, real, store, store_index


class Activation(StrEnum):
    """What is done to x before its support is taken."""

    NONE = auto()
    RELU = auto()
    SQUARED_RELU = auto()


def support(inputs: int, element: Element, activation: Activation, *, keep: bool = True, name: str = "") -> func.FuncOp:
    """The function for one row; `support_rows.py` has that for several."""

    def body(given: Arguments) -> None:
        row = number(0)

        def step(k: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
            value = activate(given, row, k, activation, keep)
            store_index(k, given.active, found[0])
            return (add(found[0], one_if(is_active(value))),)

        (found,) = loop(number(0), number(inputs), number(1), [number(0)], step)
        store_index(found, given.size, number(0))

    return kernel_function(1, inputs, inputs, (1, 1), element, body, name=name)


def activate(given: Arguments, row: SSAValue, k: SSAValue, activation: Activation, keep: bool) -> SSAValue:
    """h[row, k], written where it is kept and not x itself."""
    value = activated(given, row, k, activation)
    if keep and activation is not Activation.NONE:
        store(value, given.output, row, k)
    return value


def activated(given: Arguments, row: SSAValue, k: SSAValue, activation: Activation) -> SSAValue:
    """h[row, k], as it is once it is stored."""
    value = load(given.x, row, k)
    if activation is Activation.NONE:
        return value
    zero = real(0.0)
    value = arith.SelectOp(arith.CmpfOp(value, zero, "ugt").result, value, zero).result
    if activation is Activation.SQUARED_RELU:
        value = arith.MulfOp(value, value).result
        if (element := element_of(given.x)) != f32:
            value = arith.ExtFOp(arith.TruncFOp(value, element).result, f32).result
    return value


def is_active(value: SSAValue) -> SSAValue:
    """Is it not zero? NaN counts, -0.0 does not."""
    return arith.CmpfOp(value, real(0.0), "une").result


def one_if(condition: SSAValue) -> SSAValue:
    """1 where it holds, else 0."""
    return arith.IndexCastOp(arith.ExtUIOp(condition, i64).result, INDEX).result
