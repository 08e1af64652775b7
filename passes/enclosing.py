"""Ops that become one op, which means what they do.

%a = aten.call "aten.mul.Tensor"(%x, 0.5)           %y = kernel.map @k(%x, %t) : .. {
%y = aten.call "aten.add.Tensor"(%t, %a)     ->     ^bb0(%0: .., %1: ..):
                                                      the two calls
                                                      kernel.yield %2
                                                    }
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.traits import SymbolTable

from ..dialects.exact import ExactOp
from ..dialects.meanings import YieldOp

Kind = TypeVar("Kind", bound=ExactOp)


def enclose(kind: type[Kind], group: Sequence[Operation], kernel: str) -> Kind:
    """The op of `kind` that computes the results of the last of `group` by `kernel`; `group` stays as it is."""
    made = {result for op in group for result in op.results}
    given = list(dict.fromkeys(value for op in group for value in op.operands if value not in made))
    block = Block(arg_types=[value.type for value in given])
    inside: dict[SSAValue, SSAValue] = {}
    inside.update(zip(given, block.args, strict=True))
    for op in group:
        copy = op.clone(inside)
        copy.attributes = {key: value for key, value in copy.attributes.items() if not key.startswith("train.")}
        block.add_op(copy)
    results = group[-1].results
    block.add_op(YieldOp(*(inside[result] for result in results)))
    op = kind(kernel, given, [result.type for result in results], Region(block))
    op.location = group[-1].location
    for new, old in zip(op.results, results, strict=True):
        new.name_hint = old.name_hint
    return op


def put(made: ExactOp, group: Sequence[Operation]) -> None:
    """Put `made` in the place of the last of `group`, which stands where that does in the model; `group` goes."""
    last = group[-1]
    made.attributes |= {name: value for name, value in last.attributes.items() if name.startswith("train.")}
    Rewriter.insert_op(made, InsertPoint.before(last))
    for old, new in zip(last.results, made.results, strict=True):
        old.replace_all_uses_with(new)
    for op in reversed(group):
        Rewriter.erase_op(op)


def add_kernel(module: ModuleOp, name: str, make: Callable[[], ModuleOp]) -> None:
    """Put the kernel of this name beside the functions of `module`, where it is not there yet."""
    if SymbolTable.lookup_symbol(module, name) is None:
        module.body.block.add_op(make())
