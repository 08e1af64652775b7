"""A chain of elementwise calls as one loop: each element is read once, and only what is yielded is written.

    %a = aten.mul.Tensor(%x0, 0.5)            for i in this part's share of size, in vectors, as LLVM sees fit:
    %b = aten.mul.Tensor(%a, %x1)      ->         y0[i] = (x0[i] * 0.5) * x1[i]
    kernel.yield %b

Every call is written as `primitives.py` says, and nothing else is fused or reordered. Truth values are bytes. What a
library computes is guessed, and where its bits are in doubt computed again through the library:

    %t = aten.tanh.default(%x0)               for each tile of 32, in vectors:
    kernel.yield %t                    ->         y0[i], doubt[i] = a guess at tanh x0[i]
                                              where any is in doubt, for each that is:
                                                  y0[i] = library_tanh(x0[i])
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from xdsl.dialects import arith, llvm, memref
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    IntegerAttr,
    MemRefType,
    ModuleOp,
    UnrealizedConversionCastOp,
    f32,
    i1,
    i8,
    i64,
)
from xdsl.ir import SSAValue

from ...dialects.aten import CallOp
from ...dialects.kernel import MapOp, YieldOp
from ...dialects.template import Ref
from .primitives import PRIMITIVES, Primitive, element
from .signature import named_kernel
from .tanh import library_functions
from .writing import INDEX, add, each, lesser, load, loop, number, real, share, times, when

FUNCTION = "map"
"""The function's name."""
UNIT = 32
"""Elements that are not divided among threads, and of which a doubt is kept in common."""


def elementwise_kernel(op: MapOp, name: str) -> ModuleOp:
    """The kernel of a map."""
    block = op.meaning.block
    last = block.last_op
    assert isinstance(last, YieldOp)
    buffers = {f"x{index}": buffer(value) for index, value in enumerate(block.args)}
    buffers |= {f"y{index}": buffer(value) for index, value in enumerate(last.values)}

    def write(given: dict[str, SSAValue]) -> None:
        size, *others, part, parts = given.values()
        chain, units = Chain(op, others), arith.DivUIOp(add(size, number(UNIT - 1)), number(UNIT)).result
        first, end = (times(share(units, at, parts), number(UNIT)) for at in (part, add(part, number(1))))
        (write_tiles if chain.guesses() else write_elements)(chain, first, lesser(end, size))

    beside = library_functions() if Chain(op, ()).guesses() else ()
    return named_kernel(FUNCTION, {"size": INDEX, **buffers}, write, name=name, beside=beside)


@dataclass(frozen=True)
class Chain:
    """What a map computes, and the buffers that it reads and writes."""

    op: MapOp
    given: Sequence[SSAValue]

    def guesses(self) -> bool:
        """Is any of it guessed?"""
        return any(PRIMITIVES[call.target.data].guess for call in self.op.calls())

    def compute(self, at: SSAValue) -> None:
        """Write the results for one element."""
        self.write(at, lambda primitive, args: primitive.write(*args))

    def guess(self, at: SSAValue) -> SSAValue:
        """The same where what may be is guessed; gives whether any of that is in doubt."""
        doubts = list[SSAValue]()

        def value(primitive: Primitive, args: Sequence[Any]) -> SSAValue:
            if primitive.guess is None:
                return primitive.write(*args)
            found, doubt = primitive.guess.write(*args)
            doubts.append(doubt)
            return found

        self.write(at, value)
        return reduce(either, doubts)

    def write(self, at: SSAValue, value: Callable[[Primitive, Sequence[Any]], SSAValue]) -> None:
        """Write the results for one element, whose calls give what `value` says."""
        block = self.op.meaning.block
        inside: dict[SSAValue, SSAValue] = {}
        for given, source in zip(block.args, self.given, strict=False):
            inside[given] = read(source, at)
        for call in self.op.calls():
            inside[call.results[0]] = value(PRIMITIVES[call.target.data], written(call, inside))
        assert isinstance(block.last_op, YieldOp)
        for result, target in zip(block.last_op.values, self.given[len(block.args) :], strict=True):
            write(inside[result], target, at)


def write_elements(chain: Chain, first: SSAValue, end: SSAValue) -> None:
    """One loop."""
    each(first, end, number(1), chain.compute)


def write_tiles(chain: Chain, first: SSAValue, end: SSAValue) -> None:
    """A loop over tiles, of which what is in doubt is computed again; what is left over is not guessed."""
    flags, words = stack(UNIT)
    none, zero = (arith.ConstantOp(IntegerAttr(0, kind)).result for kind in (i8, i64))

    def holds(flag: SSAValue) -> SSAValue:
        return arith.CmpiOp(flag, zero if flag.type == i64 else none, "ne").result

    def tile(start: SSAValue) -> None:
        def one(at: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
            flag = arith.ExtUIOp(chain.guess(add(start, at)), i8).result
            memref.StoreOp.get(flag, flags, [at])
            return [either(found[0], flag)]

        def again(at: SSAValue) -> None:
            when(holds(memref.LoadOp.get(flags, [at]).res), lambda: chain.compute(add(start, at)))

        def eight(at: SSAValue) -> None:
            first = times(at, number(8))
            doubt = holds(memref.LoadOp.get(words, [at]).res)
            when(doubt, lambda: each(first, add(first, number(8)), number(1), again))

        (found,) = loop(number(0), number(UNIT), number(1), [none], one)
        when(holds(found), lambda: each(number(0), number(UNIT // 8), number(1), eight))

    rest = arith.RemUIOp(arith.SubiOp(end, first).result, number(UNIT)).result
    whole = arith.SubiOp(end, rest).result
    each(first, whole, number(UNIT), tile)
    write_elements(chain, whole, end)


def either(a: SSAValue, b: SSAValue) -> SSAValue:
    """a or b"""
    return arith.OrIOp(a, b).result


def stack(size: int) -> tuple[SSAValue, SSAValue]:
    """A buffer of bytes that lives as long as the function runs, and the same as words of eight."""
    pointer = llvm.AllocaOp(llvm.ConstantOp(IntegerAttr(size, i64), i64).result, i8, UNIT).res
    kinds = MemRefType(i8, (size,)), MemRefType(i64, (size // 8,))
    flags, words = (UnrealizedConversionCastOp.get((pointer,), (kind,)).results[0] for kind in kinds)
    return flags, words


def buffer(value: SSAValue) -> MemRefType:
    """Where the elements of a tensor lie."""
    return MemRefType(i8 if element(value) == i1 else f32, (DYNAMIC_INDEX,))


def read(source: SSAValue, at: SSAValue) -> SSAValue:
    """An element."""
    assert isinstance(source.type, MemRefType)
    if source.type.element_type == f32:
        return load(source, at)
    zero = arith.ConstantOp(IntegerAttr(0, i8)).result
    return arith.CmpiOp(memref.LoadOp.get(source, [at]).res, zero, "ne").result


def write(value: SSAValue, target: SSAValue, at: SSAValue) -> None:
    """Store an element."""
    memref.StoreOp.get(value if value.type == f32 else arith.ExtUIOp(value, i8).result, target, [at])


def written(call: CallOp, inside: dict[SSAValue, SSAValue]) -> list[Any]:
    """The arguments of a call as its primitive takes them."""
    found: list[Any] = []
    for kind, argument in zip(PRIMITIVES[call.target.data].kinds, call.template.data.args, strict=True):
        if isinstance(argument, Ref):
            found.append(inside[call.operands[argument.index]])
        else:
            assert isinstance(argument, int | float)
            found.append(argument if kind in "ep" else real(float(argument)))
    return found
