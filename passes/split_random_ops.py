"""Let random ops be computed again: each is told the state of the stream from which it draws.

    %m = aten.call random "gossamer.dropout.default"(%x, 0.1)
 ->
    %s = aten.call random "random.state"(device<"cpu">)
    %m = aten.call random "random.draw"(%s, op<"gossamer.dropout.default">, %x, 0.1)

Whoever computes `%m` a second time puts `random.replay` (`dialects/random_calls.py`), which draws the same numbers and
leaves the stream alone. A state costs 5,056 bytes on the CPU and two microseconds; `join` takes back those that no
replay reads. Linear in the number of ops.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from ..dialects.aten import CallOp, Effects
from ..dialects.random_calls import REPLAY, draw, is_draw, is_random, marked, state
from ..dialects.template import Name, Ref, Template

DEVICE = "train.device"
"""On a function: the device whose random stream its ops draw from."""


def device_of(function: FuncOp) -> str:
    """The device whose random stream the ops of `function` draw from."""
    found = function.attributes.get(DEVICE)
    return found.data if isinstance(found, StringAttr) else "cpu"


def split(call: CallOp, device: str) -> CallOp:
    """Put the state and the draw in the place of a random `call`; the draw."""
    before = state(device)
    before.attributes |= call.attributes
    before.location = call.location
    before.results[0].name_hint = "state"
    drawn = draw(call, before.results[0])
    Rewriter.replace_op(call, [before, drawn], drawn.results)
    return drawn


def join(drawn: CallOp) -> CallOp | None:
    """Put the plain call in the place of a draw whose state no replay reads; None where one does."""
    before = drawn.operands[0]
    if any(isinstance(use.operation, CallOp) and use.operation.target.data == REPLAY for use in before.uses):
        return None
    _, op, *args = drawn.template.data.args
    assert isinstance(op, Name)
    assert op.argument is not None
    own = Template(tuple(args), drawn.template.data.kwargs)
    own = own.map(lambda leaf: Ref(leaf.index - 1) if isinstance(leaf, Ref) else leaf)
    unpack = drawn.unpack is not None
    plain = CallOp(op.argument, own, drawn.operands[1:], drawn.result_types, effects=Effects.RANDOM, unpack=unpack)
    Rewriter.replace_op(drawn, marked(plain, drawn), plain.results)
    if before.first_use is None:
        Rewriter.erase_op(before.owner)  # pyright: ignore[reportArgumentType]
    return plain


@dataclass(frozen=True)
class SplitRandomOps(ModulePass):
    """Each random op with the state from which it draws."""

    name = "split-random-ops"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in (function for function in op.ops if isinstance(function, FuncOp)):
            for call in [call for call in function.body.block.ops if is_random(call)]:
                assert isinstance(call, CallOp)
                split(call, device_of(function))


def join_random_ops(function: FuncOp) -> None:
    """Take back every state of `function` that no replay reads."""
    for drawn in [op for op in function.body.block.ops if is_draw(op)]:
        assert isinstance(drawn, CallOp)
        join(drawn)
