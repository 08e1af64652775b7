"""The value of an index expression at every position of a space, by torch: what it is held against.

evaluate(Apply("le", (Axis(1), Axis(0))), (3, 3), {})     the lower triangle
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from gossamer.passes.solvers.index_expr import Apply, Axis, Constant, Element, Expr

FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
    "eq": torch.eq,
    "ne": torch.ne,
    "add": lambda a, b: number(a) + number(b),
    "sub": lambda a, b: number(a) - number(b),
    "mul": lambda a, b: number(a) * number(b),
    "not": torch.logical_not,
    "nz": lambda a: a != 0,
    "where": lambda c, a, b: torch.where(c != 0, number(a), number(b)),
    "number": lambda a: number(a),
}


def number(value: torch.Tensor) -> torch.Tensor:
    """Truth values as 0 and 1."""
    return value.to(torch.float64)


def evaluate(e: Expr, space: Sequence[int], tensors: Mapping[Any, torch.Tensor]) -> torch.Tensor:
    """`e` at every position of `space`; `tensors` are its sources."""
    match e:
        case Axis(axis):
            return (
                torch.arange(space[axis]).view([-1 if k == axis else 1 for k in range(len(space))]).expand(tuple(space))
            )
        case Constant(value):
            kind = None if isinstance(value, bool) else torch.float64
            return torch.tensor(value, dtype=kind).expand(tuple(space))
        case Element(source, indices, _):
            places = tuple(evaluate(i, space, tensors).long() for i in indices)
            return tensors[source][places].expand(tuple(space))
        case Apply(name, operands):
            values = [evaluate(o, space, tensors) for o in operands]
            if name in ("and", "or"):
                stacked = torch.stack([v != 0 for v in values])
                return stacked.all(0) if name == "and" else stacked.any(0)
            if name in ("lt", "le", "gt", "ge", "eq", "ne"):
                values = [number(v) for v in values]
            return FUNCTIONS[name](*values)
