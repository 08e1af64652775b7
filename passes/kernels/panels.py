"""Lines of a matrix packed side by side, or one after the other, so that what a tile of a product reads next lies next.

    scratch[to + p width + i] = line first + i at k + p      for i in width, p in long        a panel
    scratch[to + i PITCH + p] = line first + i at k + p                                       rows

| lines                                  | are packed                                                         |
|----------------------------------------|--------------------------------------------------------------------|
| along k: neighbours are of one line    | by squares, which are transposed in registers; or as they are      |
| across: neighbours are of one k        | vector by vector                                                   |

The last line stands in for those beyond it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from xdsl.dialects.builtin import DenseArrayBase, i64
from xdsl.dialects.vector import ShuffleOp
from xdsl.ir import SSAValue

from .writing import (
    add,
    each,
    either,
    equal,
    lanes_of,
    larger,
    lesser,
    load,
    minus,
    number,
    quotient,
    remainder,
    store,
    times,
    vector_load,
    vector_store,
)

QUARTERS = 4
"""In so many turns as many lines are asked for as a vector has numbers."""
PITCH = 528
"""From line to line where they are one after the other: no library has longer blocks, and lines begin at many places of
a page."""


@dataclass(frozen=True)
class Range:
    """Positions of an axis."""

    first: SSAValue
    end: SSAValue

    @property
    def size(self) -> SSAValue:
        """How many there are."""
        return minus(self.end, self.first)

    def units(self, size: int) -> SSAValue:
        """How many units of so many positions they fill or begin."""
        return quotient(add(self.size, number(size - 1)), size)

    def unit(self, which: SSAValue, size: int) -> "Range":
        """One of them."""
        first = add(self.first, times(which, number(size)))
        return Range(first, lesser(add(first, number(size)), self.end))


@dataclass(frozen=True)
class Lines:
    """Lines of a matrix: `step` from line to line, `stride` from number to number, and how many lines there are."""

    buffer: SSAValue
    step: SSAValue
    stride: SSAValue
    count: SSAValue

    def at(self, line: SSAValue, place: SSAValue) -> SSAValue:
        """Where a number lies."""
        return add(times(line, self.step), times(place, self.stride))

    @property
    def is_along(self) -> SSAValue:
        """Whether neighbours are of one line."""
        return equal(self.stride, number(1))

    def existing(self, line: SSAValue) -> SSAValue:
        """`line`, or the last one."""
        return lesser(line, minus(self.count, number(1)))


@dataclass(frozen=True)
class Ahead:
    """As many lines as a vector has numbers, from `first` and k on, that are asked for while tiles are computed: near
    when they are packed, and not in the way of what is. A `quarter` with each of four tiles, if `wanted`.

    Along k that is 4 of 16 lines, a vector further with each vector of k; across, 4 k of all lines with each: for 16
    lanes one number in every four steps.
    """

    lines: Lines
    first: SSAValue
    k: SSAValue
    long: SSAValue
    quarter: SSAValue
    wanted: SSAValue
    lanes: int

    @property
    def turns(self) -> int:
        """How many numbers are asked for with each vector of k."""
        return max(1, self.lanes // QUARTERS)

    def walk(self) -> Callable[[SSAValue, SSAValue], SSAValue]:
        """What tells, of a vector of k and a turn within it, where to ask: at the matrix's first number if not wanted.

        Distances are made once, before, so that no turn needs a branch or more than a sum.
        """
        along, step, stride = self.lines.is_along, self.lines.step, self.lines.stride
        before = times(self.quarter, number(self.turns))
        line = add(self.first, either(along, before, number(0)))
        place = add(self.k, either(along, number(0), times(before, quotient(self.long, self.lanes))))
        far, near = either(along, number(self.lanes), times(stride, number(self.turns))), either(along, step, stride)
        start, far, near = (either(self.wanted, each, number(0)) for each in (self.lines.at(line, place), far, near))
        return lambda vector, turn: add(add(start, times(vector, far)), times(turn, near))


@dataclass(frozen=True)
class Packing:
    """Some lines, from k on, `long` numbers of each, go to `scratch[to ..]`: `width` lines a panel, of as many numbers
    for each k as are whole vectors. Panels are a k apart, lest all begin at one place of a page."""

    lines: Lines
    own: Range
    k: SSAValue
    long: SSAValue
    scratch: SSAValue
    to: SSAValue
    width: int
    lanes: int

    @property
    def vectors(self) -> range:
        """The lines of a panel that begin a vector."""
        return range(0, self.width, self.lanes)

    @property
    def pitch(self) -> int:
        """From the numbers of one k of a panel to those of the next."""
        return len(self.vectors) * self.lanes

    @property
    def panels(self) -> SSAValue:
        """How many there are."""
        return self.own.units(self.width)

    def line(self, panel: SSAValue, line: int | SSAValue) -> SSAValue:
        """A line of a panel."""
        offset = number(line) if isinstance(line, int) else line
        return add(self.own.first, add(times(panel, number(self.width)), offset))

    def place(self, panel: SSAValue, p: SSAValue, line: int | SSAValue) -> SSAValue:
        """Where a number of it goes."""
        offset = number(line) if isinstance(line, int) else line
        return add(self.to, add(times(add(times(panel, add(self.long, number(1))), p), number(self.pitch)), offset))

    def by_lines(self) -> None:
        """Lines along k, one after the other."""
        rest = remainder(self.long, number(self.lanes))

        def copied(line: SSAValue) -> None:
            start, to = self.lines.at(line, self.k), add(self.to, times(minus(line, self.own.first), number(PITCH)))

            def vector(p: SSAValue) -> None:
                vector_store(vector_load(self.lines.buffer, self.lanes, add(start, p)), self.scratch, add(to, p))

            def one(p: SSAValue) -> None:
                store(load(self.lines.buffer, add(start, p)), self.scratch, add(to, p))

            each(number(0), minus(self.long, rest), number(self.lanes), vector)
            each(minus(self.long, rest), self.long, number(1), one)

        each(self.own.first, self.own.end, number(1), copied)

    def by_squares(self) -> None:
        """Lines along k."""
        rest = remainder(self.long, number(self.lanes))

        def square(panel: SSAValue, p: SSAValue) -> None:
            columns = {start: transposed(self.rows(panel, start, p)) for start in self.vectors}
            for place in range(self.lanes):
                for start, found in columns.items():
                    vector_store(found[place], self.scratch, self.place(panel, add(p, number(place)), start))

        def one(panel: SSAValue) -> None:
            each(number(0), minus(self.long, rest), number(self.lanes), partial(square, panel))
            each(minus(self.long, rest), self.long, number(1), partial(self.one_by_one, panel))

        each(number(0), self.panels, number(1), one)

    def rows(self, panel: SSAValue, start: int, p: SSAValue) -> list[SSAValue]:
        """A vector of each of some lines."""
        lines = (self.lines.existing(self.line(panel, start + line)) for line in range(self.lanes))
        return [vector_load(self.lines.buffer, self.lanes, self.lines.at(line, add(self.k, p))) for line in lines]

    def by_vectors(self) -> None:
        """Lines across: those of one k after those of another, as memory has them; a panel that is not whole apart."""
        there = minus(self.lines.count, add(self.own.first, number(self.pitch - self.width)))
        whole = lesser(self.panels, quotient(larger(there, number(0)), self.width))

        def vectors(p: SSAValue, panel: SSAValue) -> None:
            for start in self.vectors:
                at = self.lines.at(self.line(panel, start), add(self.k, p))
                value = vector_load(self.lines.buffer, self.lanes, at)
                vector_store(value, self.scratch, self.place(panel, p, start))

        def across(p: SSAValue) -> None:
            each(number(0), whole, number(1), partial(vectors, p))

        def ragged(panel: SSAValue) -> None:
            each(number(0), self.long, number(1), partial(self.one_by_one, panel))

        each(number(0), self.long, number(1), across)
        each(whole, self.panels, number(1), ragged)

    def one_by_one(self, panel: SSAValue, p: SSAValue) -> None:
        """All lines of a panel at one k."""

        def single(line: SSAValue) -> None:
            at = self.lines.at(self.lines.existing(self.line(panel, line)), add(self.k, p))
            store(load(self.lines.buffer, at), self.scratch, self.place(panel, p, line))

        each(number(0), number(self.width), number(1), single)


def transposed(rows: Sequence[SSAValue]) -> list[SSAValue]:
    """The columns of a square: blocks of 1, 2, 4, .. lanes are exchanged between pairs of rows, as far apart."""
    found, lanes, size = list(rows), len(rows), 1
    while size < lanes:
        for row in range(lanes):
            if not row & size:
                pair = found[row], found[row + size]
                found[row] = shuffle(*pair, [lane + (lanes - size if lane & size else 0) for lane in range(lanes)])
                found[row + size] = shuffle(*pair, [lane + (lanes if lane & size else size) for lane in range(lanes)])
        size *= 2
    return found


def shuffle(one: SSAValue, two: SSAValue, lanes: Sequence[int]) -> SSAValue:
    """These lanes of two vectors, one after the other."""
    return ShuffleOp(one, two, DenseArrayBase.from_list(i64, lanes), result_type=lanes_of(len(lanes))).result
