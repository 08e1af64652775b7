"""Small words to write kernels with; each adds ops where an `ImplicitBuilder` stands.

    with ImplicitBuilder(block):
        def step(k, sums):
            return [fma(vector_load(w, 16, k), splat(load(x, k), 16), sums[0])]
        (total,) = loop(number(0), size, number(1), [zeros(16)], step)

Numbers are read as f32 whatever they are stored as, and rounded when they are stored.
"""

from collections.abc import Callable, Sequence

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import arith, llvm, memref, scf, vector
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    FixedBitwidthType,
    FloatAttr,
    IndexType,
    IntegerAttr,
    MemRefType,
    UnrealizedConversionCastOp,
    VectorType,
    f32,
    i1,
    i32,
    i64,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ...dialects.kernel import PrefetchOp

INDEX = IndexType()


def number(value: int) -> SSAValue:
    """An index constant."""
    return arith.ConstantOp(IntegerAttr(value, INDEX)).result


def real(value: float) -> SSAValue:
    """An f32 constant."""
    return arith.ConstantOp(FloatAttr(value, f32)).result


def whole(value: int) -> SSAValue:
    """An i64 constant."""
    return arith.ConstantOp(IntegerAttr(value, i64)).result


def zeros(lanes: int) -> SSAValue:
    """A vector of zeros."""
    return arith.ConstantOp(DenseIntOrFPElementsAttr.from_list(VectorType(f32, [lanes]), [0.0])).result


def alike(value: float, other: SSAValue) -> SSAValue:
    """A constant of the type of `other`: an f32 or i32, or the same in every lane."""
    kind = other.type
    if isinstance(kind, VectorType) and kind.element_type == f32:  # text of a dense constant may read as another number
        return splat(real(value), kind.get_shape()[0])
    if isinstance(kind, VectorType):
        return arith.ConstantOp(DenseIntOrFPElementsAttr.from_list(kind, [value])).result
    return real(value) if kind == f32 else arith.ConstantOp(IntegerAttr(int(value), i32)).result


def lanes_of(lanes: int, element: Attribute = f32) -> VectorType:
    """A vector type."""
    return VectorType(element, [lanes])


def add(a: SSAValue, b: SSAValue) -> SSAValue:
    """a + b, of indices."""
    return arith.AddiOp(a, b).result


def minus(a: SSAValue, b: SSAValue) -> SSAValue:
    """a - b, of indices."""
    return arith.SubiOp(a, b).result


def remainder(a: SSAValue, b: SSAValue) -> SSAValue:
    """a mod b, of indices."""
    return arith.RemUIOp(a, b).result


def quotient(a: SSAValue, b: int) -> SSAValue:
    """a / b, of an index, rounded down."""
    return arith.DivUIOp(a, number(b)).result


def less(a: SSAValue, b: SSAValue) -> SSAValue:
    """a < b, of indices."""
    return arith.CmpiOp(a, b, "slt").result


def equal(a: SSAValue, b: SSAValue) -> SSAValue:
    """a = b, of indices."""
    return arith.CmpiOp(a, b, "eq").result


def both(a: SSAValue, b: SSAValue) -> SSAValue:
    """Whether both hold."""
    return arith.AndIOp(a, b).result


def times(a: SSAValue, b: SSAValue) -> SSAValue:
    """a b, of indices."""
    return arith.MuliOp(a, b).result


def share(total: SSAValue, part: SSAValue, parts: SSAValue) -> SSAValue:
    """Where `part` of `parts` begins among `total`: total * part / parts."""
    return arith.DivUIOp(times(total, part), parts).result


def either(condition: SSAValue, yes: SSAValue, no: SSAValue) -> SSAValue:
    """`yes` where `condition` holds, else `no`."""
    return arith.SelectOp(condition, yes, no).result


def either_bits(a: SSAValue, b: SSAValue) -> SSAValue:
    """The bits of both; of truth values, whether one holds."""
    return arith.OrIOp(a, b).result


def lesser(a: SSAValue, b: SSAValue) -> SSAValue:
    """The lesser of two indices."""
    return either(less(a, b), a, b)


