"""Reading the arguments of an `aten.call` by position or name, operands as values.

aten.call "aten.softmax.int"(%x, -1)        argument(op, 1, "dim") == -1
"""

from typing import TypeAlias

from xdsl.ir import Operation, SSAValue

from ...dialects.aten import CallOp, dims
from ...dialects.template import Argument, Literal, Ref, RegionRef
from ..solvers.sizes import Size

Value: TypeAlias = "SSAValue | RegionRef | Literal | tuple[Value, ...]"


def target(op: Operation) -> str | None:
    """The overload that an op calls; None for anything but an `aten.call`."""
    return op.target.data if isinstance(op, CallOp) else None


def resolve(op: CallOp, argument: Argument) -> Value:
    """An argument with operands as values."""
    if isinstance(argument, tuple):
        return tuple(resolve(op, item) for item in argument)
    return op.operands[argument.index] if isinstance(argument, Ref) else argument


def argument(op: CallOp, position: int, name: str, default: Argument = None) -> Value:
    """The argument at `position` or called `name`, else `default`."""
    return resolve(op, op.template.data.get(position, name, default))


def integer(op: CallOp, position: int, name: str, default: int | None = None) -> int | None:
    """A literal integer argument; None when it is missing or computed."""
    value = argument(op, position, name, default)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def integers(op: CallOp, position: int, name: str) -> tuple[int, ...] | None:
    """A literal list of integers (a single one counts); None when missing or computed."""
    value = argument(op, position, name)
    items = value if isinstance(value, tuple) else (value,)
    literal = tuple(item for item in items if isinstance(item, int) and not isinstance(item, bool))
    return literal if len(literal) == len(items) else None


def shape(value: SSAValue) -> tuple[Size, ...]:
    """Sizes of a tensor value, symbols by name."""
    return dims(value.type)


def rank(value: SSAValue) -> int:
    """Number of axes of a tensor value."""
    return len(dims(value.type))
