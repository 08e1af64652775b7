"""Which rows of each value does anybody read with effect? Backwards from the results.

    return %y  {sparse.dont_care = "mask"}        %y: rows where mask != 0
    %y = aten.linear(%x, %w)                      %x: the same rows
    %p = aten.select(%x, 1, 0)                    %x: those, or position 0
    %a = aten.sdpa(%q, %k, %v, %m)                %q: the same rows; %k, %v: the rows that %m does not hide
    %z = aten.mul(%x, %m)                         %x: rows where m != 0 (and %x is finite elsewhere)

A value is either needed whole, or its rows are live under a predicate over a domain's axes, in some layout.
Values that flow into each other belong to one group, which gets one domain: the union of what its members need.
An attention whose hidden keys count for nothing only on a condition (see `attention.py`) that its group cannot give
is refused, and all is done again without it. Linear in the number of ops for each of those. Don't-care liveness:
research on dynamic sparsity, section 3.1 L.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntegerType, StringAttr, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation, SSAValue

from ...dialects.aten import CallOp
from ...dialects.layout import Layout
from ..solvers.index_expr import FALSE, TRUE, Axis, Constant, Expr, apply, axes_of, is_mask
from ..solvers.sizes import Size
from .attention import ATTENTION, Attention, Condition, read_attention
from .calls import argument, integer, rank, shape
from .index_view import IndexView
from .row_shapes import axis_of
from .rows import RULES as ROW_RULES
from .rows import flow_from_result


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


def liveness(function: FuncOp, *, exact: bool = False) -> Liveness:
    """Liveness of every value of `function`. `exact` refuses rows that are dead only if they are finite."""
    found = walk(function, Liveness(exact=exact))
    while broken := found.broken():
        found = walk(function, Liveness(exact=exact, refused=found.refused | broken))
    return found


def walk(function: FuncOp, found: Liveness) -> Liveness:
    """`found`, filled backwards from the results."""
    for op in reversed(list(function.body.block.ops)):
        if isinstance(op, ReturnOp):
            for value, seed in zip(op.operands, dont_care(function), strict=True):
                found.need(value, seed and seed_live(found, value, seed), op)
        elif isinstance(op, CallOp) and not op.regions and op.effects is None:
            visit(found, op)
        else:
            for value in (v for o in op.walk() for v in o.operands):
                found.need(value, WHOLE, op)
    return found


def dont_care(function: FuncOp) -> list[SSAValue | None]:
    """For each result the argument whose zeros mark rows that nobody reads."""
    arguments = {name: arg for name, arg in zip(names(function.arg_attrs), function.args, strict=False) if name}
    marks = [attrs.data.get("sparse.dont_care") for attrs in dictionaries(function.res_attrs)]
    found: list[SSAValue | None] = [arguments.get(m.data) if isinstance(m, StringAttr) else None for m in marks]
    return found or [None] * len(function.function_type.outputs)


def dictionaries(attributes: ArrayAttr[DictionaryAttr] | None) -> Iterable[DictionaryAttr]:
    """Argument or result attributes; none where there are none."""
    return attributes.data if attributes is not None else ()


def names(attributes: ArrayAttr[DictionaryAttr] | None) -> list[str | None]:
    """The `aten.name` of each argument or result."""
    given = [attrs.data.get("aten.name") for attrs in dictionaries(attributes)]
    return [name.data if isinstance(name, StringAttr) else None for name in given]


def seed_live(found: Liveness, value: SSAValue, mask: SSAValue) -> Live:
    """The first axes of `value` are those of `mask`; rows where it is zero are nobody's concern."""
    axes = rank(mask)
    return Live(
        Layout.leading(axes, rank(value)),
        apply("nz", found.view.of(mask)),
        shape(value)[:axes],
        found.group(),
    )


def visit(found: Liveness, op: CallOp) -> None:
    """Pass what the results need on to the operands."""
    states = [found.states[r] for r in op.results if r in found.states]
    if not states or op.target.data in SIZES_ONLY:
        return
    state = merged(found, states)
    needs = None
    if (rule := RULES.get(op.target.data)) is not None:
        needs = rule(found, op, state)
    if needs is None:
        needs = by_rows(op, state)
    for operand, need in zip(op.operands, needs or [WHOLE] * len(op.operands), strict=True):
        found.need(operand, need, op)


def merged(found: Liveness, states: list[Live | None]) -> Live | None:
    """What several results need together; they must be laid out alike."""
    first, *others = states
    for other in others:
        if first is None or other is None or first.layout != other.layout:
            return WHOLE
        found.parents[found.root(other.group)] = found.root(first.group)
        first = first | other
    return first


SIZES_ONLY = {f"aten.{name}.default" for name in "zeros_like ones_like full_like empty_like new_zeros new_ones".split()}
"""Calls that read the sizes of their operand and none of its elements."""

Needs = list[Live | None]


