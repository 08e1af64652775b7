"""Ops that become one op, which means what they do.

%a = aten.call "aten.mul.Tensor"(%x, 0.5)           %y = kernel.map @k(%x, %t) : .. {
%y = aten.call "aten.add.Tensor"(%t, %a)     ->     ^bb0(%0: .., %1: ..):
                                                      the two calls
                                                      kernel.yield %2
                                                    }
"""

from collections.abc import Sequence
from typing import TypeVar

from xdsl.ir import Block, Operation, Region, SSAValue

from ..dialects.kernel import ExactOp, YieldOp

Kind = TypeVar("Kind", bound=ExactOp)


def enclose(kind: type[Kind], group: Sequence[Operation], kernel: str) -> Kind:
    """The op of `kind` that computes the last of `group`, of one result, by `kernel`; `group` stays as it is."""
    made = {result for op in group for result in op.results}
    given = list(dict.fromkeys(value for op in group for value in op.operands if value not in made))
    block = Block(arg_types=[value.type for value in given])
    inside: dict[SSAValue, SSAValue] = {}
    inside.update(zip(given, block.args, strict=True))
    for op in group:
        copy = op.clone(inside)
        copy.attributes = {key: value for key, value in copy.attributes.items() if not key.startswith("train.")}
        block.add_op(copy)
    (result,) = group[-1].results
    block.add_op(YieldOp(inside[result]))
    op = kind(kernel, given, [result.type], Region(block))
    op.location = group[-1].location
    op.results[0].name_hint = result.name_hint
    return op
