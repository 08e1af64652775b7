"""Attention, a softmax of scaled products of queries and keys times values, with the bits of ATen's flash attention.

    for each head (divided among threads)
      keys, transposed                             in the working space
      for each eight queries                       all that follows stays in near caches
        for each block of keys                       512, as ATen has them
          scores = scale q k^T                       of keys that it looks at: with `causal`, up to its own
          most = the largest of a row so far         what came before is scaled again: by exp(most before - most)
          p = exp(scores - most)                     as roughly as ATen has it; sums lane by lane, then by halves
          output += p v                              up to the last key that one of the queries looks at
        output = output (1 / sum of p)
        logsumexp = most + log(sum of p)

Each number of a product is a sum over one k after the other, rounded once for each, as MKL has small products; where
there are many keys, it sums `length` of them at once. Whether that is so, trial tells (`runtime/attention_trials.py`).
The algorithm is that of Dao et al., "FlashAttention", NeurIPS 2022, as ATen has it (FlashAttentionKernel.cpp).
"""

from collections.abc import Callable
from dataclasses import dataclass

from xdsl.dialects import llvm
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from .exponential import ROUGH_LEAST, exp_rough
from .heads import Heads, arguments_of, changed, clear, each_vector, largest, scratch_of, up_to
from .panels import Range
from .primitives import minus as less_by
from .primitives import plus, product, quotient
from .signature import MACHINE, Machine, named_kernel
from .small_product import HEIGHT, Depth, Matrix, product_by_parts, small_product, small_product_function
from .writing import (
    add,
    alike,
    branch,
    each,
    either,
    fma,
    half,
    less,
    lesser,
    load,
    minus,
    number,
    real,
    splat,
    store,
    times,
    total,
    when,
    zeros,
)

FUNCTION = "attention"
"""The function's name."""
TENSORS = ("q", "k", "v", "output", "logsumexp")
OTHERS = ("causal", "length")
"""1 where a query looks at keys up to its own; keys that are summed at once."""


def attention_kernel(name: str, machine: Machine = MACHINE) -> ModuleOp:
    """The kernel, for all sizes; keys, and numbers of a head, are whole vectors."""
    return named_kernel(
        FUNCTION, arguments_of(TENSORS, OTHERS), lambda given: Attention(given, machine.lanes).write(),
        name=name, attributes=scratch_of(1, HEIGHT, 0, 0, 3 * HEIGHT), beside=[small_product_function(machine)],
    )  # fmt: skip


class Attention(Heads):
    """See the head of this file. Working space: width x keys, and HEIGHT x (keys of a block + 3) numbers."""

    def write(self) -> None:
        """The loops."""
        self.each(TENSORS, self.head)

    def head(self, own: list[Matrix], following: list[Matrix]) -> None:
        """All queries of a head."""
        q, k, v, output, logsumexp = own
        self.check({q: self["rows"], k: self["columns"], v: self["columns"]})
        turned = self.transpose(k, self.space)
        scores = self.room(add(self.space, times(self["width"], self["columns"])), self.block)

        def queries(first: SSAValue) -> None:
            count = lesser(number(HEIGHT), minus(self["rows"], first))
            self.ask([*following[:3], output], first, count)
            rows = Rows(self, scores, first, count)
            self.each_block(add(first, count), lambda keys: rows.look(q, turned, v, output, keys))
            rows.finish(output, logsumexp)

        each(number(0), self["rows"], number(HEIGHT), queries)


