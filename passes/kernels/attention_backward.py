"""The gradients of attention by queries, keys and values, with the bits of ATen's flash attention.

    for each head (divided among threads)
      keys and values, transposed                  in the working space
      for each block of queries, and of keys       as long as ATen's: sums are made block by block
        for each eight queries
          p = exp(scale q k^T - logsumexp)         0 where a query does not look at a key
          d = p (gradient v^T - sum of gradient output)
        grad_v += p^T gradient                     from the first query that looks at one of the keys
        grad_k += scale d^T q                      from there, too
        grad_q += scale d k                        up to the last key that one of the queries looks at

Sums are made as `attention.py` says. What p and d are 0 for is left out where that changes no bit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xdsl.dialects import arith, llvm
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from .exponential import FARTHEST, exp_near
from .heads import Heads, arguments_of, clear, each_vector, scratch_of, up_to
from .panels import Range
from .primitives import minus as less_by
from .primitives import plus, product
from .signature import MACHINE, Machine, named_kernel
from .small_product import HEIGHT, Depth, Matrix, product_by_parts, small_product, small_product_function
from .writing import (
    add,
    alike,
    each,
    either,
    equal,
    larger,
    less,
    lesser,
    load,
    loop,
    minus,
    number,
    real,
    splat,
    store,
    times,
    total,
    vector_load,
    zeros,
)

FUNCTION = "attention_backward"
"""The function's name."""
GIVEN = ("gradient", "q", "k", "v", "output", "logsumexp")
TENSORS = (*GIVEN, "grad_q", "grad_k", "grad_v")
OTHERS = ("causal", "length", "block", "scaled")
"""As attention has them; queries of a block; 1 where keys are scaled, not scores."""


def attention_backward_kernel(name: str, machine: Machine = MACHINE) -> ModuleOp:
    """The kernel, for all sizes; keys, and numbers of a head, are whole vectors."""
    return named_kernel(
        FUNCTION, arguments_of(TENSORS, OTHERS), lambda given: AttentionBackward(given, machine.lanes).write(),
        name=name, attributes=scratch_of(2, 0, 2, 1, 0), beside=[small_product_function(machine)],
    )  # fmt: skip


class AttentionBackward(Heads):
    """See the head of this file. Working space: 2 width x keys, 2 block x keys of a block, and a block."""

    def write(self) -> None:
        """The loops."""
        self.each(TENSORS, self.head)

    def head(self, own: list[Matrix], following: list[Matrix]) -> None:
        """The gradients of a head."""
        given = dict[str, Matrix](zip(TENSORS, own, strict=True))
        counts = {name: self["columns"] if name in ("k", "v") else self["rows"] for name in GIVEN[:-1]}
        self.check({given[name]: count for name, count in counts.items()})
        size, scale, one = times(self["width"], self["columns"]), self["scale"], real(1.0)
        is_scaled = equal(self["scaled"], number(1))
        on_keys, on_scores = either(is_scaled, scale, one), either(is_scaled, one, scale)
        k = self.transpose(given["k"], self.space, on_keys)
        v = self.transpose(given["v"], add(self.space, size))
        p = self.room(add(self.space, times(number(2), size)), self.block)
        d = p.from_row(self["block"])
        means = self.room(d.place(self["block"], number(0)), number(1))

        def block(first: SSAValue) -> None:
            queries = Range(first, lesser(add(first, self["block"]), self["rows"]))
            self.ask([*following[:5], *own[6:]], first, queries.size)
            each(first, queries.end, number(1), lambda row: self.mean(given, row, means, minus(row, first)))
            self.each_block(
                queries.end, lambda keys: Block(self, given, k, v, p, d, means, on_scores, queries, keys).write()
            )

        each(number(0), self["rows"], self["block"], block)

    def mean(self, given: dict[str, Matrix], query: SSAValue, means: Matrix, row: SSAValue) -> None:
        """The sum of gradient output, of a query."""
        lines = [(given[name].buffer, given[name].place(query, number(0))) for name in ("gradient", "output")]

        def vector(place: SSAValue, found: Sequence[SSAValue]) -> Sequence[SSAValue]:
            return [plus(found[0], product(*(vector_load(of, self.lanes, add(line, place)) for of, line in lines)))]

        first = alike(-0.0, zeros(self.lanes))
        sums = loop(number(0), self["width"], number(self.lanes), [first], vector)
        store(total(sums[0]), means.buffer, means.place(row, number(0)))