def larger(a: SSAValue, b: SSAValue) -> SSAValue:
    """The larger of two indices."""
    return either(less(a, b), b, a)


def element_of(buffer: SSAValue) -> Attribute:
    """What `buffer` holds."""
    assert isinstance(buffer.type, MemRefType)
    return buffer.type.element_type


def numbers(pointer: SSAValue, element: Attribute, size: int = DYNAMIC_INDEX) -> SSAValue:
    """The buffer of so many numbers at an address."""
    return UnrealizedConversionCastOp.get((pointer,), (MemRefType(element, (size,)),)).results[0]


def load(buffer: SSAValue, *at: SSAValue) -> SSAValue:
    """A number, as f32."""
    found = memref.LoadOp.get(buffer, at).res
    return found if found.type == f32 else arith.ExtFOp(found, f32).result


def load_index(buffer: SSAValue, *at: SSAValue) -> SSAValue:
    """A number of 64 bits, as an index."""
    return arith.IndexCastOp(memref.LoadOp.get(buffer, at).res, INDEX).result


def store(value: SSAValue, buffer: SSAValue, *at: SSAValue) -> None:
    """An f32, rounded to what the buffer holds."""
    element = element_of(buffer)
    memref.StoreOp.get(value if element == f32 else arith.TruncFOp(value, element).result, buffer, at)


def store_index(value: SSAValue, buffer: SSAValue, *at: SSAValue) -> None:
    """An index, as a number of 64 bits."""
    memref.StoreOp.get(arith.IndexCastOp(value, i64).result, buffer, at)


def vector_load(buffer: SSAValue, lanes: int, *at: SSAValue) -> SSAValue:
    """`lanes` neighbours, as f32."""
    element = element_of(buffer)
    found = vector.LoadOp(buffer, at, lanes_of(lanes, element)).result
    return found if element == f32 else arith.ExtFOp(found, lanes_of(lanes)).result


def vector_store(value: SSAValue, buffer: SSAValue, *at: SSAValue) -> None:
    """Neighbours, rounded to what the buffer holds."""
    element = element_of(buffer)
    if element != f32:
        assert isinstance(value.type, VectorType)
        value = arith.TruncFOp(value, VectorType(element, value.type.shape)).result
    vector.StoreOp(value, buffer, at)


def first_lanes(count: SSAValue, lanes: int) -> SSAValue:
    """The mask of the first `count` of `lanes` lanes: of all where it is larger, of none where it is negative."""
    return vector.CreateMaskOp([count], VectorType(i1, [lanes])).mask_vector


def masked_load(mask: SSAValue, buffer: SSAValue, *at: SSAValue) -> SSAValue:
    """Neighbours of f32 where `mask` holds, and zeros, for which no memory is touched."""
    assert isinstance(mask.type, VectorType)
    return vector.MaskedLoadOp(buffer, at, mask, zeros(mask.type.get_shape()[0])).result


def masked_store(mask: SSAValue, value: SSAValue, buffer: SSAValue, *at: SSAValue) -> None:
    """Neighbours of f32 where `mask` holds; other memory is not touched."""
    vector.MaskedStoreOp(buffer, at, mask, value)


def splat(value: SSAValue, lanes: int) -> SSAValue:
    """The same number in every lane."""
    return vector.BroadcastOp(value, lanes_of(lanes)).vector


def fma(a: SSAValue, b: SSAValue, c: SSAValue) -> SSAValue:
    """a b + c of vectors or numbers, rounded once."""
    return (vector.FMAOp if isinstance(a.type, VectorType) else llvm.FMAOp)(a, b, c).res


def total(value: SSAValue) -> SSAValue:
    """The sum of a vector's lanes, by halves; `lanes` is a power of two."""
    assert isinstance(value.type, VectorType)
    (lanes,) = value.type.get_shape()
    while lanes > 1:
        lanes //= 2
        low, high = (half(value, start, lanes) for start in (0, lanes))
        value = arith.AddfOp(low, high).result
    kind = vector.CombiningKindAttr(vector.CombiningKindFlag.ADD)
    return vector.ReductionOp.build(operands=[value, None], properties={"kind": kind}, result_types=[f32]).dest


