"""Take back thresholds on activations by which nothing skips: they would only make results worse.

    %s = aten.silu(%g)
    %t = aten.hardshrink(%s, 0.03)        ->     %s = aten.silu(%g)
    %h = aten.mul(%t, %u)                        %h = aten.mul(%s, %u)

After `insert-skips`. A threshold stays where a `sparse.support` is taken of what it makes, or of what is made of that
without a product in between. Changes results, towards those of the exact model. Linear in the number of ops.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from ..dialects.aten import CallOp
from ..dialects.sparse import SupportOp
from ..dialects.tiles import TileOp
from .analysis.skips import read_product
from .threshold_activations import is_threshold


def used_thresholds(function: FuncOp) -> set[Operation]:
    """What supports depend on, products apart."""
    used: set[Operation] = set()
    open_values = [op.x for op in function.walk() if isinstance(op, SupportOp | TileOp)]
    while open_values:
        op = open_values.pop().owner
        if isinstance(op, CallOp) and op not in used and read_product(op) is None:
            used.add(op)
            open_values += op.operands
    return used


@dataclass(frozen=True)
class RestoreActivations(ModulePass):
    """The activation itself where no product skips by its threshold."""

    name = "restore-activations"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.body.block.ops:
            if isinstance(function, FuncOp):
                used = used_thresholds(function)
                for cut in [cut for cut in function.body.block.ops if is_threshold(cut) and cut not in used]:
                    Rewriter.replace_op(cut, [], [cut.operands[0]])
