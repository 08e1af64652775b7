"""Remove calls that give back what they were given, and merge calls that do the same.

    %a = aten.slice(%x, 0, 0, 9223372036854775807)       %y = aten.linear(%x, %w)
    %b = aten.clone(%a)                             ->
    %y = aten.linear(%b, %w)

What a decomposed graph is full of: whole slices, copies that dropout leaves behind, casts to the same type, `+ 0`
on indices, and the same mask once a layer. A copy goes only where nobody can tell: the graph is functional, the
copy keeps its operand's strides, and it does not leave the function, or its operand is new and leaves by no other way.
A `view` becomes a `reshape`, which asks nothing of strides: passes may change them. Bitwise. Pays always. Linear in
the number of ops.
"""

from collections.abc import Callable
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerType, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter
from xdsl.transforms.common_subexpression_elimination import CommonSubexpressionElimination
from xdsl.transforms.dead_code_elimination import region_dce

from ..dialects.aten import CallOp, Effects, tensor_of
from ..dialects.template import Name
from .analysis.calls import argument, integer, shape, target

VIEWS = frozenset(
    f"aten.{name}"
    for name in (
        "view.default reshape.default _unsafe_view.default transpose.int permute.default t.default select.int "
        "slice.Tensor expand.default unsqueeze.default squeeze.dim squeeze.dims squeeze.default split.Tensor "
        "split_with_sizes.default chunk.default unbind.int narrow.default flatten.using_ints unflatten.int "
        "view_as.default alias.default detach.default contiguous.default clone.default _to_copy.default to.dtype "
        "as_strided.default diagonal.default unfold.default movedim.int lift_fresh_copy.default dropout.default"
    ).split()
)
"""Calls whose result may share memory with their operand."""

END = 2**63 - 1


def whole_slice(op: CallOp) -> bool:
    """slice(x, dim, 0, end): end is past the last element"""
    start, step = argument(op, 2, "start"), integer(op, 4, "step", 1)
    end = argument(op, 3, "end")
    axis = (integer(op, 1, "dim", 0) or 0) % len(shape(op.results[0]))
    size = shape(op.operands[0])[axis]
    ends = end is None or (isinstance(end, int) and (end == END or (isinstance(size, int) and end >= size)))
    return start in (None, 0) and step == 1 and ends


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
    """_to_copy(x, ..) to the type and layout that x has"""
    kwargs = dict(op.template.data.kwargs)
    others = {"memory_format", "layout", "device", "pin_memory"} & set(kwargs)
    return op.operands[0].type == op.results[0].type and not others


COPIES: dict[str, Callable[[CallOp], bool]] = {
    "aten.add.Tensor": plus_zero,
    "aten.sub.Tensor": plus_zero,
    "aten.clone.default": plain_copy,
    "aten._to_copy.default": same_type,
    "aten.to.dtype": same_type,
    "aten.dropout.default": eval_dropout,
    "aten.lift_fresh_copy.default": lambda _: True,
    "aten.detach.default": lambda _: False,
}
"""Calls whose result is a copy of their operand when the test holds."""


def is_functional(function: FuncOp) -> bool:
    """No call writes an operand in place."""
    return not any(
        isinstance(op, CallOp) and op.effects is not None and op.effects.data is Effects.MUTATES
        for op in function.walk()
    )


def is_new(value: SSAValue) -> bool:
    """Was `value` computed here, into memory of its own and with plain strides?"""
    op = value.owner
    return isinstance(op, CallOp) and op.target.data not in VIEWS and not op.regions


def is_dense(value: SSAValue) -> bool:
    """Can no two elements share memory? Expanded tensors do, and their clone does not keep strides."""
    while isinstance(op := value.owner, CallOp) and op.target.data in VIEWS:
        if op.target.data in ("aten.expand.default", "aten.as_strided.default"):
            return False
        value = op.operands[0]
    return True


def leaves(value: SSAValue) -> bool:
    """Does the memory of `value` leave the function: returned, stored or passed to a region?"""
    for use in value.uses:
        reader = use.operation
        if not isinstance(reader, CallOp) or reader.regions:
            return True
        if reader.target.data in VIEWS and any(map(leaves, reader.results)):
            return True
    return False


def leaves_once(value: SSAValue) -> bool:
    """Is there one reader only?"""
    return value.has_one_use()


def is_redundant(op: Operation, functional: bool) -> bool:
    """Can the result of `op` be its first operand?"""
    name = target(op)
    if not isinstance(op, CallOp) or name is None or len(op.results) != 1 or not op.operands:
        return False
    if (nothing := NOTHING_DONE.get(name)) is not None and nothing(op):
        return True
    copies = COPIES.get(name)
    if copies is None or not functional or not copies(op) or not is_dense(op.operands[0]):
        return False
    return not leaves(op.results[0]) or (is_new(op.operands[0]) and leaves_once(op.operands[0]))


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
            for call in list(function.body.block.ops):
                if is_redundant(call, functional):
                    Rewriter.replace_op(call, [], [call.operands[0]])
            if functional:
                for call in function.body.block.ops:
                    relax_view(call)
                CommonSubexpressionElimination().apply(ctx, op)
            region_dce(function.body)