def half(value: SSAValue, start: int, lanes: int) -> SSAValue:
    """`lanes` lanes of a vector."""
    mask = DenseArrayBase.from_list(i64, range(start, start + lanes))
    return vector.ShuffleOp(value, value, mask, result_type=lanes_of(lanes)).result


Step = Callable[[SSAValue, Sequence[SSAValue]], Sequence[SSAValue]]


def loop(
    start: SSAValue, stop: SSAValue, step: SSAValue, initial: Sequence[SSAValue], body: Step
) -> Sequence[SSAValue]:
    """`body(position, carried) -> carried`, from `start` to `stop`; what is carried out of the last step."""
    block = Block(arg_types=[INDEX, *(value.type for value in initial)])
    with ImplicitBuilder(block):
        scf.YieldOp(*body(block.args[0], block.args[1:]))
    return scf.ForOp(start, stop, step, initial, block).results


def each(start: SSAValue, stop: SSAValue, step: SSAValue, body: Callable[[SSAValue], None]) -> None:
    """`body(position)` from `start` to `stop`."""

    def run(at: SSAValue, _: Sequence[SSAValue]) -> Sequence[SSAValue]:
        body(at)
        return ()

    loop(start, stop, step, (), run)


def chosen(
    condition: SSAValue, yes: Callable[[], Sequence[SSAValue]], no: Callable[[], Sequence[SSAValue]]
) -> Sequence[SSAValue]:
    """What `yes` gives where `condition` holds, else what `no` does."""
    blocks, types = [Block(), Block()], list[Attribute]()
    for block, body in zip(blocks, (yes, no), strict=True):
        with ImplicitBuilder(block):
            found = body()
            scf.YieldOp(*found)
        types = [value.type for value in found]
    return scf.IfOp(condition, types, Region(blocks[0]), Region(blocks[1])).results


def when(condition: SSAValue, body: Callable[[], None]) -> Operation:
    """`body()` where `condition` holds."""
    block = Block()
    with ImplicitBuilder(block):
        body()
        scf.YieldOp()
    return scf.IfOp(condition, (), Region(block))


def branch(condition: SSAValue, yes: Callable[[], None], no: Callable[[], None]) -> None:
    """`yes()` where `condition` holds, else `no()`."""
    blocks = [Block(), Block()]
    for block, body in zip(blocks, (yes, no), strict=True):
        with ImplicitBuilder(block):
            body()
            scf.YieldOp()
    scf.IfOp(condition, (), Region(blocks[0]), Region(blocks[1]))


def choose(condition: SSAValue, yes: Callable[[], SSAValue], no: Callable[[], SSAValue]) -> SSAValue:
    """`yes()` where `condition` holds, else `no()`."""
    blocks = [Block(), Block()]
    for block, body in zip(blocks, (yes, no), strict=True):
        with ImplicitBuilder(block):
            scf.YieldOp(body())
    return scf.IfOp(condition, [INDEX], Region(blocks[0]), Region(blocks[1])).results[0]


def pieces(size: int, lanes: int) -> list[int]:
    """Widths of vectors, each a power of two and `lanes` at most, that cover `size`: 45 -> 16, 16, 8, 4, 1."""
    found = []
    while size:
        while lanes > size:
            lanes //= 2
        found.append(lanes)
        size -= lanes
    return found


def offsets(widths: Sequence[int]) -> list[int]:
    """Where each of the pieces begins."""
    return [sum(widths[:place]) for place in range(len(widths))]


def bytes_of(element: Attribute) -> int:
    """Bytes of a number."""
    assert isinstance(element, FixedBitwidthType)
    return element.size


def prefetch(buffer: SSAValue, *at: SSAValue, at_once: bool = False) -> None:
    """Ask for the line of memory that a number lies in, which is read soon, or `at_once`."""
    PrefetchOp(buffer, at, at_once=at_once)
