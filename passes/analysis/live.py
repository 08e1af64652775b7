"""Which rows of a value are read, and the groups of values that flow into each other: what liveness is made of.

    Live(layout "i j a", rows nz(%mask[i, j]), group 3)      WHOLE: every row is read, or nothing is known of rows

A group is a set of values that get one domain: the union of what its members need. Pure bookkeeping.
"""

from dataclasses import dataclass, field, replace

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Operation, SSAValue

from ...dialects.aten import CallOp
from ...dialects.layout import Layout
from ..solvers.index_expr import FALSE, Expr, apply
from ..solvers.sizes import Size
from .attention import Attention, Condition
from .index_view import IndexView
from .rows import RULES as ROW_RULES


@dataclass(frozen=True)
class Live:
    """Rows of a value that are read: `layout` says where the domain's axes are, `rows` which positions."""

    layout: Layout
    rows: Expr
    space: tuple[Size, ...]
    group: int

    def __or__(self, other: "Live") -> "Live":
        return replace(self, rows=apply("or", self.rows, other.rows))


WHOLE = None
"""Every row is read, or nothing is known of rows."""


@dataclass
class Liveness:
    """The result: states of values, attentions that can be packed, and what each group needs."""

    view: IndexView = field(default_factory=IndexView)
    states: dict[SSAValue, Live | None] = field(default_factory=dict)
    attentions: dict[CallOp, Attention] = field(default_factory=dict)
    parents: list[int] = field(default_factory=list)
    readers: dict[SSAValue, Operation] = field(default_factory=dict)
    exact: bool = False
    refused: frozenset[CallOp] = frozenset()

    def group(self) -> int:
        """A new group."""
        self.parents.append(len(self.parents))
        return self.parents[-1]

    def root(self, group: int) -> int:
        """The representative of a group."""
        while self.parents[group] != group:
            group = self.parents[group]
        return group

    def live(self, value: SSAValue) -> Live | None:
        """The state of `value` with its group's representative; None when it is needed whole."""
        state = self.states.get(value)
        return state and replace(state, group=self.root(state.group))

    def need(self, value: SSAValue, state: Live | None, reader: Operation) -> None:
        """`value` is read in one more place, by `reader`."""
        if not isinstance(value.type, TensorType):
            return
        if value not in self.states:
            self.states[value] = state
            self.readers[value] = reader
            return
        before = self.states[value]
        if before is None or state is None or before.layout != state.layout:
            self.states[value] = WHOLE
            if before is not None:
                self.readers[value] = reader
            return
        self.parents[self.root(state.group)] = self.root(before.group)
        self.states[value] = before | state

    def packs(self, op: CallOp) -> bool:
        """Do the queries, keys and values of an attention have dead rows of one group: does its domain serve all?"""
        state = self.live(op.results[0])
        if self.exact or op not in self.attentions or state is None:
            return False
        states = [self.live(operand) for operand in op.operands[:3]]
        return all(s is not None and s.group == state.group and s.layout == state.layout for s in states)

    def broken(self) -> frozenset[CallOp]:
        """Attentions that need each query to see its own key, and do not pack: nothing else can see to that."""
        return frozenset(
            op for op, seen in self.attentions.items() if seen.condition is Condition.OWN_KEY and not self.packs(op)
        )

    def some_key(self, group: int) -> list[Expr]:
        """Keys of which each sequence must have one for the rows of `group` to be dead."""
        return [
            seen.keys
            for op, seen in self.attentions.items()
            if seen.condition is Condition.SOME_KEY and not self.packs(op)
            if any((state := self.live(operand)) and state.group == group for operand in op.operands[1:3])
        ]

    def needed_whole_by(self, value: SSAValue) -> Operation | None:
        """The op that reads every row of `value`, or of what row-wise ops make of it; None where rows are dead."""
        while value in self.states and self.states[value] is None:
            reader = self.readers[value]
            row_wise = isinstance(reader, CallOp) and reader.target.data in ROW_RULES and len(reader.results) == 1
            if not row_wise or self.states.get(reader.results[0], reader) is not None:
                return reader
            value = reader.results[0]
        return None

    def rows_of_groups(self) -> dict[int, Expr]:
        """For each group the rows that any of its members needs."""
        rows: dict[int, Expr] = {}
        for value in self.states:
            if (state := self.live(value)) is not None:
                rows[state.group] = apply("or", rows.get(state.group, FALSE), state.rows)
        return rows


Needs = list[Live | None]
"""What an op needs of each operand."""
