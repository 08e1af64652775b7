"""What went wrong inside an op, in the user's terms.

    model.py:12:5: error: aten.mm.default: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)
       12 |     return x @ self.w
          |     ^
      %x is float32 [2, 3]
      %w is float32 [4, 5]

Works backwards from the line of generated text that raised: a run that goes well pays nothing.
"""

from collections.abc import Mapping
from typing import Any

from xdsl.ir import Operation

from ..dialects.aten import CallOp
from ..dialects.diagnostics import UserError, place_of
from .dtypes import describe


def title(op: Operation) -> str:
    """What an op is called in messages: a call by its target."""
    return op.target.data if isinstance(op, CallOp) else op.name


def fault(op: Operation, operands: Mapping[str, Any], error: Exception) -> UserError:
    """`error`, which `op` raised when given `operands` (by name)."""
    first, *more = str(error).strip().splitlines() or [type(error).__name__]
    given = [f"%{name} is {describe(value)}" for name, value in operands.items()]
    return UserError(f"{title(op)}: {first}", place=place_of(op), details=[*more[:10], *given])
