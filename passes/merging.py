"""Merge ops that compute the same, where nobody can tell.

    %a = aten.neg(%x)                           %a = aten.neg(%x)
    %b = aten.neg(%x)                    ->     %c = aten.add(%a, %a)
    %c = aten.add(%a, %b)

    return aten.neg(%x), aten.neg(%x)    stays: the caller may write to one of them, and read the other

Two equal values become one only if the memory of at most one leaves the function (`analysis/memory.py`). Random ops
and custom ops, whose schema may keep silent about what they do, stay apart; a function that writes in place is left
as it is. Bitwise. Linear in the number of ops.
"""

from dataclasses import dataclass

from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation
from xdsl.transforms.common_subexpression_elimination import CSEDriver

from ..dialects.aten import CallOp
from .analysis.memory import has_memory, is_functional, is_opaque, leaves


def is_custom(op: Operation) -> bool:
    """A call outside torch, of something that makes tensors?"""
    return isinstance(op, CallOp) and is_opaque(op) and not op.regions and any(map(has_memory, op.results))


def stay_apart(one: Operation, other: Operation) -> bool:
    """Would it be seen that the results of two equal ops are one?"""
    if any(map(is_custom, one.walk())):
        return True
    return any(has_memory(a) and leaves(a) and leaves(b) for a, b in zip(one.results, other.results, strict=True))


@dataclass
class Merger(CSEDriver):
    """xDSL's elimination of common subexpressions, with a say in which."""

    def _replace_and_delete(self, op: Operation, existing: Operation) -> None:
        if not stay_apart(op, existing):
            super()._replace_and_delete(op, existing)


def merge_equal(function: FuncOp) -> None:
    """Let every op of `function`, and of each of its regions, be there once."""
    if is_functional(function):
        Merger().simplify(function)
