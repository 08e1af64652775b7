"""Remove calls that give back what they were given, and merge calls that do the same.

    %a = aten.slice(%x, 0, 0, 9223372036854775807)       %y = aten.linear(%x, %w)
    %b = aten.clone(%a)                             ->
    %y = aten.linear(%b, %w)

What a decomposed graph is full of: whole slices, copies that dropout leaves behind, casts to the same type, `+ 0`
on indices, and the same mask once a layer. A copy goes only where nobody can tell: the graph is functional, no call
asks for strides, and the copy does not leave the function, or its operand is new and leaves by no other way
(`analysis/memory.py`). Results that were two tensors stay two. A `view` becomes a `reshape`, which asks nothing of
strides: passes may change them. Bitwise. Pays always. Linear in the number of ops.
"""

from collections.abc import Callable
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerType, ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter
from xdsl.transforms.dead_code_elimination import region_dce

from ..dialects.aten import CallOp, tensor_of
from ..dialects.template import Name
from .analysis.calls import argument, integer, shape, target
from .analysis.memory import is_dense, is_functional, is_known, is_new, leaves, reads_strides
from .merging import merge_equal

END = 2**63 - 1


def whole_slice(op: CallOp) -> bool:
    """slice(x, dim, 0, end): end is past the last element"""
    start, step, axis = argument(op, 2, "start"), integer(op, 4, "step", 1), integer(op, 1, "dim", 0)
    end, sizes = argument(op, 3, "end"), shape(op.operands[0])
    if axis is None or step != 1 or start not in (None, 0):
        return False
    size = sizes[axis % len(sizes)]
    return end in (None, END) or (isinstance(end, int) and isinstance(size, int) and end >= size)


def plus_zero(op: CallOp) -> bool:
    """x + 0 on integers: on floats it would turn -0.0 into 0.0"""
    zero = argument(op, 1, "other")
    integral = isinstance(tensor_of(op.results[0]).element_type, IntegerType)
    return integral and type(zero) is int and zero == 0 and op.operands[0].type == op.results[0].type


def same_shape(op: CallOp) -> bool:
    """A reshape or expand to the shape that is there"""
    return op.operands[0].type == op.results[0].type and "?" not in shape(op.results[0])


def eval_dropout(op: CallOp) -> bool:
    """dropout(x, p, train=False)"""
    return argument(op, 2, "train") is False


NOTHING_DONE: dict[str, Callable[[CallOp], bool]] = {
    "aten.slice.Tensor": whole_slice,
    "aten.view.default": same_shape,
    "aten.reshape.default": same_shape,
    "aten.expand.default": same_shape,
    "aten.alias.default": lambda _: True,
}
"""Calls whose result is their operand, or an alias of it, when the test holds."""


def plain_copy(op: CallOp) -> bool:
    """clone(x) that keeps the strides of x"""
    return argument(op, 1, "memory_format") in (None, Name("torch.preserve_format"))


def same_type(op: CallOp) -> bool:
    """_to_copy(x, ..) to the type that x has, and nowhere else"""
    given = op.template.data
    others = {"memory_format", "layout", "device", "pin_memory"} & {name for name, _ in given.kwargs}
    return op.operands[0].type == op.results[0].type and not others and len(given.args) <= 4


COPIES: dict[str, Callable[[CallOp], bool]] = {
    "aten.add.Tensor": plus_zero,
    "aten.sub.Tensor": plus_zero,
    "aten.clone.default": plain_copy,
    "aten._to_copy.default": same_type,
    "aten.to.dtype": same_type,
    "aten.dropout.default": eval_dropout,
    "aten.lift_fresh_copy.default": lambda _: True,
    "aten.cat.default": lambda op: kept_piece(op) is not None,
}
"""Calls whose result is a copy of `source` when the test holds."""


def kept_piece(op: CallOp) -> SSAValue | None:
    """The one tensor of cat([empty, x], dim) that holds anything: what appending to a new cache comes to."""
    pieces = argument(op, 0, "tensors")
    tensors = [piece for piece in pieces if isinstance(piece, SSAValue)] if isinstance(pieces, tuple) else []
    full = [tensor for tensor in tensors if shape(tensor) != (0,)]
    return full[0] if len(full) == 1 and full[0].type == op.results[0].type else None


def source(op: CallOp) -> SSAValue:
    """The operand that the result may be equal to."""
    piece = kept_piece(op) if op.target.data == "aten.cat.default" else None
    return op.operands[0] if piece is None else piece


def handed_out(value: SSAValue) -> bool:
    """Is `value` itself returned, stored or passed to a region or a custom op?"""
    return not all(is_known(use.operation) for use in value.uses)


def is_held(value: SSAValue) -> bool:
    """Does somebody outside hold `value` itself: is it an argument, a weight, or handed out?"""
    return not isinstance(value.owner, CallOp) or handed_out(value)


def is_redundant(op: Operation, copies_show: bool) -> bool:
    """Can the result of `op` be its source?"""
    name = target(op)
    if not isinstance(op, CallOp) or name is None or len(op.results) != 1 or not op.operands:
        return False
    (result,), operand = op.results, source(op)
    if not isinstance(result.type, TensorType) or not isinstance(operand.type, TensorType):
        return False
    if name in NOTHING_DONE and NOTHING_DONE[name](op):
        return not (handed_out(result) and is_held(operand))
    if copies_show or name not in COPIES or not COPIES[name](op) or not is_dense(operand):
        return False
    return not leaves(result) or (is_new(operand) and operand.has_one_use())


def relax_view(op: Operation) -> None:
    """view(x, sizes) -> reshape(x, sizes), where sizes are not a dtype"""
    if isinstance(op, CallOp) and op.target.data in ("aten.view.default", "aten._unsafe_view.default"):
        op.properties["target"] = StringAttr("aten.reshape.default")


@dataclass(frozen=True)
class Simplify(ModulePass):
    """Remove calls that do nothing; merge equal ones."""

    name = "simplify"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.body.block.ops:
            if not isinstance(function, FuncOp):
                continue
            functional = is_functional(function)
            copies_show = not functional or reads_strides(function)
            for call in list(function.body.block.ops):
                if isinstance(call, CallOp) and is_redundant(call, copies_show):
                    Rewriter.replace_op(call, [], [source(call)])
            if functional:
                for call in function.body.block.ops:
                    relax_view(call)
            merge_equal(function)
            region_dce(function.body)
