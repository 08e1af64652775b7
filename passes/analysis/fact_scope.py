"""What can be seen of the values of one function: where they read, which integers, which truth values they hold.

    %u = aten.unsqueeze(%mask, 1)       move    %mask at [i0, i2]
    %a = aten.arange(%s0)               number  i0
    %c = aten.le.Tensor(%k, %q)         truth   i1 <= i0
    %n = aten.logical_not(%u)           truth   not nz(%mask)[i0, i2]

Three tables by call target, open to extension; a value that no rule sees through is an entry of itself. Each value is
looked at once.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from xdsl.dialects.builtin import (
    ArrayAttr,
    BFloat16Type,
    DictionaryAttr,
    Float16Type,
    Float32Type,
    Float64Type,
    IntegerAttr,
    IntegerType,
    TensorType,
)
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, OpResult, SSAValue

from ...dialects.aten import CallOp, Effects, ScalarType, tensor_of
from .calls import argument, rank, shape
from .index_arithmetic import Ranges, substitute
from .indices import Atom, Axis, Index, Load, Symbol, Var, at_positions
from .predicates import NonZero, Predicate, leaves, reindex

MAX_LEAVES = 12
"""A predicate with more leaves than this is not followed: it would cost more to evaluate than it saves."""

BOOL = IntegerType(1)
REALS = (Float64Type, Float32Type, Float16Type, BFloat16Type)


@dataclass(frozen=True)
class Call:
    """One result of one call, and what is known of the rest of the function."""

    scope: "Scope"
    op: CallOp
    output: int = 0

    @property
    def target(self) -> str:
        return self.op.target.data

    @property
    def result(self) -> SSAValue:
        return self.op.results[self.output]

    @property
    def rank(self) -> int:
        """Number of axes of the result."""
        return rank(self.result)

    @property
    def sizes(self) -> tuple[Index, ...]:
        """Sizes of the result."""
        return self.scope.sizes(self.result)

    @property
    def ranges(self) -> Ranges:
        """What positions of the result can be."""
        return self.scope.ranges(self.result)

    @property
    def element(self) -> Attribute:
        """The element type of the result."""
        return tensor_of(self.result).element_type

    def tensor(self, position: int, name: str = "") -> SSAValue | None:
        """A tensor argument; None when it is a literal, a number or missing."""
        value = argument(self.op, position, name)
        return value if isinstance(value, SSAValue) and isinstance(value.type, TensorType) else None

    def source(self) -> SSAValue:
        """The first argument, a tensor."""
        value = self.tensor(0, "self")
        assert value is not None, self.target
        return value

    def literal(self, position: int, name: str, default: float | None = None) -> float | None:
        """A literal number; None when it is missing or computed."""
        value = argument(self.op, position, name, default)
        return value if isinstance(value, int | float) else None

    def size(self, position: int, name: str, default: int | None = None) -> Index | None:
        """An integer argument as a formula in sizes; None when it is missing, a tensor, or nothing is known."""
        value = argument(self.op, position, name, default)
        if isinstance(value, SSAValue) and isinstance(value.type, ScalarType) and value.type.kind.data == "int":
            size = Index.of(value.type.expression.data)
            known = all(isinstance(atom, Symbol) and atom.name in self.scope.minima for atom in size.atoms())
            return size if known else None
        return Index.of(value) if isinstance(value, int) else None

    def axis(self, position: int, name: str = "dim", default: int | None = None, rank: int | None = None) -> int | None:
        """An argument that names an axis, counted from the front; None where there is none."""
        value, count = self.literal(position, name, default), self.rank if rank is None else rank
        return None if not isinstance(value, int) or not count else value % count

    def axes(self, position: int, name: str = "dim", rank: int | None = None) -> tuple[int, ...] | None:
        """A list of axes, counted from the front; all of them where none are given; None when it is empty."""
        value, count = argument(self.op, position, name), self.rank if rank is None else rank
        if value is None:
            return tuple(range(count))
        if value == ():
            return None
        listed = value if isinstance(value, tuple) else (value,)
        return tuple(a % count for a in listed if isinstance(a, int)) if count else ()

    def aligned(self, value: SSAValue) -> tuple[Index, ...] | None:
        """Where an operand that broadcasts to the result is read; None when that cannot be told."""
        return self.scope.broadcast(value, self.sizes)

    def truth(self, value: SSAValue) -> Predicate | None:
        """`value != 0` at the positions of the result that it broadcasts to."""
        at = self.aligned(value)
        return None if at is None else self.scope.read(self.scope.truth(value), at, self.ranges)


Reading = tuple[SSAValue, tuple[Index, ...]]
Move = Callable[[Call], Reading | None]
Numbers = Callable[[Call], Index | None]
Truths = Callable[[Call], Predicate | None]

MOVES: dict[str, Move] = {}
"""Ops whose result is an operand read elsewhere: result[i] = operand[at(i)]."""

NUMBERS: dict[str, Numbers] = {}
"""Ops on integers that are seen through: the entry at i0, i1, .. as a formula."""

TRUTHS: dict[str, Truths] = {}
"""Ops whose result is not zero exactly where a predicate on something else holds."""


def position(axis: int) -> Index:
    """The position on `axis`."""
    return Index.of(Axis(axis))


def is_bool(value: SSAValue) -> bool:
    """A tensor of truth values?"""
    return tensor_of(value).element_type == BOOL


def is_integer(value: SSAValue) -> bool:
    """A tensor of integers? Truth values are none."""
    return isinstance(tensor_of(value).element_type, IntegerType) and not is_bool(value)


def is_real(value: SSAValue) -> bool:
    """A tensor of floating-point numbers?"""
    return isinstance(tensor_of(value).element_type, REALS)


@dataclass
class Scope:
    """The values of `function`, in order of definition."""

    function: FuncOp
    seen_sizes: dict[SSAValue, tuple[Index, ...]] = field(default_factory=dict)
    seen_moves: dict[SSAValue, Reading] = field(default_factory=dict)
    seen_numbers: dict[SSAValue, Index] = field(default_factory=dict)
    seen_truths: dict[SSAValue, Predicate] = field(default_factory=dict)

    @cached_property
    def order(self) -> dict[SSAValue, int]:
        """When each value is defined."""
        return {value: number for number, value in enumerate(values(self.function))}

    @cached_property
    def names(self) -> dict[SSAValue, str]:
        """What the printer calls each value: its hint, numbered where others have the same."""
        counts: Counter[str | None] = Counter()
        names: dict[SSAValue, str] = {}
        for value in self.order:
            number, hint = counts[value.name_hint], value.name_hint
            names[value] = str(number) if hint is None else f"{hint}_{number}" if number else hint
            counts[hint] += 1
        return names

    @cached_property
    def minima(self) -> dict[str, int]:
        """The least value of each size symbol."""
        return dict(minima(self.function))

    @cached_property
    def mutated(self) -> frozenset[SSAValue]:
        """What some call writes, without its views."""
        return frozenset(self.root(operand)[0] for call in mutating(self.function) for operand in call.operands)

    def var(self, value: SSAValue) -> Var:
        """`value` as predicates know it."""
        return Var(self.order[value], value, self.names[value])

    def is_stable(self, value: SSAValue) -> bool:
        """Does `value` stay what it is? No call writes it, or what it is a view of."""
        return self.root(value)[0] not in self.mutated

    def sizes(self, value: SSAValue) -> tuple[Index, ...]:
        """Sizes of a tensor; one of which nothing is known is a symbol of its own."""
        if (known := self.seen_sizes.get(value)) is None:
            known = self.seen_sizes[value] = tuple(
                Index.of(Symbol(f"{self.var(value)}.{axis}") if size == "?" else size)
                for axis, size in enumerate(shape(value))
            )
        return known

    def ranges(self, value: SSAValue) -> Ranges:
        """What positions of `value` can be."""
        return Ranges({Axis(axis): size for axis, size in enumerate(self.sizes(value))}, self.minima)

    def positions(self, value: SSAValue) -> tuple[Index, ...]:
        """The position of each axis: 0 where there is only one."""
        return tuple(Index() if size.number == 1 else position(axis) for axis, size in enumerate(self.sizes(value)))

    def broadcast(self, value: SSAValue, to: tuple[Index, ...]) -> tuple[Index, ...] | None:
        """Where `value` is read when it broadcasts to sizes `to`; None when two sizes may or may not differ."""
        sizes = self.sizes(value)
        start = len(to) - len(sizes)
        if start < 0 or any(size.number != 1 and size != to[start + axis] for axis, size in enumerate(sizes)):
            return None
        return tuple(Index() if size.number == 1 else position(start + axis) for axis, size in enumerate(sizes))

    def read(self, predicate: Predicate, at: tuple[Index, ...], ranges: Ranges) -> Predicate:
        """A predicate over all axes of a tensor, where that tensor is read at `at`."""
        return reindex(predicate, at_positions(at), ranges)

    # -- three ways to see a value --------------------------------------------------------------------------------

    def move(self, value: SSAValue) -> Reading | None:
        """The operand that `value` only moves, and where it reads it."""
        call = call_of(self, value)
        rule = MOVES.get(call.target) if call and call.tensor(0) is not None else None
        if call is None or rule is None or (found := rule(call)) is None:
            return None
        source, at = found
        units: dict[Atom, Index] = {Axis(axis): Index() for axis, size in enumerate(call.sizes) if size.number == 1}
        return source, tuple(substitute(index, units, call.ranges) for index in at)

    def root(self, value: SSAValue) -> Reading:
        """The value at the end of all moves, and where it is read."""
        if value not in self.seen_moves:
            found = self.move(value)
            if found is None:
                self.seen_moves[value] = (value, self.positions(value) if isinstance(value.type, TensorType) else ())
            else:
                source, at = self.root(found[0])
                by, ranges = at_positions(found[1]), self.ranges(value)
                self.seen_moves[value] = (source, tuple(substitute(index, by, ranges) for index in at))
        return self.seen_moves[value]

    def number(self, value: SSAValue) -> Index:
        """The entry of an integer tensor."""
        if value not in self.seen_numbers:
            self.seen_numbers[value] = self.look_for_number(value)
        return self.seen_numbers[value]

    def look_for_number(self, value: SSAValue) -> Index:
        if (found := self.move(value)) is not None and is_integer(found[0]):
            return substitute(self.number(found[0]), at_positions(found[1]), self.ranges(value))
        call = call_of(self, value)
        rule = NUMBERS.get(call.target) if call and is_integer(value) else None
        index = rule(call) if rule and call else None
        return Index.of(Load(self.var(value), self.positions(value))) if index is None else index

    def truth(self, value: SSAValue) -> Predicate:
        """`value != 0`, as a predicate over all axes of `value`."""
        if value not in self.seen_truths:
            found = self.look_for_truth(value)
            own = NonZero(self.var(value), self.positions(value))
            self.seen_truths[value] = own if found is None or not is_small(found) else found
        return self.seen_truths[value]

    def look_for_truth(self, value: SSAValue) -> Predicate | None:
        if (found := self.move(value)) is not None:
            return self.read(self.truth(found[0]), found[1], self.ranges(value))
        call = call_of(self, value)
        rule = TRUTHS.get(call.target) if call else None
        return rule(call) if rule and call else None


def call_of(scope: Scope, value: SSAValue) -> Call | None:
    """The call that makes the tensor `value`, when it does nothing else."""
    op = value.owner
    if isinstance(value, OpResult) and isinstance(op, CallOp) and isinstance(value.type, TensorType):
        return Call(scope, op, value.index) if op.effects is None and not op.regions else None
    return None


def is_small(predicate: Predicate) -> bool:
    """Is it worth following?"""
    return sum(1 for _ in leaves(predicate)) <= MAX_LEAVES


def values(function: FuncOp) -> Iterator[SSAValue]:
    """Arguments and results in order of definition."""
    yield from function.body.block.args
    for op in function.body.block.ops:
        yield from op.results


def minima(function: FuncOp) -> Iterator[tuple[str, int]]:
    """The least value of each symbol that is bounded from below (`aten.symbols`)."""
    table = function.attributes.get("aten.symbols")
    for name, limits in table.data.items() if isinstance(table, DictionaryAttr) else ():
        match limits:
            case ArrayAttr(data=(IntegerAttr() as least, *_)) if least.value.data >= 0:
                yield name, least.value.data


def mutating(function: FuncOp) -> Iterator[CallOp]:
    """Calls that write one of their operands."""
    for op in function.body.block.ops:
        if isinstance(op, CallOp) and op.effects is not None and op.effects.data is Effects.MUTATES:
            yield op
