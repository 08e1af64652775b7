"""`remat`: what a step's values take, how long its ops run, and which copy of a value an op reads.

    %a = aten.call "aten.gelu.default"(%x) attributes {"remat.name" = "h.0.act/gelu", ..}
    ..                                                         the storage of %a goes after its last reader
    %b = aten.call "aten.gelu.default"(%x) attributes {"remat.of" = "h.0.act/gelu", "remat.life" = 1 : i64, ..}
    remat.free %b : ..                                         that of %b goes here

| attribute         | on              | says                                                                     |
|-------------------|-----------------|--------------------------------------------------------------------------|
| `remat.name`      | an op           | what its recomputations call it                                          |
| `remat.of`        | a recomputation | the name of the op that it repeats                                       |
| `remat.life`      | a recomputation | which computation of that op it is: 1, 2, ..; the op itself is 0          |
|                   | a `tier.fetch`  | the same number, for the storage that comes back                         |
| `remat.window`    | a recomputation | the communication that it hides behind, by number                        |
| `remat.budget`    | a function      | bytes that it was scheduled for; `remat.rung`: by what                   |
| `remat.bound`     | a function      | seconds that any schedule in this budget adds                            |
| `remat.floor`     | a function      | bytes that every schedule takes                                          |
| `remat.measured`  | a function      | bytes that it took at most when it ran                                   |
| `train.phase`     | an op           | `"forward"` or `"backward"`                                              |
| `train.layer`     | an op           | position of its block among identical ones                               |
| `train.path`      | an op           | the module of the model that it comes from                               |
| `train.time`      | an op           | seconds that it takes                                                    |
| `train.storage`   | an op           | of each result: bytes of new memory, or whose memory it is               |
| `train.workspace` | an op           | bytes that it needs only while it runs                                   |
| `train.bytes`     | an input        | bytes of its memory: of an argument, or of a weight as it is read        |

A recomputation equals its op in all but these attributes, so that nothing takes the two for one.
"""

from collections.abc import Sequence

from xdsl.dialects.builtin import ArrayAttr, FloatAttr, IntAttr, IntegerAttr, StringAttr, TensorType, f64, i64
from xdsl.ir import Attribute, Dialect, Operation, ParametrizedAttribute, SSAValue
from xdsl.irdl import IRDLOperation, irdl_attr_definition, irdl_op_definition, var_operand_def
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from .aten import ObjectType

NAME, OF, LIFE, WINDOW = "remat.name", "remat.of", "remat.life", "remat.window"
BUDGET, RUNG, BOUND, FLOOR, MEASURED = (f"remat.{name}" for name in ("budget", "rung", "bound", "floor", "measured"))
PHASE, LAYER, PATH = "train.phase", "train.layer", "train.path"
TIME, STORAGE, WORKSPACE, BYTES = "train.time", "train.storage", "train.workspace", "train.bytes"


KINDS = ("new", "operand", "result")


@irdl_attr_definition
class StorageAttr(ParametrizedAttribute):
    """Where a result lies: in `new` memory of so many bytes, or in that of an `operand` or an earlier `result`."""

    name = "remat.storage"
    kind: StringAttr
    number: IntAttr

    @classmethod
    def of(cls, kind: str, number: int) -> "StorageAttr":
        """From plain Python: `StorageAttr.of("new", 512)`."""
        return cls(StringAttr(kind), IntAttr(number))

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            kind = parser.parse_identifier()
            return [StringAttr(kind), IntAttr(parser.parse_integer())]

    def print_parameters(self, printer: Printer) -> None:
        printer.print_string(f"<{self.kind.data} {self.number.data}>")

    def verify(self) -> None:
        if self.kind.data not in KINDS or self.number.data < 0:
            raise VerifyException(f"a storage is one of {', '.join(KINDS)} and a number, got {self.kind.data}")


@irdl_op_definition
class FreeOp(IRDLOperation):
    """The memory of `values` is given back here: until then they are held, though nothing reads them."""

    name = "remat.free"
    values = var_operand_def()
    assembly_format = "$values attr-dict `:` type($values)"

    def __init__(self, values: Sequence[SSAValue]):
        super().__init__(operands=[values])

    def verify_(self) -> None:
        for value in self.values:
            if not isinstance(value.type, TensorType | ObjectType):
                raise VerifyException(f"only tensors are freed, got {value.type}")
            if not isinstance(value.owner, Operation):
                raise VerifyException("an argument of the function is not its own to free")


def text_of(op: Operation, name: str) -> str | None:
    """A string attribute; None where there is none."""
    found = op.attributes.get(name)
    return found.data if isinstance(found, StringAttr) else None


def number_of(op: Operation, name: str) -> int | None:
    """An integer attribute; None where there is none."""
    found = op.attributes.get(name)
    return found.value.data if isinstance(found, IntegerAttr) else None


def seconds_of(op: Operation) -> float | None:
    """How long `op` takes; None where that is not known."""
    found = op.attributes.get(TIME)
    return found.value.data if isinstance(found, FloatAttr) else None


def set_seconds(op: Operation, seconds: float) -> None:
    """Write how long `op` takes."""
    op.attributes[TIME] = FloatAttr(seconds, f64)


def set_number(op: Operation, name: str, number: int) -> None:
    """Write an integer attribute."""
    op.attributes[name] = IntegerAttr(number, i64)


def storages_of(op: Operation) -> tuple[StorageAttr, ...] | None:
    """Where the results of `op` lie; None where that is not known. Raises VerifyException for too many or too few."""
    found = op.attributes.get(STORAGE)
    if not isinstance(found, ArrayAttr):
        return None
    storages = tuple(item for item in found.data if isinstance(item, StorageAttr))
    if len(storages) != len(op.results):
        raise VerifyException(f"{op.name} has {len(op.results)} results and {len(storages)} storages")
    return storages


def is_recomputation(op: Operation) -> bool:
    """Does `op` repeat another?"""
    return OF in op.attributes


Remat = Dialect("remat", [FreeOp], [StorageAttr])
