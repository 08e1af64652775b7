"""Which neurons of an input are active: a list for each row, ascending, and how many entries are neither 0 nor 1.

    for each row:
      for each eight numbers:
        where one of them has a bit set:
          for each that is not zero: ids[count] = its place, count += 1

| argument           | is                                                              |
|--------------------|-----------------------------------------------------------------|
| rows, values       | how many rows, and the numbers of each, f32                      |
| ids, counts        | the lists, each where its row begins; and how long they are      |
| odd                | entries that are neither 0 nor 1, by part                        |
"""

from collections.abc import Sequence

from xdsl.dialects import arith, llvm, memref, vector
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    IntegerAttr,
    IntegerType,
    MemRefType,
    ModuleOp,
    VectorType,
    f32,
    i32,
    i64,
)
from xdsl.ir import Attribute, SSAValue

from .population import EIGHT, STEP
from .signature import named_kernel
from .spike_rows import index, scalar
from .support import one_if
from .writing import INDEX, add, each, loop, number, real, share, times

BITS = IntegerType(EIGHT * 32)
NAMES = ("rows", "values", "ids", "counts", "odd")


def spike_list(width: int) -> ModuleOp:
    """The kernel for rows of `width` numbers, as a module without a name."""
    buffers = [MemRefType(kind, (DYNAMIC_INDEX,)) for kind in (f32, i32, i64, i64)]
    arguments = dict[str, Attribute](zip(NAMES, (INDEX, *buffers), strict=True))
    return named_kernel(STEP, arguments, lambda given: write(width, *given.values()))


def write(
    width: int, rows: SSAValue, values: SSAValue, ids: SSAValue, counts: SSAValue, odd: SSAValue, part: SSAValue,
    parts: SSAValue,
) -> None:  # fmt: skip
    """The body."""
    zero, one, whole = number(0), number(1), number(width // EIGHT * EIGHT)

    def row(r: SSAValue) -> None:
        first = times(r, number(width))

        def entry(n: SSAValue, carried: Sequence[SSAValue]) -> Sequence[SSAValue]:
            value = scalar(values, add(first, n))
            memref.StoreOp.get(arith.IndexCastOp(n, i32).result, ids, [add(first, carried[0])])
            active = one_if(arith.CmpfOp(value, real(0.0), "une").result)
            strange = arith.MuliOp(active, one_if(arith.CmpfOp(value, real(1.0), "une").result)).result
            return [add(carried[0], active), add(carried[1], strange)]

        def eight(n: SSAValue, carried: Sequence[SSAValue]) -> Sequence[SSAValue]:
            together = vector.LoadOp(values, [add(first, n)], VectorType(f32, [EIGHT])).result
            some = arith.CmpiOp(llvm.BitcastOp(together, BITS), arith.ConstantOp(IntegerAttr(0, BITS)), "ne").result
            last = arith.SelectOp(some, add(n, number(EIGHT)), n).result
            return loop(n, last, one, carried, entry)

        carried = loop(zero, whole, number(EIGHT), [zero, index(odd, part)], eight)
        count, strange = loop(whole, number(width), one, carried, entry)
        memref.StoreOp.get(arith.IndexCastOp(count, i64).result, counts, [r])
        memref.StoreOp.get(arith.IndexCastOp(strange, i64).result, odd, [part])

    first, end = (share(rows, at, parts) for at in (part, add(part, one)))
    each(first, end, one, row)
