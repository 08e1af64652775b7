"""h = act(x), and where any row of it is not zero, of several rows: see `support.py` for one.

    flags[:] = 0
    for each row, each k:                            neighbours in memory, many at once
      h[row, k] = act(x[row, k])
      flags[k] = 1 where h[row, k] != 0              NaN counts, -0.0 does not
    active = where flags

The flags are in `scratch`. One thread, and one function for any number of rows.
"""

from collections.abc import Sequence

from xdsl.dialects import arith, func
from xdsl.ir import SSAValue

from .signature import Arguments, Element, kernel_function
from .support import Activation, activate, is_active, one_if
from .writing import add, each, load, loop, number, real, store, store_index


def support_rows(
    rows: int, inputs: int, element: Element, activation: Activation, *, keep: bool = True, name: str = ""
) -> func.FuncOp:
    """The function for up to `rows` rows."""

    def body(given: Arguments) -> None:
        zero, one, width = number(0), number(1), number(inputs)
        each(zero, width, one, lambda k: store(real(0.0), given.scratch, k))

        def mark(row: SSAValue, k: SSAValue) -> None:
            active = is_active(activate(given, row, k, activation, keep))
            flag = arith.SelectOp(active, real(1.0), load(given.scratch, k)).result
            store(flag, given.scratch, k)

        def listed(k: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
            store_index(k, given.active, found[0])
            return (add(found[0], one_if(is_active(load(given.scratch, k)))),)

        each(zero, given.rows, one, lambda row: each(zero, width, one, lambda k: mark(row, k)))
        (found,) = loop(zero, width, one, [zero], listed)
        store_index(found, given.size, zero)

    return kernel_function(rows, inputs, inputs, (1, 1), element, body, name=name)
