"""A chain of elementwise calls as one loop: each element is read once, and only what is yielded is written.

    %a = aten.mul.Tensor(%x0, 0.5)            for i in this part's share of size, in vectors, as LLVM sees fit:
    %b = aten.mul.Tensor(%a, %x1)      ->         y0[i] = (x0[i] * 0.5) * x1[i]
    kernel.yield %b

Every call is written as `primitives.py` says, and nothing else is fused or reordered. Truth values are bytes. What
torch asks of a library is asked of it here, too, for a tile at a time:

    %a = aten.mul.Tensor(%x0, 0.5)            for each tile of 512:
    %t = aten.tanh.default(%a)         ->         t[j] = x0[i + j] * 0.5
    %b = aten.add.Tensor(%t, %x1)                 library_tanh(512, t)
    kernel.yield %b                               y0[i + j] = t[j] + x1[i + j]

or guessed, and where its bits are in doubt computed again through the library:

    %t = aten.tanh.default(%x0)               for each tile of 32, in vectors:
    kernel.yield %t                    ->         y0[i], doubt[i] = a guess at tanh x0[i]
                                              where any is in doubt, for each that is:
                                                  y0[i] = library_tanh(x0[i])
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import Any

from xdsl.dialects import arith, llvm, memref
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    IntegerAttr,
    MemRefType,
    ModuleOp,
    f32,
    i1,
    i8,
    i64,
)
from xdsl.ir import Attribute, SSAValue

from ...dialects.aten import CallOp
from ...dialects.exact import MapOp
from ...dialects.meanings import YieldOp
from ...dialects.template import Ref
from .primitives import PRIMITIVES, element, library_of
from .signature import named_kernel
from .writing import (
    INDEX,
    add,
    each,
    either_bits,
    lesser,
    load,
    loop,
    minus,
    number,
    numbers,
    real,
    share,
    store,
    times,
    when,
)  # fmt: skip

FUNCTION = "map"
"""The function's name."""
UNIT = 32
"""Elements that are not divided among threads, and of which a doubt is kept in common."""
TILE = 512
"""Elements that a library is asked for at once: they stay in first-level cache."""
ALIGNED = 64
"""Bytes to which room is aligned: a vector."""
NOTHING: Mapping[CallOp, SSAValue] = MappingProxyType({})


def elementwise_kernel(op: MapOp, name: str, guessed: Sequence[str] = ()) -> ModuleOp:
    """The kernel of a map, in which calls of these functions are guessed."""
    block = op.meaning.block
    last = block.last_op
    assert isinstance(last, YieldOp)
    buffers = {f"x{index}": buffer(value) for index, value in enumerate(block.args)}
    buffers |= {f"y{index}": buffer(value) for index, value in enumerate(last.values)}

    def write(given: dict[str, SSAValue]) -> None:
        size, *others, part, parts = given.values()
        chain, units = Chain(op, others), arith.DivUIOp(add(size, number(UNIT - 1)), number(UNIT)).result
        first, end = (times(share(units, at, parts), number(UNIT)) for at in (part, add(part, number(1))))
        asked = [call.target.data for call in chain.asked()]
        way = write_elements if not asked else write_guesses if set(asked) <= set(guessed) else write_tiles
        way(chain, first, lesser(end, size))

    libraries = {library.name: library for call in op.calls() if (library := library_of(call)) is not None}
    beside = [each for library in libraries.values() for each in library.declared()]
    return named_kernel(FUNCTION, {"size": INDEX, **buffers}, write, name=name, beside=beside)


