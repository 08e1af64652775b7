"""The gradient of a cross entropy becomes one pass over its scores.

    %g = aten.call "aten.nll_loss_backward.default"(%d, %s, %t, none, 1, -100, %n)
    %h = aten.call "aten._log_softmax_backward_data.default"(%g, %s, 1, torch.float32)
      ->
    %h = kernel.cross_entropy_backward @cross_entropy_backward(%d, %s, %t, %n) : .. {the two calls}

Legal where %g is read by nothing else, classes have no weights, and the scores are a matrix of f32 of two columns or
more; the kernel has the bits of both calls where that was tried (`compiler/exact_cross_entropy.py`). Pays always: %g,
as large as the scores and zero but for one number in a row, is neither there nor read. Linear in the number of ops.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, f32, i64
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from ..dialects.aten import CallOp, dims, tensor_of
from ..dialects.exact import CrossEntropyBackwardOp
from ..dialects.template import Name, Ref
from .enclosing import add_kernel, enclose, put
from .kernels.cross_entropy import FUNCTION, cross_entropy_kernel

LOSS, SCORES = "aten.nll_loss_backward.default", "aten._log_softmax_backward_data.default"
REDUCTIONS = (1, 2)
"""Of losses: the mean, the sum."""


def loss_of(op: Operation) -> CallOp | None:
    """The call that gives what `op`, the gradient of scores, reads; None where the two cannot be one."""
    if not isinstance(op, CallOp) or op.target.data != SCORES or len(op.operands) != 2:
        return None
    gradient, scores = op.operands
    loss, shape = gradient.owner, dims(scores.type)
    if not isinstance(loss, CallOp) or loss.target.data != LOSS or len(loss.operands) != 4:
        return None
    if op.template.data.args != (Ref(0), Ref(1), len(shape) - 1, Name("torch.float32")) or not gradient.has_one_use():
        return None
    match loss.template.data.args:
        case (Ref(0), Ref(1), Ref(2), None, reduction, int(), Ref(3)) if reduction in REDUCTIONS:
            given, of, target, total = loss.operands
        case _:
            return None
    kinds = [tensor_of(value).element_type for value in (given, of, target, total)]
    shapes = [tuple(dims(value.type)) for value in (given, target, total)]
    is_matrix = len(shape) == 2 and all(isinstance(size, int) for size in shape) and shape[1] != 1
    alike = of is scores and kinds == [f32, f32, i64, f32] and shapes == [(), (shape[0],), ()]
    return loss if is_matrix and alike and loss.parent is op.parent else None


@dataclass(frozen=True)
class FuseCrossEntropy(ModulePass):
    """See the head of this file."""

    name = "fuse-cross-entropy"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in [function for function in op.ops if isinstance(function, FuncOp)]:
            for scores in list(function.body.block.ops):
                if (loss := loss_of(scores)) is not None:
                    fuse(op, loss, scores)


def fuse(module: ModuleOp, loss: Operation, scores: Operation) -> None:
    """Put one op in the place of both."""
    add_kernel(module, FUNCTION, lambda: cross_entropy_kernel(FUNCTION))
    put(enclose(CrossEntropyBackwardOp, [loss, scores], FUNCTION), [loss, scores])