@dataclass(frozen=True)
class Block:
    """Some queries and keys: the tensors of their head, all its keys and values transposed, p and d of this block, the
    sums of gradient output of its queries; `scale` of its scores."""

    attention: AttentionBackward
    given: dict[str, Matrix]
    k: Matrix
    v: Matrix
    p: Matrix
    d: Matrix
    means: Matrix
    scale: SSAValue
    queries: Range
    keys: Range

    @property
    def first(self) -> SSAValue:
        """The first query."""
        return self.queries.first

    def write(self) -> None:
        """All of it."""
        queries, keys = self.queries.size, self.keys.size
        each(number(0), queries, number(HEIGHT), lambda row: self.weights(row, self.some(row, queries)))
        each(number(0), keys, number(HEIGHT), lambda key: self.of_keys(key, self.some(key, keys)))
        each(number(0), queries, number(HEIGHT), lambda row: self.of_queries(row, self.some(row, queries)))

    def some(self, first: SSAValue, end: SSAValue) -> SSAValue:
        """How many rows a tile has."""
        return lesser(number(HEIGHT), minus(end, first))

    def own(self, name: str, row: SSAValue) -> Matrix:
        """The rows of a tensor from this one of the block on."""
        return self.given[name].from_row(add(self.first, row))

    def weights(self, row: SSAValue, count: SSAValue) -> None:
        """Some rows of p and d."""
        attention, inside = self.attention, Depth(number(0), self.attention["width"], self.attention["width"])
        seen = attention.seen(add(self.first, add(row, count)), self.keys)
        k, v = (turned.from_column(self.keys.first) for turned in (self.k, self.v))
        p, d, gradient = self.p.from_row(row), self.d.from_row(row), self.own("gradient", row)
        small_product(self.own("q", row), k, p, count, seen, inside, self.scale, -0.0)
        small_product(gradient, v, d, count, self.keys.size, inside, real(1.0), -0.0)
        self.each(row, count, lambda at: self.weigh(at, seen))
        self.each(row, count, self.subtract)

    def each(self, row: SSAValue, count: SSAValue, body: Callable[[SSAValue], None]) -> None:
        """`body` with each of some rows."""
        each(row, add(row, count), number(1), body)

    def weigh(self, row: SSAValue, seen: SSAValue) -> None:
        """A row of p."""
        attention, logsumexp = self.attention, self.given["logsumexp"]
        query = add(self.first, row)
        found = load(logsumexp.buffer, logsumexp.place(query, number(0)))
        attention.refuse(arith.CmpfOp(less_by(found, found), real(0.0), "une").result)
        most = splat(found, attention.lanes)
        last = either(attention.causal, minus(query, self.keys.first), self.keys.size)

        def weight(place: SSAValue, score: SSAValue) -> SSAValue:
            power = less_by(score, most)
            power = llvm.VectorFMaxOp(power, alike(-FARTHEST, power)).res
            power = llvm.VectorFMinOp(power, alike(FARTHEST, power)).res
            return up_to(last, place, exp_near(power), 0.0)

        each_vector(self.p, row, seen, attention.lanes, weight)
        clear(self.p, row, seen, self.keys.size, attention.lanes)

    def subtract(self, row: SSAValue) -> None:
        """A row of d, which was gradient v^T."""
        attention, weights = self.attention, self.p.place(row, number(0))
        mean = splat(load(self.means.buffer, self.means.place(row, number(0))), attention.lanes)

        def less_mean(place: SSAValue, value: SSAValue) -> SSAValue:
            return product(vector_load(self.p.buffer, attention.lanes, add(weights, place)), less_by(value, mean))

        each_vector(self.d, row, self.keys.size, attention.lanes, less_mean)

    def of_keys(self, key: SSAValue, count: SSAValue) -> None:
        """The block's part of some keys' and values' gradients."""
        attention, width, none, rows = self.attention, self.attention["width"], number(0), self.queries.size
        own = add(self.keys.first, key)
        before = lesser(larger(minus(own, self.first), none), rows)
        depth = Depth(either(attention.causal, before, none), rows, rows)
        begun = less(either(attention.causal, self.keys.first, none), self.first)
        for name, factors, values, scale in (
            ("grad_v", self.p, "gradient", real(1.0)),
            ("grad_k", self.d, "q", attention["scale"]),
        ):
            turned, made = factors.from_column(key).turned, self.given[name].from_row(own)
            small_product(turned, self.own(values, none), made, count, width, depth, scale, 0.0, begun)

    def of_queries(self, row: SSAValue, count: SSAValue) -> None:
        """The block's part of some queries' gradients."""
        attention, size, first = self.attention, self.keys.size, self.keys.first
        own = minus(add(self.first, add(row, count)), first)
        near = either(attention.causal, lesser(own, size), size)
        k, later = self.given["k"].from_row(first), less(number(0), first)
        product_by_parts(
            self.d.from_row(row), k, self.own("grad_q", row), count, attention["width"], near, size,
            attention["length"], attention["scale"], 0.0, later,
        )  # fmt: skip
