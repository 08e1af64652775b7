"""`tier`: storages that go to a second tier of memory, the host of a device or a file, and come back.

| op               | reads as                                                                            |
|------------------|-------------------------------------------------------------------------------------|
| `tier.offload`   | a storage begins to go; it may be read meanwhile, not written                       |
| `tier.offloaded` | its bytes are there: the storage goes here, if this is its last reader              |
| `tier.fetch`     | memory is taken, and the bytes begin to come back                                   |
| `tier.fetched`   | (no pending value, but the tensor itself)                                           |

    %h = tier.offload %a to "host" : (tensor<4xf32>) -> !tier.away<tensor<4xf32>>
    tier.offloaded %h of %a : !tier.away<tensor<4xf32>>, tensor<4xf32>
    %p = tier.fetch %h {remat.life = 1 : i64} : (!tier.away<tensor<4xf32>>) -> !comm.pending<tensor<4xf32>>
    %b = tier.fetched %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>

Laws: every offload is waited for and fetched once, in its own block; one engine moves one storage after another, in the
order in which offloads and fetches stand. `tier.link` says of a function where its storages may go, and at what cost.
"""

from typing import NamedTuple

from xdsl.dialects.builtin import DictionaryAttr, FloatAttr, StringAttr, TensorType, f64
from xdsl.ir import Attribute, Dialect, Operation, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import (
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException

from .aten import ParameterOp
from .comm import PendingType
from .remat import LIFE, number_of, set_number

LINK = "tier.link"


@irdl_attr_definition
class AwayType(ParametrizedAttribute, TypeAttribute):
    """A tensor, with all of its storage, in the second tier."""

    name = "tier.away"
    tensor: TensorType


@irdl_op_definition
class OffloadOp(IRDLOperation):
    """The storage of `value` begins to go to `place`: "host", or a folder for files. It may be read meanwhile."""

    name = "tier.offload"
    value = operand_def(TensorType)
    place = prop_def(StringAttr)
    away = result_def(AwayType)
    traits = traits_def(MemoryWriteEffect())
    assembly_format = "$value `to` $place attr-dict `:` functional-type($value, $away)"

    def __init__(self, value: SSAValue, place: str):
        if not isinstance(value.type, TensorType):
            raise VerifyException(f"only tensors are moved, got {value.type}")
        super().__init__(operands=[value], result_types=[AwayType(value.type)], properties={"place": StringAttr(place)})

    def verify_(self) -> None:
        if not isinstance(self.value.owner, Operation) or isinstance(self.value.owner, ParameterOp):
            raise VerifyException("arguments and weights are not the function's own to move")
        verify_type(self, self.away.type, AwayType, self.value.type)
        verify_readers(self, self.away, (OffloadedOp, FetchOp))


@irdl_op_definition
class OffloadedOp(IRDLOperation):
    """The bytes of `value` are `away`: here its storage goes, if nobody else has it."""

    name = "tier.offloaded"
    away = operand_def(AwayType)
    value = operand_def(TensorType)
    traits = traits_def(MemoryWriteEffect())
    assembly_format = "$away `of` $value attr-dict `:` type($away) `,` type($value)"

    def __init__(self, away: SSAValue, value: SSAValue):
        super().__init__(operands=[away, value])

    def verify_(self) -> None:
        if not isinstance(offload := self.away.owner, OffloadOp) or offload.value is not self.value:
            raise VerifyException("an offload ends with the tensor that it began with")


@irdl_op_definition
class FetchOp(IRDLOperation):
    """What is `away` begins to come back, into memory that is taken here."""

    name = "tier.fetch"
    away = operand_def(AwayType)
    pending = result_def(PendingType)
    traits = traits_def(MemoryWriteEffect())
    assembly_format = "$away attr-dict `:` functional-type($away, $pending)"

    def __init__(self, away: SSAValue, life: int):
        assert isinstance(away.type, AwayType)
        super().__init__(operands=[away], result_types=[PendingType(away.type.tensor)])
        set_number(self, LIFE, life)

    @property
    def offload(self) -> OffloadOp:
        """The op that sent it. Raises VerifyException where none did."""
        if not isinstance(self.away.owner, OffloadOp):
            raise VerifyException("what is fetched was offloaded in the same function")
        return self.away.owner

    def verify_(self) -> None:
        assert isinstance(self.away.type, AwayType)
        if (number_of(self, LIFE) or 0) < 1:
            raise VerifyException(f"what comes back is a life from 1 on (`{LIFE}`), got {number_of(self, LIFE)}")
        verify_type(self, self.pending.type, PendingType, self.away.type.tensor)
        verify_readers(self, self.pending, (FetchedOp,))
        ends = next(use.operation for use in self.offload.away.uses if isinstance(use.operation, OffloadedOp))
        if not ends.is_before_in_block(self):
            raise VerifyException("a storage is fetched when its offload has ended")


@irdl_op_definition
class FetchedOp(IRDLOperation):
    """The tensor, once it is back."""

    name = "tier.fetched"
    pending = operand_def(PendingType)
    value = result_def(TensorType)
    traits = traits_def(MemoryWriteEffect())
    assembly_format = "$pending attr-dict `:` functional-type($pending, $value)"

    def __init__(self, pending: SSAValue):
        assert isinstance(pending.type, PendingType)
        super().__init__(operands=[pending], result_types=[pending.type.tensor])

    @property
    def fetch(self) -> FetchOp:
        """The op that it waits for. Raises VerifyException where there is none."""
        if not isinstance(self.pending.owner, FetchOp):
            raise VerifyException("what is waited for was fetched in the same function")
        return self.pending.owner

    def verify_(self) -> None:
        verify_type(self, self.pending.type, PendingType, self.value.type)
        _ = self.fetch


MOVES = (OffloadOp, OffloadedOp, FetchOp, FetchedOp)
"""In the order in which they stand between two other ops."""


def verify_type(op: Operation, found: Attribute, kind: type[AwayType | PendingType], tensor: Attribute) -> None:
    """`op` keeps the type of the tensor that it moves."""
    if found != kind(tensor):  # pyright: ignore[reportArgumentType]
        raise VerifyException(f"{op.name} keeps the tensor: {tensor} becomes {found}")


def verify_readers(op: Operation, value: SSAValue, kinds: tuple[type[Operation], ...]) -> None:
    """Each of `kinds` reads `value` once, in the block of `op`, and nothing else does."""
    readers = [use.operation for use in value.uses]
    found = sorted(reader.name for reader in readers)
    if found != sorted(kind.name for kind in kinds) or any(reader.parent is not op.parent for reader in readers):
        wanted = " and ".join(kind.name for kind in kinds)
        raise VerifyException(f"{op.name} is followed by {wanted}, once and in its block, got {', '.join(found)}")


class Link(NamedTuple):
    """The way to a second tier: its place, bytes a second out and back, seconds that each move takes more, and the
    share of its speed at which other work runs meanwhile."""

    place: str
    out: float
    back: float
    latency: float
    efficiency: float


def set_link(function: Operation, link: Link) -> None:
    """Write where the storages of `function` may go."""
    numbers = {name: FloatAttr(number, f64) for name, number in link._asdict().items() if name != "place"}
    function.attributes[LINK] = DictionaryAttr({"place": StringAttr(link.place), **numbers})


def link_of(function: Operation) -> Link | None:
    """Where the storages of `function` may go; None where nowhere. Raises VerifyException for half a link."""
    found = function.attributes.get(LINK)
    if found is None:
        return None
    entries = found.data if isinstance(found, DictionaryAttr) else {}
    numbers = [n.value.data for name in Link._fields[1:] if isinstance(n := entries.get(name), FloatAttr)]
    place = entries.get("place")
    if not isinstance(place, StringAttr) or len(numbers) != 4 or min(numbers[:2]) <= 0 or min(numbers[2:]) < 0:
        raise VerifyException(f"`{LINK}` has a place, and floats {', '.join(Link._fields[1:])}; got {found}")
    return Link(place.data, *numbers)


Tier = Dialect("tier", [*MOVES], [AwayType])
