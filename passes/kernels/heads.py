"""What attention's kernels share: heads in memory, and loops over their rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects import arith, llvm, vector
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    MemRefType,
    VectorType,
    f32,
    i32,
    i64,
)
from xdsl.ir import Attribute, SSAValue

from ...dialects.kernel import SCRATCH
from ..llvm_types import lanes
from .panels import Range, shuffle, transposed
from .primitives import product
from .small_product import MAGNITUDE, SIGN, Matrix, any_negative, bits_of
from .writing import (
    INDEX,
    add,
    alike,
    each,
    either,
    either_bits,
    equal,
    lanes_of,
    lesser,
    loop,
    minus,
    number,
    prefetch,
    quotient,
    real,
    share,
    splat,
    store,
    times,
    vector_load,
    vector_store,
    when,
    zeros,
)

AXES = ("batch", "head", "row")
"""Axes that a tensor of heads has strides for; numbers of one row are neighbours."""
SIZES = ("batches", "heads", "rows", "columns", "width")
"""How many batches, heads, queries and keys there are, and numbers of one of them."""
LONGEST = 512
"""ATen's blocks of keys."""
LINE = 16
"""f32 numbers in a line of memory."""
TAME = (127 + 55) << 23
"""The bits of 2^55. Products of two lesser numbers, and sums of many of these, are finite."""


def scratch_of(*counts: int) -> dict[str, Attribute]:
    """What a kernel says of its working space: see SCRATCH."""
    return {SCRATCH: DenseArrayBase.from_list(i64, counts)}


def arguments_of(tensors: Sequence[str], others: Sequence[str]) -> dict[str, Attribute]:
    """A kernel's arguments: buffers, `untame` and `scratch`, sizes, strides of each tensor, `space`, others, `scale`.

    Each thread has `space` numbers of `scratch`, and writes 1 to its own of `untame` where a number is too large.
    """
    buffers = dict.fromkeys((*tensors, "untame", "scratch"), MemRefType(f32, (DYNAMIC_INDEX,)))
    strides = [f"{name}_{axis}" for name in tensors for axis in AXES]
    return {**buffers, **dict.fromkeys((*SIZES, *strides, "space", *others), INDEX), "scale": f32}


@dataclass(frozen=True)
class Heads:
    """A kernel's arguments by name."""

    given: dict[str, SSAValue]
    lanes: int

    def __getitem__(self, name: str) -> SSAValue:
        return self.given[name]

    def matrix(self, name: str, at: SSAValue) -> Matrix:
        """The rows of one head of a tensor."""
        steps = {axis: self[f"{name}_{axis}"] for axis in AXES}
        batch, head = (make(at, self["heads"]).result for make in (arith.DivUIOp, arith.RemUIOp))
        first = add(times(batch, steps["batch"]), times(head, steps["head"]))
        return Matrix(self[name], first, steps["row"], number(1))

    @property
    def space(self) -> SSAValue:
        """Where this thread's working space begins."""
        return times(self["part"], self["space"])

    def room(self, at: SSAValue, row: SSAValue) -> Matrix:
        """A matrix in the working space."""
        return Matrix(self["scratch"], at, row, number(1))

    def each(self, names: Sequence[str], body: Callable[[list[Matrix], list[Matrix]], None]) -> None:
        """`body` with these tensors of each head of this thread's part, and with those of the head after it."""
        count, one = times(self["batches"], self["heads"]), number(1)
        first, end = (share(count, part, self["parts"]) for part in (self["part"], add(self["part"], one)))

        def both(at: SSAValue) -> None:
            places = (at, lesser(add(at, one), minus(end, one)))
            own, following = ([self.matrix(name, place) for name in names] for place in places)
            body(own, following)

        each(first, end, one, both)

    @property
    def block(self) -> SSAValue:
        """Keys of a block at most."""
        return lesser(self["columns"], number(LONGEST))

    def each_block(self, end: SSAValue, body: Callable[[Range], None]) -> None:
        """`body` with each block of keys that queries before `end` look at."""
        last = either(self.causal, lesser(end, self["columns"]), self["columns"])
        each(
            number(0), last, number(LONGEST),
            lambda first: body(Range(first, lesser(add(first, number(LONGEST)), self["columns"]))),
        )  # fmt: skip

    def seen(self, end: SSAValue, keys: Range) -> SSAValue:
        """How many keys of a block the queries before `end` look at, in whole vectors."""
        vectors = quotient(add(minus(end, keys.first), number(self.lanes - 1)), self.lanes)
        return either(self.causal, lesser(times(vectors, number(self.lanes)), keys.size), keys.size)

    @property
    def causal(self) -> SSAValue:
        """Whether a query looks at keys up to its own alone."""
        return equal(self["causal"], number(1))

    def check(self, found: Mapping[Matrix, SSAValue]) -> None:
        """Write 1 to `untame` where a number of these rows is 2^55 or more, or NaN: 0 times it may not be 0."""
        high: Sequence[SSAValue] = [bits_of(zeros(self.lanes))]
        for matrix, rows in found.items():

            def vector(at: SSAValue, high: Sequence[SSAValue], matrix: Matrix = matrix) -> Sequence[SSAValue]:
                return [either_bits(high[0], above(vector_load(matrix.buffer, self.lanes, at)))]

            def row(at: SSAValue, high: Sequence[SSAValue], matrix: Matrix = matrix) -> Sequence[SSAValue]:
                line = matrix.place(at, number(0))
                return loop(line, add(line, self["width"]), number(self.lanes), high, vector)

            high = loop(number(0), rows, number(1), high, row)
        self.refuse(any_negative(high[0]))

    def refuse(self, condition: SSAValue) -> None:
        """Write 1 to `untame` where `condition` holds."""
        when(condition, lambda: store(real(1.0), self["untame"], self["part"]))

    def ask(self, matrices: Sequence[Matrix], first: SSAValue, count: SSAValue) -> None:
        """For some rows, which are used soon: neighbours in memory are of other heads."""

        def row(at: SSAValue) -> None:
            for matrix in matrices:
                start = matrix.place(at, number(0))
                each(
                    number(0), self["width"], number(LINE),
                    lambda place, matrix=matrix, start=start: prefetch(matrix.buffer, add(start, place)),
                )  # fmt: skip

        each(first, add(first, count), number(1), row)

    def transpose(self, given: Matrix, to: SSAValue, factor: SSAValue | None = None) -> Matrix:
        """Keys, times a number, or values, with those of one place side by side, in the working space."""
        made = self.room(to, self["columns"])
        factors = splat(factor or real(1.0), self.lanes)

        def square(row: SSAValue, place: SSAValue) -> None:
            lines = [given.place(add(row, number(line)), place) for line in range(self.lanes)]
            turned = transposed([vector_load(given.buffer, self.lanes, line) for line in lines])
            for line, value in enumerate(turned):
                vector_store(product(value, factors), made.buffer, made.place(add(place, number(line)), row))

        lanes = number(self.lanes)
        each(
            number(0), self["columns"], lanes,
            lambda row: each(number(0), self["width"], lanes, lambda place: square(row, place)),
        )  # fmt: skip
        return made


