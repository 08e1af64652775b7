"""What spikes bring: the rows of a weight that belong to active sources, summed in the order of the sources.

    dense                                                  sparse
    for columns of a block:                                for each step:
      for each step:                                         y[:] = 0
        sums = 0                (in registers)               for each delay, longest first:
        for each active source:                                for each active source:
          sums += rows[source, block]                            for its synapses of that delay:
        x[step, block] (+)= sums                                   y[target] += weight
                                                             x[step] (+)= y

Sums begin at +0.0 and never become -0.0, so a source that is silent changes nothing, and what is summed is bit by bit
what the whole product would give, if weights are finite. Sources are listed in segments, each in ascending order. An
analog source brings its value times the weight, rounded twice as numpy rounds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from xdsl.dialects import arith, memref, vector
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, IntegerType, VectorType, f32
from xdsl.ir import SSAValue

from .neurons import Numbers
from .writing import INDEX, add, each, loop, number, times

LANES = 16
Buffers = dict[str, SSAValue]


@dataclass(frozen=True)
class Feed:
    """One projection. `form` is rows, sparse or given; `graded` sources have values; `after` are "scale" or "bias"."""

    number: int
    source: str
    sources: int
    form: str
    graded: bool
    after: tuple[str, ...]
    own: bool

    def name(self, what: str) -> str:
        """The name of one of its arguments."""
        return f"projection{self.number}.{what}"


@dataclass(frozen=True)
class Place:
    """Where work is done: a sample, its columns from `low` to `high`, and the rows of scratch that are ours."""

    sample: SSAValue
    split: SSAValue
    low: SSAValue
    high: SSAValue
    x: SSAValue
    y: SSAValue


def scalar(buffer: SSAValue, at: SSAValue) -> SSAValue:
    """A number as it is stored."""
    return memref.LoadOp.get(buffer, [at]).res


def index(buffer: SSAValue, at: SSAValue) -> SSAValue:
    """A number as an index."""
    return arith.IndexCastOp(scalar(buffer, at), INDEX).result


def sum_(numbers: Numbers, a: SSAValue, b: SSAValue) -> SSAValue:
    """a + b, alone or in vectors."""
    return (arith.AddiOp if numbers.whole else arith.AddfOp)(a, b).result


def product(numbers: Numbers, a: SSAValue, b: SSAValue) -> SSAValue:
    """a b, alone or in vectors."""
    return (arith.MuliOp if numbers.whole else arith.MulfOp)(a, b).result


def zeros(numbers: Numbers, lanes: int) -> SSAValue:
    """A vector of zeros."""
    if isinstance(element := numbers.element, IntegerType):
        return arith.ConstantOp(DenseIntOrFPElementsAttr.from_list(VectorType(element, [lanes]), [0])).result
    return arith.ConstantOp(DenseIntOrFPElementsAttr.from_list(VectorType(f32, [lanes]), [0.0])).result


def line(numbers: Numbers, buffer: SSAValue, at: SSAValue) -> SSAValue:
    """`LANES` neighbours."""
    return vector.LoadOp(buffer, [at], VectorType(numbers.element, [LANES])).result


def splat(numbers: Numbers, value: SSAValue) -> SSAValue:
    """The same number in every lane."""
    return vector.BroadcastOp(value, VectorType(numbers.element, [LANES])).vector


@dataclass(frozen=True)
class Rows:
    """Writes sums; `width` is how many columns there are, whole blocks of `unit`."""

    numbers: Numbers
    buffers: Buffers
    width: int
    unit: int

    def sums(self, feed: Feed, place: Place, begin: SSAValue, end: SSAValue, *, first: bool) -> None:
        """x of the steps from `begin` to `end` becomes what `feed` brings, or `first` is false and it is added."""
        {"rows": self.dense, "sparse": self.sparse, "given": self.given}[feed.form](feed, place, begin, end, first)

    def active(
        self, feed: Feed, place: Place, step: SSAValue, delay: SSAValue, initial: Sequence[SSAValue],
        body: Callable[[SSAValue, SSAValue | None, Sequence[SSAValue]], Sequence[SSAValue]],
    ) -> Sequence[SSAValue]:  # fmt: skip
        """`body(source, value, carried)` for each source that was active `delay` steps before `step`."""
        of, zero, one = self.buffers, number(0), number(1)
        ids, counts, starts = (of[f"{feed.source}.{part}"] for part in ("ids", "counts", "starts"))
        splits, stride = of[f"{feed.source}.splits"], of[f"{feed.source}.stride"]
        then = arith.SubiOp(step, delay).result
        happened = arith.CmpiOp(then, zero, "sge").result
        row = add(times(arith.SelectOp(happened, then, zero).result, of["batch"]), place.sample)
        segments, first = arith.SelectOp(happened, splits, zero).result, times(row, stride)
        sizes = times(row, splits)
        sent = times(row, of[f"{feed.source}.size"]) if feed.graded else zero

        def segment(part: SSAValue, carried: Sequence[SSAValue]) -> Sequence[SSAValue]:
            base = add(first, index(starts, part))

            def one_source(at: SSAValue, carried: Sequence[SSAValue]) -> Sequence[SSAValue]:
                source = index(ids, add(base, at))
                value = scalar(of[f"{feed.source}.values"], add(sent, source)) if feed.graded else None
                return body(source, value, carried)

            return loop(zero, index(counts, add(sizes, part)), one, carried, one_source)

        return loop(zero, segments, one, initial, segment)

    def row_of(self, place: Place, begin: SSAValue, step: SSAValue) -> SSAValue:
        """Where x of a step begins."""
        since = arith.SubiOp(step, self.buffers["begin"]).result
        return add(place.x, times(since, number(self.width)))

    def dense(self, feed: Feed, place: Place, begin: SSAValue, end: SSAValue, first: bool) -> None:
        """Block by block, each in registers."""
        delay = index(self.buffers[feed.name("delays")], number(0))
        each(place.low, place.high, number(self.unit),
             lambda column: self.block(feed, place, column, delay, begin, end, first))  # fmt: skip

    def block(
        self, feed: Feed, place: Place, column: SSAValue, delay: SSAValue, begin: SSAValue, end: SSAValue, first: bool
    ) -> None:
        """One block of columns, step by step."""
        rows, lines = self.buffers[feed.name("rows")], range(0, self.unit, LANES)

        def add_row(source: SSAValue, value: SSAValue | None, sums: Sequence[SSAValue]) -> Sequence[SSAValue]:
            at = add(times(source, number(self.width)), column)
            found = [line(self.numbers, rows, add(at, number(offset))) for offset in lines]
            if value is not None:
                factor = splat(self.numbers, value)
                found = [product(self.numbers, factor, part) for part in found]
            return [sum_(self.numbers, total, part) for total, part in zip(sums, found, strict=True)]

        def step(t: SSAValue) -> None:
            start = [zeros(self.numbers, LANES) for _ in lines]
            totals = self.active(feed, place, t, delay, start, add_row)
            for offset, total in zip(lines, totals, strict=True):
                self.put(feed, place, t, add(column, number(offset)), total, line, first)

        each(begin, end, number(1), step)

    def put(
        self, feed: Feed, place: Place, t: SSAValue, column: SSAValue, value: SSAValue,
        read: Callable[[Numbers, SSAValue, SSAValue], SSAValue], first: bool,
    ) -> None:  # fmt: skip
        """x[t, column] = value, or it is added, after scales and biases."""
        for place_of, kind in enumerate(feed.after):
            with_ = read(self.numbers, self.buffers[feed.name(f"{kind}{place_of}")], column)
            value = product(self.numbers, with_, value) if kind == "scale" else sum_(self.numbers, value, with_)
        x, at = self.buffers["x"], add(self.row_of(place, t, t), column)
        if not first:
            value = sum_(self.numbers, read(self.numbers, x, at), value)
        if isinstance(value.type, VectorType):
            vector.StoreOp(value, x, [at])
        else:
            memref.StoreOp.get(value, x, [at])

    def sparse(self, feed: Feed, place: Place, begin: SSAValue, end: SSAValue, first: bool) -> None:
        """Synapse by synapse, into y."""
        of, y, one, zero = self.buffers, self.buffers["y"], number(1), number(0)
        offsets, targets, weights, delays = (of[feed.name(w)] for w in ("offsets", "targets", "weights", "delays"))
        classes, stride = of[feed.name("classes")], of[f"{feed.source}.stride"]

        def add_synapses(table: SSAValue, source: SSAValue, value: SSAValue | None, _: Sequence[SSAValue]) -> list:
            at = add(table, source)

            def synapse(e: SSAValue) -> None:
                weight = scalar(weights, e)
                to = add(place.y, index(targets, e))
                brought = weight if value is None else product(self.numbers, value, weight)
                memref.StoreOp.get(sum_(self.numbers, scalar(y, to), brought), y, [to])

            each(index(offsets, at), index(offsets, add(at, one)), one, synapse)
            return []

        def clear(n: SSAValue) -> None:
            vector.StoreOp(zeros(self.numbers, LANES), y, [add(place.y, n)])

        def step(t: SSAValue) -> None:
            each(place.low, place.high, number(LANES), clear)

            def delayed(kind: SSAValue) -> None:
                table = times(add(times(place.split, classes), kind), stride)
                self.active(feed, place, t, index(delays, kind), (), partial(add_synapses, table))

            each(zero, classes, one, delayed)
            each(place.low, place.high, number(LANES), lambda n: self.put(
                feed, place, t, n, line(self.numbers, y, add(place.y, n)), line, first))  # fmt: skip

        each(begin, end, one, step)

    def given(self, feed: Feed, place: Place, begin: SSAValue, end: SSAValue, first: bool) -> None:
        """What was computed beforehand."""
        brought = self.buffers[feed.name("given")]

        def step(t: SSAValue) -> None:
            row = times(add(times(t, self.buffers["batch"]), place.sample), number(self.width))
            each(place.low, place.high, number(LANES), lambda n: self.put(
                feed, place, t, n, line(self.numbers, brought, add(row, n)), line, first))  # fmt: skip

        each(begin, end, number(1), step)
