"""Random ops as calls that can be repeated: what a schedule needs to compute one of them again.

| call                                                  | does                                             | effect |
|-------------------------------------------------------|--------------------------------------------------|--------|
| `random.state(device)`                                | the state of the random stream, as bytes         | random |
| `random.draw(%state, op, ..)`                         | `op(..)`, drawn from the stream, which is there  | random |
| `random.replay(%state, device, op, ..)`               | `op(..)`, drawn as from there; the stream stays  | none   |
| `random.keyed(%seed, %step, place, layer, device, op, ..)` | `op(..)`, drawn from a stream of that key   | none   |

    %m = aten.call random "gossamer.dropout.default"(%x, 0.1)

    %s = aten.call random "random.state"(device<"cpu">)                                      : tensor<5056xui8>
    %m = aten.call random "random.draw"(%s, op<"gossamer.dropout.default">, %x, 0.1)
    %c = aten.call "random.replay"(%s, device<"cpu">, op<"gossamer.dropout.default">, %x, 0.1)     equals %m

A replay reads what its draw reads, so that it stands wherever another computation of the draw is wanted.
"""

from collections.abc import Sequence
from typing import TypeVar

from xdsl.dialects.builtin import IntegerType, Signedness, TensorType
from xdsl.ir import Operation, SSAValue

from .aten import CallOp, Effects
from .template import Argument, Name, Ref, Template

AnyOp = TypeVar("AnyOp", bound=Operation)

STATE, DRAW, REPLAY, KEYED = "random.state", "random.draw", "random.replay", "random.keyed"

STATE_BYTES = {"cpu": 5056, "cuda": 16}
"""How large the state of a stream is, by the type of its device: torch's own generators."""


def is_random(op: Operation) -> bool:
    """Does `op` draw from the random stream as torch's own call does?"""
    return (
        isinstance(op, CallOp)
        and op.effects is not None
        and op.effects.data is Effects.RANDOM
        and op.target.data not in (STATE, DRAW)
        and "." in op.target.data
    )


def is_draw(op: Operation) -> bool:
    """Is `op` a draw that can be replayed?"""
    return isinstance(op, CallOp) and op.target.data == DRAW


def state(device: str) -> CallOp:
    """The state of the stream of `device`."""
    size = STATE_BYTES[device.partition(":")[0]]
    type = TensorType(IntegerType(8, Signedness.UNSIGNED), [size])
    return CallOp(STATE, Template((Name("device", device),)), [], [type], effects=Effects.RANDOM)


def draw(call: CallOp, state: SSAValue) -> CallOp:
    """`call`, which `state` was taken just before."""
    leading: tuple[Argument, ...] = (Ref(0), Name("op", call.target.data))
    return same(call, DRAW, [state], leading, Effects.RANDOM)


def replay(draw: CallOp, device: str) -> CallOp:
    """What `draw` gave, computed again from its own operands."""
    first, *rest = draw.template.data.args
    template = Template((first, Name("device", device), *rest), draw.template.data.kwargs)
    op = CallOp(REPLAY, template, draw.operands, draw.result_types, unpack=draw.unpack is not None)
    return marked(op, draw)


def keyed(call: CallOp, seed: SSAValue, step: SSAValue, place: int, layer: int, device: str) -> CallOp:
    """`call` drawn from a stream of its own: of the seed, the step, its place in its layer, and the layer."""
    leading: tuple[Argument, ...] = (Ref(0), Ref(1), place, layer, Name("device", device), Name("op", call.target.data))
    return same(call, KEYED, [seed, step], leading, None)


def same(
    call: CallOp, target: str, operands: Sequence[SSAValue], leading: tuple[Argument, ...], effects: Effects | None
) -> CallOp:
    """`call` as the call `target` of `leading`, then its own arguments."""
    operands = [*operands, *call.operands]
    shift = len(operands) - len(call.operands)
    own = call.template.data.map(lambda leaf: Ref(leaf.index + shift) if isinstance(leaf, Ref) else leaf)
    unpack = call.unpack is not None
    op = CallOp(
        target, Template((*leading, *own.args), own.kwargs), operands, call.result_types, effects=effects, unpack=unpack
    )
    return marked(op, call)


def marked(op: AnyOp, source: CallOp) -> AnyOp:
    """`op` with the attributes, the place and the names of `source`."""
    op.attributes |= source.attributes
    op.location = source.location
    for result, old in zip(op.results, source.results, strict=True):
        result.name_hint = old.name_hint
    return op
