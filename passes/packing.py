"""Writing compact code: the pieces that the row passes share.

before   %y = aten.linear(%x, %w)
after    %x' = sparse.gather %x[%d] "i j a"
         %y' = aten.linear(%x', %w)
         %y  = sparse.scatter %y'[%d] "i j a"
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, Operation, SSAValue

from ..dialects.aten import CallOp, tensor_of, tensor_type
from ..dialects.layout import Layout
from ..dialects.sparse import GatherOp, LayoutAttr, ScatterOp, SizeOp, domain_of
from ..dialects.template import Argument, Ref, Template
from .analysis.calls import shape
from .analysis.rows import ACTIVE, Flow, compact_call
from .solvers.reshaping import compact_shape


@dataclass
class CallWriter:
    """Writes one call: operands are numbered as the template first mentions them."""

    operands: list[SSAValue] = field(default_factory=list)

    def ref(self, value: SSAValue) -> Ref:
        """The operand `value`, added if it is new."""
        if value not in self.operands:
            self.operands.append(value)
        return Ref(self.operands.index(value))

    def call(self, target: str, template: Template, types: Sequence[Attribute], unpack: bool = False) -> CallOp:
        """The finished call."""
        return CallOp(target, template, self.operands, types, unpack=unpack)


Written: TypeAlias = "SSAValue | Argument | tuple[Written, ...]"


def call(target: str, args: Sequence[Written], type: Attribute, **kwargs: Written) -> CallOp:
    """A pure call with one result; SSA values stand among its arguments, lists as tuples."""
    writer = CallWriter()

    def written(argument: Written) -> Argument:
        if isinstance(argument, SSAValue):
            return writer.ref(argument)
        return tuple(map(written, argument)) if isinstance(argument, tuple) else argument

    template = Template(tuple(map(written, args)), tuple((k, written(a)) for k, a in kwargs.items()))
    return writer.call(target, template, [type])


def compact_types(op: Operation, flow: Flow, domain: SSAValue, rows: int | None) -> list[TensorType] | None:
    """Types of the compact results of `op`, with `rows` rows where that is known."""
    space = domain_of(domain).sizes
    types: list[TensorType] = []
    for result, layout in zip(op.results, flow.results, strict=True):
        sizes = compact_shape(layout, shape(result), space)
        if sizes is None:
            return None
        types.append(tensor_type(tensor_of(result).element_type, ["?" if rows is None else rows, *sizes]))
    return types


@dataclass
class CompactCode:
    """New ops in order, and the compact form of each result."""

    ops: list[Operation]
    results: list[SSAValue]


def write_compact(
    op: CallOp, flow: Flow, domain: SSAValue, compact: Mapping[int, SSAValue], rows: int | None = None
) -> CompactCode | None:
    """`op` on compact rows. `compact` gives the compact form of the operands that carry rows, by number.

    None when a size is not known. The new ops keep the op's location and the names of its results. `rows` is the
    number of rows where that is known: one for a fill; else it is the domain's size.
    """
    plan = compact_call(op, flow, domain_of(domain).sizes)
    types = compact_types(op, flow, domain, rows)
    if plan is None or types is None:
        return None
    if plan.target is None:
        return CompactCode([], [compact[0]])
    size = SizeOp(domain)
    active = size.size if rows is None else rows
    ops: list[Operation] = []
    operands = [
        reshaped(ops, compact.get(k, value), plan.reshapes.get(k), active) for k, value in enumerate(op.operands)
    ]
    writer = CallWriter()

    def leaf(argument: Argument) -> Argument:
        if argument == ACTIVE:
            return writer.ref(active) if isinstance(active, SSAValue) else active
        return writer.ref(operands[argument.index]) if isinstance(argument, Ref) else argument

    new = writer.call(plan.target, plan.template.map(leaf), types, unpack=op.unpack is not None)
    for old, result, layout in zip(op.results, new.results, flow.results, strict=True):
        result.name_hint = old.name_hint
        new.attributes["sparse.layout"] = LayoutAttr(layout)
    ops.append(new)
    if any(size.size in written.operands for written in ops):
        ops.insert(0, size)
    for written in ops:
        written.location = op.location
    return CompactCode(ops, list(new.results))


def reshaped(
    ops: list[Operation], value: SSAValue, wanted: tuple[Argument, ...] | None, active: SSAValue | int
) -> SSAValue:
    """`value` in the compact shape that broadcasting needs; the reshape goes to `ops`."""
    if wanted is None:
        return value
    sizes = tuple(active if size == ACTIVE else size for size in wanted)
    known = [size if isinstance(size, int) else "?" for size in sizes]
    new = call("aten.reshape.default", (value, sizes), tensor_type(tensor_of(value).element_type, known))
    ops.append(new)
    return new.results[0]


def discard(ops: Sequence[Operation]) -> None:
    """Ops that were made and come to nothing: values must not count them among their readers."""
    for op in reversed(ops):
        op.drop_all_references()


@dataclass
class CompactOperands:
    """Compact forms of the operands that carry rows, by number, and the gathers that make them."""

    compact: dict[int, SSAValue] = field(default_factory=dict)
    gathers: list[Operation] = field(default_factory=list)


def compact_operands(op: CallOp, domain: SSAValue, flow: Flow) -> CompactOperands:
    """A scatter over the same domain gives its compact form, anything else is gathered."""
    found = CompactOperands()
    for index, layout in enumerate(flow.operands):
        if layout is None:
            continue
        found.compact[index] = compact_form(op, op.operands[index], domain, layout, found.gathers)
    return found


def compact_form(
    op: Operation, value: SSAValue, domain: SSAValue, layout: Layout, gathers: list[Operation]
) -> SSAValue:
    """The compact form of one value."""
    owner = value.owner
    if isinstance(owner, ScatterOp) and owner.domain is domain and owner.layout.data == layout:
        return owner.compact
    gather = GatherOp(value, domain, layout)
    gather.location, gather.compact.name_hint = op.location, value.name_hint
    gathers.append(gather)
    return gather.compact