def each_vector(
    matrix: Matrix, row: SSAValue, size: SSAValue, lanes: int, change: Callable[[SSAValue, SSAValue], SSAValue]
) -> None:
    """Replace the first `size` numbers of a row by `change(place, vector)`."""
    changed(matrix, row, size, zeros(lanes), lambda found, place, value: (found, change(place, value)))


def changed(
    matrix: Matrix, row: SSAValue, size: SSAValue, first: SSAValue,
    change: Callable[[SSAValue, SSAValue, SSAValue], tuple[SSAValue, SSAValue]],
) -> SSAValue:  # fmt: skip
    """`first`, then the first of `change(found, place, vector)` for each vector of a row; the second replaces it."""
    line = matrix.place(row, number(0))

    def one(place: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
        at = add(line, place)
        made, value = change(found[0], place, vector_load(matrix.buffer, lanes(first), at))
        vector_store(value, matrix.buffer, at)
        return [made]

    return loop(number(0), size, number(lanes(first)), [first], one)[0]


def clear(matrix: Matrix, row: SSAValue, first: SSAValue, end: SSAValue, lanes: int) -> None:
    """Write zeros to these columns of a row."""
    line = matrix.place(row, number(0))
    each(first, end, number(lanes), lambda column: vector_store(zeros(lanes), matrix.buffer, add(line, column)))


def up_to(last: SSAValue, place: SSAValue, value: SSAValue, other: float) -> SSAValue:
    """The vector `value`, whose first lane stands at `place`, up to `last`, then `other`. By bits."""
    order = DenseIntOrFPElementsAttr.from_list(VectorType(i32, [lanes(value)]), list(range(lanes(value))))
    left = arith.IndexCastOp(minus(last, place), i32).result
    spread = vector.BroadcastOp(left, lanes_of(lanes(value), i32)).vector
    beyond = arith.ShRSIOp(arith.SubiOp(spread, arith.ConstantOp(order).result).result, alike(31, spread)).result
    bits = arith.AndIOp(bits_of(value), arith.XOrIOp(beyond, alike(-1, beyond)).result).result
    others = arith.AndIOp(bits_of(alike(other, value)), beyond).result
    return llvm.BitcastOp(either_bits(bits, others), value.type).results[0]


def above(value: SSAValue) -> SSAValue:
    """Lanes that are negative where those of `value` are 2^55 or more."""
    bits = bits_of(value)
    size = arith.AndIOp(bits, alike(MAGNITUDE, bits)).result
    return arith.AddiOp(size, alike(-SIGN - TAME, bits)).result


def largest(value: SSAValue) -> SSAValue:
    """The largest of a vector's lanes, none of them NaN, in every lane; `lanes` is a power of two."""
    apart = lanes(value)
    while apart > 1:
        apart //= 2
        other = shuffle(value, value, [lane ^ apart for lane in range(lanes(value))])
        value = llvm.VectorFMaxOp(value, other).res
    return value