@dataclass(frozen=True)
class Chain:
    """What a map computes, and the buffers that it reads and writes."""

    op: MapOp
    given: Sequence[SSAValue]

    def asked(self) -> list[CallOp]:
        """The calls that a library is asked for, in order."""
        return [call for call in self.op.calls() if library_of(call) is not None]

    def compute(self, at: SSAValue, known: Mapping[CallOp, SSAValue] = NOTHING) -> None:
        """Write the results for one element, of which some calls are `known`."""
        self.write(self.values(at, lambda call, args: known[call] if call in known else plain(call, args)), at)

    def argument(self, asked: CallOp, at: SSAValue, known: Mapping[CallOp, SSAValue]) -> SSAValue:
        """What a call that a library is asked for is of, for one element; those before it are `known`."""
        found = list[SSAValue]()

        def value(call: CallOp, args: Sequence[Any]) -> SSAValue:
            if call is asked:
                found.append(args[0])
            if library_of(call) is None:
                return plain(call, args)
            return known[call] if call in known else args[0]

        self.values(at, value)
        return found[0]

    def guess(self, at: SSAValue) -> SSAValue:
        """Write the results for one element, guessed where they may be; gives whether any of that is in doubt."""
        doubts = list[SSAValue]()

        def value(call: CallOp, args: Sequence[Any]) -> SSAValue:
            if (library := library_of(call)) is None:
                return plain(call, args)
            found, doubt = library.guess(*args)
            doubts.append(doubt)
            return found

        self.write(self.values(at, value), at)
        return reduce(either_bits, doubts)

    def values(self, at: SSAValue, value: Callable[[CallOp, Sequence[Any]], SSAValue]) -> dict[SSAValue, SSAValue]:
        """All that there is of one element, whose calls give what `value` says."""
        inside: dict[SSAValue, SSAValue] = {}
        for given, source in zip(self.op.meaning.block.args, self.given, strict=False):
            inside[given] = read(source, at)
        for call in self.op.calls():
            inside[call.results[0]] = value(call, written(call, inside))
        return inside

    def write(self, inside: Mapping[SSAValue, SSAValue], at: SSAValue) -> None:
        """Store the results for one element."""
        block = self.op.meaning.block
        assert isinstance(block.last_op, YieldOp)
        for result, target in zip(block.last_op.values, self.given[len(block.args) :], strict=True):
            write(inside[result], target, at)


def plain(call: CallOp, args: Sequence[Any]) -> SSAValue:
    """A call as its primitive is written."""
    return PRIMITIVES[call.target.data].write(*args)


def write_elements(chain: Chain, first: SSAValue, end: SSAValue) -> None:
    """One loop."""
    each(first, end, number(1), chain.compute)


def write_tiles(chain: Chain, first: SSAValue, end: SSAValue) -> None:
    """A loop over tiles, for which the library is asked: one loop for each call of it, and one for the results."""
    room = {call: stack(f32, TILE) for call in chain.asked()}
    buffers = {call: numbers(pointer, f32, TILE) for call, pointer in room.items()}

    def known(at: SSAValue, calls: Iterable[CallOp]) -> dict[CallOp, SSAValue]:
        return {call: load(buffers[call], at) for call in calls}

    def ask(call: CallOp, before: Sequence[CallOp], start: SSAValue, count: SSAValue) -> None:
        def one(at: SSAValue) -> None:
            store(chain.argument(call, add(start, at), known(at, before)), buffers[call], at)

        library = library_of(call)
        assert library is not None
        each(number(0), count, number(1), one)
        library.call(room[call], count)

    def tile(start: SSAValue) -> None:
        count = lesser(number(TILE), minus(end, start))
        for index, call in enumerate(room):
            ask(call, list(room)[:index], start, count)
        each(number(0), count, number(1), lambda at: chain.compute(add(start, at), known(at, room)))

    each(first, end, number(TILE), tile)


def write_guesses(chain: Chain, first: SSAValue, end: SSAValue) -> None:
    """A loop over tiles, of which what is in doubt is computed again; what is left over is not guessed."""
    room = stack(i8, UNIT)
    flags, words = numbers(room, i8, UNIT), numbers(room, i64, UNIT // 8)
    none, zero = (arith.ConstantOp(IntegerAttr(0, kind)).result for kind in (i8, i64))

    def holds(flag: SSAValue) -> SSAValue:
        return arith.CmpiOp(flag, zero if flag.type == i64 else none, "ne").result

    def tile(start: SSAValue) -> None:
        def one(at: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
            flag = arith.ExtUIOp(chain.guess(add(start, at)), i8).result
            memref.StoreOp.get(flag, flags, [at])
            return [either_bits(found[0], flag)]

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


def stack(element: Attribute, size: int) -> SSAValue:
    """The address of room for so many numbers that is there as long as the function runs."""
    return llvm.AllocaOp(llvm.ConstantOp(IntegerAttr(size, i64), i64).result, element, ALIGNED).res


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
