"""Start collectives as soon as what they send is there, and wait for them only where what they bring is read.

    %w1 = aten.mm(%gt, %x)                       %d = aten.mm(%g, %w)
    %d = aten.mm(%g, %w)                         %p = comm.all_reduce sum %d in "0"
    %p = comm.all_reduce sum %d in "0"     ->    %w1 = aten.mm(%gt, %x)                 runs while %p is on the wire,
    %y = comm.wait %p                            %s = aten.sum(%g)                      and so does this
    %s = aten.sum(%g)                            %y = comm.wait %p
    %n = aten.native_layer_norm_backward(%y)     %n = aten.native_layer_norm_backward(%y)

What stands between a collective and the next one, and is not needed for it, runs after its start. Collectives start
in the order that they had, whatever their groups, and those of a group are waited for in that order; random ops keep
theirs, nothing passes an op that writes memory, and none leaves its pass. Bitwise; what runs later keeps its operands
longer. Linear in the number of ops, but for the distance that a wait moves.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation
from xdsl.passes import ModulePass
from xdsl.traits import IsTerminator

from ..dialects.aten import AssignOp, CallOp, Effects, UpdateOp
from ..dialects.comm import Start, WaitOp
from ..dialects.remat import PHASE, text_of
from .analysis.calls import target
from .analysis.memory import ALWAYS_VIEWS

COLLECTIVES = ("_c10d_functional", "_c10d_functional_autograd", "c10d")
"""Namespaces of collectives that run as calls."""


def is_fence(op: Operation) -> bool:
    """Must nothing that communicates pass `op`?"""
    if isinstance(op, CallOp) and op.effects is not None and op.effects.data is Effects.MUTATES:
        return True
    carried = (target(op) or "").partition(".")[0] in COLLECTIVES
    return carried or bool(op.regions) or isinstance(op, UpdateOp | AssignOp) or op.has_trait(IsTerminator)


def delay(start: Start) -> None:
    """Move down, below a start, what it does not need of its pass: up to the collective before it."""
    needed, late, op = set[Operation]([start]), list[Operation](), start.prev_op
    while op is not None and text_of(op, PHASE) == text_of(start, PHASE):
        if isinstance(op, Start | WaitOp) or is_fence(op):
            break
        if is_drawn(op) or any(use.operation in needed for result in op.results for use in result.uses):
            needed.add(op)
        else:
            late.append(op)
        op = op.prev_op
    for op in late:
        move_after(op, start)


def is_drawn(op: Operation) -> bool:
    """Does `op` use a random stream, in its turn?"""
    return isinstance(op, CallOp) and op.effects is not None


def hoist(start: Start) -> None:
    """Move a start up to the op that makes what it sends."""
    above = start.prev_op
    while above is not None and not (above is start.value.owner or isinstance(above, Start) or is_fence(above)):
        above = above.prev_op
    if above is not None and above is not start.prev_op:
        move_after(start, above)


def move_after(op: Operation, above: Operation) -> None:
    """Put `op` right below `above`."""
    assert above.parent is not None
    op.detach()
    above.parent.insert_op_after(op, above)


def is_arriving(op: Operation) -> bool:
    """A wait, or a view of what a wait gives?"""
    while isinstance(op, CallOp) and op.target.data in ALWAYS_VIEWS:
        owner = op.operands[0].owner
        if len(op.operands) != 1 or isinstance(owner, Block):
            return False
        op = owner
    return isinstance(op, WaitOp)


def sink(op: Operation) -> None:
    """Move an op down to the first that reads its result, or, a wait, to the next of its group."""
    below = op.next_op
    while below is not None and not (is_fence(below) or reads(below, op) or follows(below, op)):
        below = below.next_op
    if below is not None and below is not op.next_op and below.parent is not None:
        op.detach()
        below.parent.insert_op_before(op, below)


def reads(below: Operation, op: Operation) -> bool:
    """Does `below` read a result of `op`?"""
    return any(result in below.operands for result in op.results)


def follows(below: Operation, op: Operation) -> bool:
    """Must the wait `below` stay below `op`?"""
    return isinstance(below, WaitOp) and isinstance(op, WaitOp) and below.start.group == op.start.group


@dataclass(frozen=True)
class OpenWindows(ModulePass):
    """Time between the start of each collective and its wait."""

    name = "open-windows"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in (function for function in op.ops if isinstance(function, FuncOp)):
            for block in function.body.blocks:
                for start in [op for op in block.ops if isinstance(op, Start)]:
                    delay(start)
                    hoist(start)
                for arriving in reversed([op for op in block.ops if is_arriving(op)]):
                    sink(arriving)
