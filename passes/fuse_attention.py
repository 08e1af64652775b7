"""Attention of a training step becomes one kernel there and one back, with the library's bits.

    %y, %s = aten.call "aten._scaled_dot_product_flash_attention_for_cpu.default"(%q, %k, %v, 0.0, True)
      ->
    %y, %s = kernel.attention @attention(%q, %k, %v) : .. {the call}

    %a, %b, %c = aten.call "aten._scaled_dot_product_flash_attention_for_cpu_backward.default"(%g, %q, ..)
    %d = cat of %a, %c and %b, as they lie side by side in one projection
      ->
    %d = kernel.attention_backward @attention_backward(%g, %q, ..) joined [0, 2, 1] : .. {all of these}

Legal for f32 of static sizes, without a mask and dropout; keys, and numbers of a head, in whole vectors; of more than
LONGEST keys, as many queries. When it runs, the kernel computes what it was tried on and found to have the library's
bits and to be faster (`runtime/attention_trials.py`), and the calls the rest. Gradients are joined where nothing else
reads them. Pays: the library is called for each product of a head, and makes the scores of keys that no query looks at;
joined gradients are written once. Linear in the number of ops.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp, f32, i64
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from ..dialects.aten import CallOp, dims, tensor_of
from ..dialects.exact import FlashAttentionBackwardOp, FlashAttentionOp
from ..dialects.template import Ref
from .analysis.calls import argument, integer
from .elide_caches import BACKWARD, CAT, FORWARD
from .enclosing import add_kernel, enclose, put
from .kernels import attention, attention_backward
from .kernels.heads import LONGEST
from .kernels.signature import Machine

TENSORS = {FORWARD: 3, BACKWARD: 6}
"""Calls, and how many of their arguments are tensors: the first ones, and all there are."""
TRANSPOSE = "aten.transpose.int"


def is_plain(op: CallOp, lanes: int) -> bool:
    """Is this attention, or its gradient, as the kernels have it?"""
    count = TENSORS.get(op.target.data)
    if count is None or len(op.operands) != count or len(set(op.operands)) != count:
        return False
    args = op.template.data.args
    if args[:count] != tuple(map(Ref, range(count))) or argument(op, count, "dropout_p", 0.0) != 0.0:
        return False
    named = dict(op.template.data.kwargs)
    if named.get("attn_mask") is not None:
        return False
    tensors = [tensor_of(value).element_type for value in op.operands]
    sizes = [dims(value.type) for value in op.operands]
    scale = named.get("scale")
    scaled = scale is None or (isinstance(scale, float) and 0 < scale <= 1)
    if tensors != [f32] * count or any(isinstance(size, str) or size == 0 for shape in sizes for size in shape):
        return False
    of_queries, of_keys, of_values = sizes[count // 6 : count // 6 + 3]
    (*outer, queries, width), (keys, _) = map(int, of_queries), map(int, of_keys[2:])
    fits = keys % lanes == 0 and width % lanes == 0 and (keys <= LONGEST or queries >= keys)
    return scaled and fits and tuple(of_keys) == tuple(of_values) == (*outer, keys, width)


def joining(op: CallOp) -> tuple[list[Operation], list[int]] | None:
    """The ops that join the gradients that `op` gives along the last axis, in order, and which stands where.

    %a2 = transpose(%a, 1, 2)        each a view of all of it, and read by nothing else
    %a3 = view(%a2, [batch, rows, heads width])
    %d = cat([%a3, %c3, %b3], 2)
    """
    ends, views = list[SSAValue](), list[Operation]()
    for value in op.results:
        while (user := only_reader(value)) is not None and not is_call(user, CAT):
            if not is_whole_view(user, value):
                return None
            views.append(user)
            value = user.results[0]
        ends.append(value)
    join = only_reader(ends[0])
    if join is None or any(only_reader(end) is not join for end in ends) or len(join.operands) != 3:
        return None
    batches, heads, rows, width = dims(op.results[0].type)
    along = integer(join, 1, "dim", 0)
    flat = (batches, rows, int(heads) * int(width))
    if any(dims(end.type) != flat for end in ends) or along not in (2, -1):
        return None
    return [*views, join], [ends.index(value) for value in join.operands]


def is_whole_view(op: CallOp, value: SSAValue) -> bool:
    """Is `op` all of `value`, as it is, with heads behind rows, or with heads side by side?"""
    before, after = dims(value.type), dims(op.results[0].type)
    turned = isinstance(value.owner, CallOp) and value.owner.target.data == TRANSPOSE
    match op.target.data:
        case "aten.slice.Tensor":
            return before == after and integer(op, 4, "step", 1) == 1 and not turned
        case "aten.transpose.int":
            return {integer(op, 1, "dim0"), integer(op, 2, "dim1")} == {1, 2} and len(before) == 4 and not turned
        case "aten.view.default":
            return len(before) == 4 and len(after) == 3 and before[:2] == after[:2] and turned
        case _:
            return False


def only_reader(value: SSAValue) -> CallOp | None:
    """The call that alone reads a value."""
    use = value.get_user_of_unique_use()
    return use if isinstance(use, CallOp) else None


def is_call(op: Operation, target: str) -> bool:
    """Is `op` a call of `target`?"""
    return isinstance(op, CallOp) and op.target.data == target


@dataclass(frozen=True)
class FuseAttention(ModulePass):
    """See the head of this file. `lanes` and `registers` are the machine's: f32 in a vector, and vectors."""

    name = "fuse-attention"
    lanes: int = 16
    registers: int = 32

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = Machine(self.lanes, self.registers)
        functions = [function for function in op.ops if isinstance(function, FuncOp)]
        calls = [call for function in functions for call in function.body.block.ops if isinstance(call, CallOp)]
        for call in calls:
            if is_plain(call, self.lanes):
                fuse(op, call, machine)


def fuse(module: ModuleOp, call: CallOp, machine: Machine) -> None:
    """Put a kernel in the place of a call, and of what joins its results."""
    if call.target.data == FORWARD:
        add_kernel(module, attention.FUNCTION, lambda: attention.attention_kernel(attention.FUNCTION, machine))
        put(enclose(FlashAttentionOp, [call], attention.FUNCTION), [call])
        return
    name = attention_backward.FUNCTION
    add_kernel(module, name, lambda: attention_backward.attention_backward_kernel(name, machine))
    views, order = joining(call) or ([], None)
    group = [call, *views]
    made = enclose(FlashAttentionBackwardOp, group, name)
    if order is not None:
        made.joined = DenseArrayBase.from_list(i64, order)
    put(made, group)
