"""Keys and values that were joined with an empty cache are read where they are.

    %k = aten.transpose(%s1, 1, 2)                            %k = aten.transpose(%s1, 1, 2)
    %c = aten.cat([%empty, %k], -2)                    ->     %y = attention(%q, %k, ..)
    %y = attention(%q, %c, ..)

What a decoder of transformers does in training, too. Legal where attention and its gradient are all that read the
copy, `k` has neighbours along its last axis, as rotary embeddings leave it, too, whose size is a multiple of LINE, and
nobody writes its memory; attention has the same bits then (tried by `compiler/exact_attention.py`: not where rows begin
anywhere). Pays in bytes and time where no larger tensor is held for `k` than what attention reads of it: a third of a
projection, say, whose other parts are queries and values. Linear in the number of ops.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from ..dialects.aten import CallOp, dims
from .analysis.calls import argument, integer, target
from .analysis.elementwise_groups import root
from .analysis.storages import overwritten, tensor_bytes
from .simplify import kept_piece

FORWARD = "aten._scaled_dot_product_flash_attention_for_cpu.default"
BACKWARD = "aten._scaled_dot_product_flash_attention_for_cpu_backward.default"
CAT = "aten.cat.default"
LINE = 16
"""f32 numbers in a line of memory."""
PRODUCTS = ("aten.mm.default", "aten.addmm.default", "aten.bmm.default")
KEEP_NEIGHBOURS = frozenset(
    f"aten.{name}"
    for name in "view.default _unsafe_view.default reshape.default split.Tensor split_with_sizes.default".split()
)
"""Views in which neighbours along the last axis stay neighbours, of tensors in which they are."""
ELEMENTWISE = frozenset(f"aten.{name}" for name in "add.Tensor sub.Tensor mul.Tensor div.Tensor neg.default".split())
"""What lies in memory as its first operand does, without gaps, where that has all axes."""


def joined(value: SSAValue) -> SSAValue | None:
    """What `value` is a copy of, by being joined with nothing."""
    owner = value.owner
    return kept_piece(owner) if isinstance(owner, CallOp) and target(owner) == CAT else None


def has_neighbours(value: SSAValue) -> bool:
    """Do neighbours along the last axis lie side by side: is this a product, or made of such by what keeps them so?"""
    op, last = value.owner, len(dims(value.type)) - 1
    if not isinstance(op, CallOp):
        return False
    match op.target.data:
        case name if name in PRODUCTS:
            return True
        case "aten.transpose.int":
            turned = {integer(op, place, axis, last) for place, axis in ((1, "dim0"), (2, "dim1"))}
            return turned.isdisjoint((last, -1, None)) and has_neighbours(op.operands[0])
        case "aten.slice.Tensor":
            return integer(op, 4, "step", 1) == 1 and has_neighbours(op.operands[0])
        case name if name in ELEMENTWISE:
            first = argument(op, 0, "self")
            return isinstance(first, SSAValue) and dims(first.type) == dims(value.type) and has_neighbours(first)
        case name if name in KEEP_NEIGHBOURS or name == CAT:
            return all(map(has_neighbours, op.operands))
        case _:
            return False


def is_read_by_attention(value: SSAValue) -> bool:
    """Do attention and its gradient read `value`, and nothing else?"""
    readers = [use.operation for use in value.uses]
    calls = [reader for reader in readers if isinstance(reader, CallOp)]
    return len(calls) == len(readers) and all(call.target.data in (FORWARD, BACKWARD) for call in calls)


def is_sized(value: SSAValue) -> bool:
    """Are rows whole lines?"""
    size = dims(value.type)[-1]
    return isinstance(size, int) and size % LINE == 0


def readable(value: SSAValue, written: set[SSAValue]) -> SSAValue | None:
    """What attention may read in place of `value`; None where that is what it must read."""
    piece = joined(value)
    if piece is None or not is_sized(piece) or not has_neighbours(piece) or not is_read_by_attention(value):
        return None
    return piece if written.isdisjoint((value, piece)) else None


def elided(attention: CallOp, written: set[SSAValue]) -> Iterator[tuple[Operation, SSAValue]]:
    """Joins that a call of attention can do without, and what it reads then."""
    found = {value: piece for value in attention.operands[1:3] if (piece := readable(value, written)) is not None}
    read = Counter[SSAValue]()
    for value in dict.fromkeys(found.get(operand, operand) for operand in attention.operands[:3]):
        read[root(value, ())] += tensor_bytes(value) or 0
    for value, piece in found.items():
        held = tensor_bytes(source := root(piece, ()))
        if held is not None and held <= read[source]:
            assert isinstance(value.owner, Operation)
            yield value.owner, piece


@dataclass(frozen=True)
class ElideCaches(ModulePass):
    """See the head of this file."""

    name = "elide-caches"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in [function for function in op.ops if isinstance(function, FuncOp)]:
            written = overwritten(function)
            for attention in [call for call in function.body.block.ops if target(call) == FORWARD]:
                assert isinstance(attention, CallOp)
                for join, piece in list(elided(attention, written)):
                    erase(join, piece)


def erase(join: Operation, piece: SSAValue) -> None:
    """Let what reads a join read a piece of it, and what only the join read be gone."""
    sources = [value.owner for value in join.operands]
    join.results[0].replace_all_uses_with(piece)
    Rewriter.erase_op(join)
    for source in sources:
        if isinstance(source, CallOp) and not any(result.first_use for result in source.results):
            Rewriter.erase_op(source)
