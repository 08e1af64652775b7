"""Collectives of torch as starts and waits.

    %r = aten.call "_c10d_functional.all_reduce.default"(%x, "sum", "0")   ->   %p = comm.all_reduce sum %x in "0"
    %y = aten.call "_c10d_functional.wait_tensor.default"(%r)                   %y = comm.wait %p

Those that are waited for once, with reductions, sizes and groups that are literals. Others run as the calls that they
are. A wait that comes before that of an earlier start of its group lets that one go first, as the group does. Linear
in the number of ops; bitwise.
"""

from collections.abc import Callable
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr, TensorType
from xdsl.ir import Attribute, Block, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from ..dialects.aten import CallOp
from ..dialects.comm import (
    AllGatherOp,
    AllReduceOp,
    AllToAllOp,
    BroadcastOp,
    ReduceScatterOp,
    Start,
    WaitOp,
    reduction,
    rows,
    whole,
)
from ..dialects.random_calls import marked
from .analysis.calls import argument, integer, integers, target

Properties = dict[str, Attribute | None]

COPYING = (AllReduceOp, BroadcastOp)
"""Collectives that work on a copy of what they are given."""

WAIT = "_c10d_functional.wait_tensor.default"


def reduction_of(call: CallOp) -> Attribute | None:
    """The reduction, always the second argument."""
    found = argument(call, 1, "reduce_op")
    return reduction(found) if isinstance(found, str) else None


def whole_of(call: CallOp, position: int, name: str) -> Attribute | None:
    """A literal integer."""
    return None if (found := integer(call, position, name)) is None else whole(found)


def rows_of(call: CallOp, position: int, name: str) -> Attribute | None:
    """A literal list of integers."""
    return None if (found := integers(call, position, name)) is None else rows(found)


TABLE: dict[str, tuple[type[Start], int, Callable[[CallOp], Properties]]] = {
    "all_reduce": (AllReduceOp, 2, lambda call: {"reduction": reduction_of(call)}),
    "all_gather_into_tensor": (AllGatherOp, 2, lambda call: {"ranks": whole_of(call, 1, "group_size")}),
    "reduce_scatter_tensor": (
        ReduceScatterOp,
        3,
        lambda call: {"reduction": reduction_of(call), "ranks": whole_of(call, 2, "group_size")},
    ),
    "all_to_all_single": (
        AllToAllOp,
        3,
        lambda call: {
            "sends": rows_of(call, 2, "input_split_sizes"),
            "takes": rows_of(call, 1, "output_split_sizes"),
        },
    ),
    "broadcast": (BroadcastOp, 2, lambda call: {"source": whole_of(call, 1, "src")}),
}
"""Of each functional collective: its op, where its group stands among the arguments, and the op's own properties."""


def waited(call: CallOp) -> CallOp | None:
    """The call that waits for the one result of `call`; None unless it alone reads it, in the same block."""
    readers = [use.operation for use in call.results[0].uses] if len(call.results) == 1 else []
    if len(readers) != 1 or target(readers[0]) != WAIT or readers[0].parent is not call.parent:
        return None
    return readers[0] if isinstance(readers[0], CallOp) else None


def started(call: CallOp) -> Start | None:
    """What `call` starts; None for what is no collective, or none that can be told of."""
    namespace, _, rest = (target(call) or "").partition(".")
    row = TABLE.get(rest.removesuffix(".default")) if namespace == "_c10d_functional" else None
    if row is None or call.unpack is not None:
        return None
    kind, position, properties_of = row
    value, group, properties = argument(call, 0, "input"), argument(call, position, "group_name"), properties_of(call)
    found = {name: property for name, property in properties.items() if property is not None}
    received = call.results[0].type
    if not isinstance(value, SSAValue) or not isinstance(group, str) or len(found) < len(properties):
        return None
    return kind(value, group, received, found) if isinstance(received, TensorType) else None


def order_waits(block: Block) -> None:
    """Wait, within each group, in the order of the starts."""
    waiting: dict[StringAttr, list[Start]] = {}
    for op in list(block.ops):
        if isinstance(op, Start):
            waiting.setdefault(op.group, []).append(op)
        elif isinstance(op, WaitOp) and op.start in (queue := waiting[op.start.group]):
            position = queue.index(op.start)
            for start in queue[:position]:
                start.wait.detach()
                block.insert_op_before(start.wait, op)
            del queue[: position + 1]


@dataclass(frozen=True)
class RaiseCollectives(ModulePass):
    """Functional collectives as `comm` ops."""

    name = "raise-collectives"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for call in [call for call in op.walk() if isinstance(call, CallOp)]:
            wait = waited(call)
            if wait is None or (start := started(call)) is None:
                continue
            held = None if isinstance(start, COPYING) else start.value
            Rewriter.replace_op(wait, marked(WaitOp(start.pending, held), wait))
            Rewriter.replace_op(call, marked(start, call), [None])
        for block in {op.parent for op in op.walk() if isinstance(op, WaitOp)} - {None}:
            assert block is not None
            order_waits(block)
