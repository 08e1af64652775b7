"""Take small activations for zeros, where the user asks for it: an approximation.

    %s = aten.silu(%g)                    %s = aten.silu(%g)
    %h = aten.mul(%s, %u)                 %t = aten.hardshrink(%s, 0.03)        0 where |%s| <= 0.03
    %y = aten.linear(%h, %d)        ->    %h = aten.mul(%t, %u)
                                          %y = aten.linear(%h, %d)

silu, gelu and their like are never exactly 0, but most of what they give is small (CATS, TEAL). `insert-skips` finds
the zeros of what this pass makes, and `restore-activations` takes back what nothing skips by. The threshold of a site
is what calibration wrote on it (`sparse.threshold`: the user's, or the one that leaves the asked for share of the
examples' numbers), else the option's; without either nothing is done. NaN stays NaN. Changes results: the error on
the examples is measured and reported by `explain`. Linear in the number of ops.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import FloatAttr, ModuleOp, UnitAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ..dialects.aten import CallOp, tensor_of
from .analysis.skips import read_product
from .packing import call
from .skip_plan import DENSITY

SMOOTH = frozenset(f"aten.{name}.default" for name in "silu gelu mish".split())
"""Activations that are small where they are not wanted."""
CARRYING = frozenset(
    "aten.mul.Tensor aten._to_copy.default aten.dropout.default aten.reshape.default aten.view.default "
    "aten.clone.default aten.alias.default aten.contiguous.default".split()
)
"""What a zero survives on the way to a product."""
THRESHOLD, THRESHOLDED, APPROXIMATE = "sparse.threshold", "sparse.thresholded", "sparse.approximate"
"""On an activation: its threshold, and the density of its support under it. On what the pass makes: that it did."""


def smooth_sites(function: FuncOp) -> Iterator[CallOp]:
    """Smooth activations that a product sums over, or that gate what one sums over."""
    for op in function.body.block.ops:
        if isinstance(op, CallOp) and op.target.data in SMOOTH and reaches_product(op.results[0]):
            yield op


def reaches_product(value: SSAValue) -> bool:
    """Does a product sum over `value`, or over what keeps its zeros?"""
    for use in value.uses:
        reader = use.operation
        if isinstance(reader, CallOp):
            product = read_product(reader)
            if product is not None and product.x is value:
                return True
            if reader.target.data in CARRYING and reader.results and reaches_product(reader.results[0]):
                return True
    return False


def is_threshold(op: Operation) -> bool:
    """Did this pass make `op`?"""
    return APPROXIMATE in op.attributes


@dataclass(frozen=True)
class ThresholdActivations(ModulePass):
    """Zero for activations of at most `threshold`, where calibration says nothing else."""

    name = "threshold-activations"
    threshold: float | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.body.block.ops:
            if isinstance(function, FuncOp):
                for site in list(smooth_sites(function)):
                    self.cut(site)

    def cut(self, site: CallOp) -> None:
        """What reads the activation reads it without its small numbers."""
        value, found = site.results[0], site.attributes.get(THRESHOLD)
        threshold = found.value.data if isinstance(found, FloatAttr) else self.threshold
        if threshold is None or any(is_threshold(use.operation) for use in value.uses):
            return
        readers = list(value.uses)
        cut = call("aten.hardshrink.default", (value, threshold), tensor_of(value))
        cut.location, cut.results[0].name_hint = site.location, f"{value.name_hint}.cut"
        cut.attributes[APPROXIMATE] = UnitAttr()
        if (density := site.attributes.get(THRESHOLDED)) is not None:
            cut.attributes[DENSITY] = density
        Rewriter.insert_op(cut, InsertPoint.after(site))
        for use in readers:
            use.operation.operands[use.index] = cut.results[0]
