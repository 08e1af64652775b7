"""The table of ops, by name: `OPS["times rows"]`. Its rooms say what each does."""

from collections.abc import Sequence

from .attention import ATTENTION
from .elementwise import ELEMENTWISE
from .masks import MASKS
from .model import INPUT, Model, Type
from .moves import MOVES
from .op import Op
from .products import SUMS
from .values import ARGUMENTS

OPS: dict[str, Op] = ELEMENTWISE | MASKS | MOVES | SUMS | ATTENTION

WRITES = frozenset(name for name, op in OPS.items() if op.writes)
"""Ops that write their first operand: they stay, whoever reads their result."""


def type_of(name: str, types: Sequence[Type], parameter: str) -> Type | None:
    """The type of what op `name` gives; None where it does not take such operands."""
    if name == INPUT:
        return ARGUMENTS.get(parameter)
    op = OPS[name]
    return op.rule(types, parameter) if len(types) == op.arity else None


def types_of(model: Model) -> list[Type] | None:
    """The type of every node; None where they do not work out."""
    types: list[Type] = []
    for node in model.nodes:
        found = type_of(node.op, [types[i] for i in node.inputs], node.parameter)
        if found is None:
            return None
        types.append(found)
    return types