def by_rows(op: CallOp, state: Live | None) -> Needs | None:
    """Row-wise ops need the rows that are needed of them."""
    if state is None:
        return None
    flow = flow_from_result(op, 0, state.layout, state.space)
    if flow is None:
        return None
    return [
        replace(state, layout=layout) if layout is not None and len(layout.domain_axes) == len(state.space) else WHOLE
        for layout in flow.operands
    ]


HEADS_SECOND = Layout.parse("i a j b")
"""[sequence, heads, position, width]: how queries, keys and values of attention are laid out."""


def attention(found: Liveness, op: CallOp, state: Live | None) -> Needs | None:
    """Queries: the rows of the result. Keys and values: the rows that the mask does not hide."""
    seen = read_attention(found.view, op, HEADS_SECOND if state is None else state.layout)
    if seen is None or op in found.refused:
        return None
    found.attentions[op] = seen
    rest: Needs = [WHOLE] * (len(op.operands) - 3)
    if seen.keys == TRUE:
        return [state, WHOLE, WHOLE, *rest]
    sizes = shape(op.operands[1])
    keys = Live(seen.layout, seen.keys, (sizes[0], sizes[2]), found.group())
    return [state, keys, keys, *rest]


def select(found: Liveness, op: CallOp, state: Live | None) -> Needs | None:
    """One position of an axis, of which nothing else is needed here."""
    axis, index = axis_of(op), integer(op, 2, "index")
    if state is not None or axis is None or index is None or not 1 <= axis < rank(op.operands[0]) - 1:
        return None
    sizes = shape(op.operands[0])
    if index < 0:
        size = sizes[axis]
        if not isinstance(size, int):
            return None
        index += size
    position = apply("eq", Axis(axis), Constant(index))
    layout = Layout.leading(axis + 1, len(sizes))
    return [Live(layout, position, sizes[: axis + 1], found.group())]


def where(found: Liveness, op: CallOp, state: Live | None) -> Needs | None:
    """where(c, a, b): a where c holds, b where it does not"""
    condition = argument(op, 0, "condition")
    return masked(found, op, state, condition, {1: False, 2: True}) if isinstance(condition, SSAValue) else None


def masked_fill(found: Liveness, op: CallOp, state: Live | None) -> Needs | None:
    """masked_fill(x, m, v): x where m does not hold"""
    mask = argument(op, 1, "mask")
    return masked(found, op, state, mask, {0: True}) if isinstance(mask, SSAValue) else None


def multiply(found: Liveness, op: CallOp, state: Live | None) -> Needs | None:
    """x * m: x where m is not zero. NaN and Inf of x elsewhere would make NaN, so this is not exact."""
    if found.exact or len(op.operands) != 2:
        return None
    for position in (0, 1):
        needs = masked(found, op, state, op.operands[1 - position], {position: False})
        if needs is not None:
            return needs
    return None


def masked(found: Liveness, op: CallOp, state: Live | None, mask: SSAValue, positions: dict[int, bool]) -> Needs | None:
    """Arguments at `positions` are read only where `mask` holds (True: only where it does not)."""
    to = shape(op.results[0])
    holds = row_mask(found.view, mask, to)
    if holds is None:
        return None
    leading = max(axes_of(holds)) + 1
    layout = Layout.leading(leading, len(to))
    if state is not None and state.layout != layout:
        return None
    whole: Needs = [WHOLE] * len(op.operands)
    needs = by_rows(op, state) if state is not None else whole
    if needs is None:
        return None
    written = list(op.template.data.refs())
    for position, negated in positions.items():
        value = argument(op, position, "")
        if not isinstance(value, SSAValue) or shape(value) != to:
            continue
        rows = apply("not", holds) if negated else holds
        index = list(op.operands).index(value)
        if written.count(index) > 1:
            continue
        needs[index] = (
            Live(layout, rows, to[:leading], found.group())
            if state is None
            else replace(state, rows=apply("and", state.rows, rows))
        )
    return needs if any(need is not None for need in needs) else None


def row_mask(view: IndexView, mask: SSAValue, to: tuple[Size, ...]) -> Expr | None:
    """Where `mask`, broadcast to shape `to`, is not zero; None unless it is a mask over leading axes only."""
    expression = view.broadcast(mask, to)
    if expression is None or not (is_mask(expression) or is_integer(mask)):
        return None
    holds = apply("nz", expression)
    return holds if 1 <= max(axes_of(holds), default=-1) + 1 < len(to) else None


def is_integer(value: SSAValue) -> bool:
    """A tensor of integers or truth values?"""
    return isinstance(value.type, TensorType) and isinstance(value.type.element_type, IntegerType)


RULES: dict[str, Callable[[Liveness, CallOp, Live | None], Needs | None]] = {
    ATTENTION: attention,
    "aten.select.int": select,
    "aten.where.self": where,
    "aten.where.ScalarOther": where,
    "aten.masked_fill.Scalar": masked_fill,
    "aten.masked_fill.Tensor": masked_fill,
    "aten.mul.Tensor": multiply,
}
"""Ops that read less than their row rule says, or say where rows come from."""