@dataclass(frozen=True)
class Rows:
    """`count` queries from `first` on, and their scores of the keys that they look at; behind the scores there is room
    for the largest of each row, for its sum, and for what earlier sums are multiplied with. All of one kind follow each
    other, so that the processor can do several rows at once."""

    attention: Attention
    scores: Matrix
    first: SSAValue
    count: SSAValue

    def each(self, body: Callable[[SSAValue], None]) -> None:
        """`body` with each of the rows."""
        each(number(0), self.count, number(1), body)

    def one(self, what: int, row: SSAValue) -> tuple[SSAValue, SSAValue]:
        """Where the largest (0), the sum (1) or the factor (2) of a row stands."""
        return self.scores.buffer, add(self.scores.place(number(HEIGHT), number(what * HEIGHT)), row)

    def look(self, q: Matrix, k: Matrix, v: Matrix, output: Matrix, keys: Range) -> None:
        """At a block of keys: what its values count is in the output, but for a factor."""
        attention, end = self.attention, add(self.first, self.count)
        seen, size = attention.seen(end, keys), keys.size
        inside, own = Depth(number(0), attention["width"], attention["width"]), output.from_row(self.first)
        turned, later = k.from_column(keys.first), less(number(0), keys.first)
        small_product(q.from_row(self.first), turned, self.scores, self.count, seen, inside, attention["scale"], -0.0)
        self.each(lambda row: self.mask(row, keys, seen, later))
        when(later, lambda: self.each(lambda row: self.rescale(own, row)))
        self.each(lambda row: self.weigh(row, seen, later))
        near = either(attention.causal, lesser(minus(end, keys.first), size), size)
        product_by_parts(
            self.scores, v.from_row(keys.first), own, self.count, attention["width"], near, size,
            attention["length"], real(1.0), -0.0, later,
        )  # fmt: skip

    def mask(self, row: SSAValue, keys: Range, seen: SSAValue, later: SSAValue) -> None:
        """Scores of keys that the query does not look at are -inf; the largest is found."""
        attention = self.attention
        last = either(attention.causal, minus(add(self.first, row), keys.first), keys.size)
        none = alike(float("-inf"), zeros(attention.lanes))

        def masked(found: SSAValue, place: SSAValue, value: SSAValue) -> tuple[SSAValue, SSAValue]:
            value = up_to(last, place, value, float("-inf"))
            return llvm.VectorFMaxOp(found, value).res, value

        most = largest(changed(self.scores, row, seen, none, masked))

        def first() -> None:
            store(total(half(most, 0, 1)), *self.one(0, row))

        def other() -> None:
            before = load(*self.one(0, row))
            both = total(half(llvm.VectorFMaxOp(most, splat(before, attention.lanes)).res, 0, 1))
            store(llvm.FExpOp(less_by(before, both)).res, *self.one(2, row))
            store(both, *self.one(0, row))

        branch(later, other, first)
        clear(self.scores, row, seen, keys.size, attention.lanes)

    def rescale(self, output: Matrix, row: SSAValue) -> None:
        """What earlier blocks gave, for the new largest."""
        factor = splat(load(*self.one(2, row)), self.attention.lanes)
        each_vector(output, row, self.attention["width"], self.attention.lanes, lambda _, value: product(value, factor))

    def weigh(self, row: SSAValue, seen: SSAValue, later: SSAValue) -> None:
        """exp(score - largest), and the sum."""
        lanes = self.attention.lanes
        most = splat(load(*self.one(0, row)), lanes)

        def weighed(found: SSAValue, _: SSAValue, value: SSAValue) -> tuple[SSAValue, SSAValue]:
            below = less_by(value, most)
            value = exp_rough(llvm.VectorFMaxOp(below, alike(ROUGH_LEAST, below)).res)
            return plus(found, value), value

        found, place = total(changed(self.scores, row, seen, zeros(lanes), weighed)), self.one(1, row)
        branch(
            later,
            lambda: store(fma(load(*self.one(2, row)), load(*place), found), *place),
            lambda: store(found, *place),
        )

    def finish(self, output: Matrix, logsumexp: Matrix) -> None:
        """The output, by the sums, and their logarithms."""
        attention, own = self.attention, output.from_row(self.first)

        def divide(row: SSAValue) -> None:
            factor = splat(quotient(real(1.0), load(*self.one(1, row))), attention.lanes)
            each_vector(own, row, attention["width"], attention.lanes, lambda _, value: product(value, factor))

        def log(row: SSAValue) -> None:
            most, found = (load(*self.one(what, row)) for what in (0, 1))
            place = logsumexp.place(add(self.first, row), number(0))
            store(plus(most, llvm.FLogOp(found).res), logsumexp.buffer, place)

        self.each(divide)
        self.each(log)
