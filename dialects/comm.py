"""`comm`: collectives, each in two parts: a start that gives a pending value, and the wait that makes it a tensor.

| op                    | the pending tensor is                                                           |
|-----------------------|---------------------------------------------------------------------------------|
| `comm.all_reduce`     | the sum (or average, ..) over the ranks of what each gives                      |
| `comm.all_gather`     | what each rank gives, one after another on the first axis                       |
| `comm.reduce_scatter` | this rank's part, on the first axis, of the sum over the ranks                  |
| `comm.all_to_all`     | what each rank gives to this one, so many rows to and from each                 |
| `comm.broadcast`      | what rank `source` gives                                                        |
| `comm.wait`           | (no pending value, but the tensor itself)                                       |

    %p = comm.all_reduce sum %x in "0" : (tensor<4x8xf32>) -> !comm.pending<tensor<4x8xf32>>
    %t = ..                                                  runs while %p is on the wire: its window
    %y = comm.wait %p : (!comm.pending<tensor<4x8xf32>>) -> tensor<4x8xf32>

What all but a reduction or broadcast, which work on a copy, are given is read until they are waited for: the wait says
that it is `holding` it.

| attribute         | on      | says                                                        |
|-------------------|---------|-------------------------------------------------------------|
| `comm.seconds`    | a start | seconds on the wire                                         |
| `comm.efficiency` | a start | the share of them in which other work runs as fast as alone |

Laws: every start is waited for once, in its own block, and nothing else reads a pending value; a group runs its
collectives in the order of their starts, and they are waited for in that order.
"""

from collections.abc import Iterator, Sequence
from enum import auto
from typing import TypeAlias

