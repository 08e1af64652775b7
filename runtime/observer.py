"""Somebody who sees each op of a program as it runs: what it reads, what it gives.

y = aten_gelu(x); del x       ->       observer.begin(op); y = aten_gelu(x); observer.end(op, (y,), (x,)); del x
"""

from collections.abc import Sequence
from typing import Any, Protocol

from xdsl.ir import Operation


class Observer(Protocol):
    """Told before and after every op; ops of functions that an op is given come between the two."""

    def begin(self, op: Operation, /) -> None: ...

    def end(self, op: Operation, results: Sequence[Any], operands: Sequence[Any], /) -> None: ...
