"""A batch norm in evaluation as a scale and a shift, which weights alone give.

    %r = rsqrt(add(%var, 1e-05))
    %y, _, _ = batch_norm(%x, %w, %b,        %s = mul(%r, %w)
                 %mean, %var, 0.1, 1e-05)    ->    %t = addcmul(%b, %mean, %s, value = -1)
                                              %y = add(mul(%x, view(%s, [c, 1, 1])), view(%t, [c, 1, 1]))

Scale and shift are those of torch's kernel on the CPU to the bit, x s + t is but for one rounding: the kernel may round
once where this rounds twice. Equal where the products are exact. The `mul` is marked `snn.rounded`. One in training, or
without running statistics, stays as it is. Linear in the number of ops.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, UnitAttr
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern, op_type_rewrite_pattern

from ..dialects.aten import CallOp, dims, tensor_of, tensor_type
from ..dialects.template import Argument, Ref, Template
from .analysis.calls import argument, target

ROUNDED = "snn.rounded"
"""On a product that its source may round together with the sum after it."""
EVALUATED, FUNCTIONAL = "aten._native_batch_norm_legit_no_training.default", "aten.batch_norm.default"


class SplitBatchNorm(RewritePattern):
    """batch_norm(x) -> x s + t"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: CallOp, rewriter: PatternRewriter, /) -> None:
        if target(op) == FUNCTIONAL:
            training, epsilon = argument(op, 5, "training"), argument(op, 7, "eps")
        else:
            training, epsilon = target(op) != EVALUATED, argument(op, 6, "eps")
        if training:
            return
        x, weight, bias, mean, variance = (argument(op, place, "") for place in range(5))
        if not isinstance(x, SSAValue) or not isinstance(mean, SSAValue) or not isinstance(variance, SSAValue):
            return
        if not isinstance(epsilon, float) or any(result.uses for result in op.results[1:]):
            return
        made: list[CallOp] = []

        def call(name: str, operands: list[SSAValue], like: SSAValue, *more: Argument, **named: Argument) -> SSAValue:
            refs = tuple(Ref(operands.index(value)) for value in operands)
            made.append(CallOp(f"aten.{name}", Template((*refs, *more), tuple(named.items())), operands, [like.type]))
            made[-1].location = op.location
            return made[-1].results[0]

        scale = call("rsqrt.default", [call("add.Tensor", [variance], variance, epsilon)], variance)
        if isinstance(weight, SSAValue):
            scale = call("mul.Tensor", [scale, weight], variance)
        if isinstance(bias, SSAValue):
            shift = call("addcmul.default", [bias, mean, scale], variance, value=-1)
        else:
            shift = call("neg.default", [call("mul.Tensor", [mean, scale], mean)], mean)
        spread = [spread_over(value, x, made) for value in (scale, shift)]
        product = call("mul.Tensor", [x, spread[0]], x)
        made[-1].attributes[ROUNDED] = UnitAttr()
        call("add.Tensor", [product, spread[1]], x)
        if len(op.results) == 1:
            rewriter.replace(op, made)
            return
        rewriter.insert_op(made)
        op.results[0].replace_all_uses_with(made[-1].results[0])
        rewriter.erase(op)


def spread_over(value: SSAValue, x: SSAValue, made: list[CallOp]) -> SSAValue:
    """One number for each channel, of as many axes as x has behind its batch."""
    channels, axes = dims(value.type)[0], len(dims(x.type)) - 2
    if not axes or not isinstance(channels, int):
        return value
    sizes = channels, *(1 for _ in range(axes))
    type = tensor_type(tensor_of(value).element_type, sizes)
    made.append(CallOp("aten.view.default", Template((Ref(0), sizes)), [value], [type]))
    made[-1].location = made[0].location
    return made[-1].results[0]


@dataclass(frozen=True)
class SplitBatchNorms(ModulePass):
    """See above."""

    name = "split-batch-norm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        PatternRewriteWalker(SplitBatchNorm()).rewrite_module(op)