from xdsl.dialects.builtin import (
    I64,
    DenseArrayBase,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    TensorType,
    f64,
    i64,
)
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, Dialect, Operation, ParametrizedAttribute, SpacedOpaqueSyntaxAttribute, SSAValue
from xdsl.ir import TypeAttribute as Type
from xdsl.irdl import (
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

from .aten import dims

SECONDS, EFFICIENCY = "comm.seconds", "comm.efficiency"


@irdl_attr_definition
class PendingType(ParametrizedAttribute, Type):
    """A tensor on its way: nothing can be read from it before it was waited for."""

    name = "comm.pending"
    tensor: TensorType


class Reduction(StrEnum):
    SUM = auto()
    AVG = auto()
    PRODUCT = auto()
    MIN = auto()
    MAX = auto()


@irdl_attr_definition
class ReductionAttr(EnumAttribute[Reduction], SpacedOpaqueSyntaxAttribute):
    """How what the ranks give becomes one."""

    name = "comm.reduction"


class Start(IRDLOperation):
    """What all starts have: an operand, a group by its name, and a pending result."""

    value = operand_def(TensorType)
    group = prop_def(StringAttr)
    pending = result_def(PendingType)
    traits = traits_def(MemoryWriteEffect())

    def __init__(self, value: SSAValue, group: str, result: TensorType, properties: dict[str, Attribute] | None = None):
        super().__init__(
            operands=[value],
            result_types=[PendingType(result)],
            properties={"group": StringAttr(group), **(properties or {})},
        )

    @property
    def tensor(self) -> TensorType:
        """The type of what is given."""
        assert isinstance(self.value.type, TensorType)
        return self.value.type

    @property
    def received(self) -> TensorType:
        """The type of what it becomes."""
        assert isinstance(self.pending.type, PendingType)
        return self.pending.type.tensor

    @property
    def wait(self) -> "WaitOp":
        """The op that waits for it."""
        (use,) = self.pending.uses
        assert isinstance(use.operation, WaitOp)
        return use.operation

    def verify_(self) -> None:
        readers = [use.operation for use in self.pending.uses]
        if stranger := next((op for op in readers if not isinstance(op, WaitOp)), None):
            raise VerifyException(f"only comm.wait reads a pending value, got '{stranger.name}'")
        if len(readers) != 1 or readers[0].parent is not self.parent:
            where = "" if len(readers) != 1 else " in another block"
            raise VerifyException(f"a start is waited for once, in its block: {len(readers)} waits{where}")
        if self.received.element_type != self.tensor.element_type:
            raise VerifyException(f"elements keep their type: {self.tensor} becomes {self.received}")
        self.verify_sizes(dims(self.tensor), dims(self.received))

    def verify_sizes(self, given: "Sizes", received: "Sizes") -> None:
        """By default all sizes stay."""
        if given != received:
            raise VerifyException(f"{self.name} keeps all sizes: {self.tensor} becomes {self.received}")

    def verify_axes(self, given: "Sizes", received: "Sizes") -> None:
        """There are rows, and all other axes stay."""
        if not given or not received or given[1:] != received[1:]:
            raise VerifyException(f"{self.name} keeps every axis but the first: {self.tensor}, {self.received}")

    def verify_rows(self, ranks: int, given: "Sizes", received: "Sizes") -> None:
        """`received` has the rows of `given` for each of `ranks`, and all other axes of it."""
        self.verify_axes(given, received)
        few, many = given[0], received[0]
        if isinstance(few, int) and isinstance(many, int) and few * ranks != many:
            raise VerifyException(f"{ranks} ranks with {few} rows each have {few * ranks} rows, got {many}")


Sizes: TypeAlias = tuple[int | str, ...]


@irdl_op_definition
class AllReduceOp(Start):
    """The sum, or another reduction, over the ranks."""

    name = "comm.all_reduce"
    reduction = prop_def(ReductionAttr)
    assembly_format = "$reduction $value `in` $group attr-dict `:` functional-type($value, $pending)"


@irdl_op_definition
class AllGatherOp(Start):
    """What each of `ranks` ranks gives, one after another."""

    name = "comm.all_gather"
    ranks = prop_def(IntegerAttr[I64])
    assembly_format = "$value `in` $group `of` $ranks attr-dict `:` functional-type($value, $pending)"

    def verify_sizes(self, given: Sizes, received: Sizes) -> None:
        self.verify_rows(self.ranks.value.data, given, received)


@irdl_op_definition
class ReduceScatterOp(Start):
    """This rank's part of the sum over `ranks` ranks."""

    name = "comm.reduce_scatter"
    reduction = prop_def(ReductionAttr)
    ranks = prop_def(IntegerAttr[I64])
    assembly_format = "$reduction $value `in` $group `of` $ranks attr-dict `:` functional-type($value, $pending)"

    def verify_sizes(self, given: Sizes, received: Sizes) -> None:
        self.verify_rows(self.ranks.value.data, received, given)


@irdl_op_definition
class AllToAllOp(Start):
    """Rows to each rank, and rows from each: `sends` and `takes` many, in the order of the ranks."""

    name = "comm.all_to_all"
    sends = prop_def(DenseArrayBase[I64])
    takes = prop_def(DenseArrayBase[I64])
    assembly_format = "$value `sends` $sends `takes` $takes `in` $group attr-dict `:` functional-type($value, $pending)"

    def verify_sizes(self, given: Sizes, received: Sizes) -> None:
        self.verify_axes(given, received)
        for verb, rows, splits in (("sends", given[0], self.sends), ("takes", received[0], self.takes)):
            total = sum(splits.get_values())
            if isinstance(rows, int) and rows != total:
                raise VerifyException(f"it {verb} {total} rows in all, its tensor has {rows}")


@irdl_op_definition
class BroadcastOp(Start):
    """What rank `source` gives."""

    name = "comm.broadcast"
    source = prop_def(IntegerAttr[I64])
    assembly_format = "$value `from` $source `in` $group attr-dict `:` functional-type($value, $pending)"


@irdl_op_definition
class WaitOp(IRDLOperation):
    """The tensor, once it is there."""

    name = "comm.wait"
    pending = operand_def(PendingType)
    held = opt_operand_def(TensorType)
    value = result_def(TensorType)
    traits = traits_def(MemoryWriteEffect())
    assembly_format = "$pending (`holding` $held^ `:` type($held))? attr-dict `:` functional-type($pending, $value)"

    def __init__(self, pending: SSAValue, held: SSAValue | None = None):
        if not isinstance(pending.type, PendingType):
            raise VerifyException(f"only what is pending is waited for, got {pending.type}")
        super().__init__(operands=[pending, held], result_types=[pending.type.tensor])

    @property
    def start(self) -> Start:
        """The op that it waits for. Raises VerifyException for a value that no start gives."""
        if not isinstance(self.pending.owner, Start):
            raise VerifyException("what is waited for was started in the same function")
        return self.pending.owner

    def verify_(self) -> None:
        if self.pending.type != PendingType(self.value.type):  # pyright: ignore[reportArgumentType]
            raise VerifyException(f"a wait gives the tensor that is pending: {self.pending.type}, {self.value.type}")
        group, waiting = self.start.group, set[Operation]()
        for op in self.window():
            if isinstance(op, Start) and op.group == group:
                waiting.add(op)
            elif isinstance(op, WaitOp) and op.pending.owner in waiting:
                raise VerifyException(
                    f"collectives of a group are waited for in the order of their starts: '{op.start.name}' "
                    f"starts after '{self.start.name}' and is waited for before it"
                )

    def window(self) -> Iterator[Operation]:
        """The ops between the start and this op."""
        op = self.start.next_op
        while op is not None and op is not self:
            yield op
            op = op.next_op


def reduction(name: str) -> ReductionAttr | None:
    """The reduction of that name; None where there is none here."""
    return ReductionAttr(Reduction(name)) if name in list(Reduction) else None


def whole(number: int) -> IntegerAttr[I64]:
    """A whole number as an attribute."""
    return IntegerAttr(number, i64)


def rows(numbers: Sequence[int]) -> DenseArrayBase[I64]:
    """Numbers of rows as an attribute."""
    return DenseArrayBase.from_list(i64, numbers)


def window_of(start: Operation) -> tuple[float, float] | None:
    """Seconds on the wire, and the share of them that other work can use; None where nobody measured."""
    seconds, efficiency = start.attributes.get(SECONDS), start.attributes.get(EFFICIENCY)
    if not isinstance(seconds, FloatAttr):
        return None
    return seconds.value.data, efficiency.value.data if isinstance(efficiency, FloatAttr) else 1.0


def set_window(start: Operation, seconds: float, efficiency: float) -> None:
    """Write what was measured."""
    start.attributes[SECONDS], start.attributes[EFFICIENCY] = FloatAttr(seconds, f64), FloatAttr(efficiency, f64)


Comm = Dialect(
    "comm",
    [AllReduceOp, AllGatherOp, ReduceScatterOp, AllToAllOp, BroadcastOp, WaitOp],
    [PendingType, ReductionAttr],
)
