"""Keep a region packed: row-wise work moves above scatters and below gathers, and what meets cancels.

    %f = sparse.scatter %c[%d] "i j a"          %g' = sparse.gather %other[%d] "i j a"
    %t = aten.add(%f, %other)             ->    %r  = aten.add(%c, %g')
    %r = sparse.gather %t[%d] "i j a"           (no scatter: nobody reads the full rows)

| rule                 | reads as                                                                   |
|----------------------|----------------------------------------------------------------------------|
| GatherOfScatter      | gather(scatter(x, d), d) -> x                                              |
| ScatterOfGather      | scatter(gather(x, d), d), elsewhere dead -> x                              |
| RowWiseAboveScatter  | f(scatter(x, d, fill), y) -> scatter(f(x, gather(y, d)), d, f(fill))       |
| GatherAboveRowWise   | gather(f(x, y), d) -> f(gather(x, d), gather(y, d)), f(x, y) not read else |

Legal for ops with a row rule (`analysis/rows.py`). A dead row stays dead through them, but for ops that bring rows
to life by a mask (x * mask, where): those stay where they are. A fill goes through the op once, on one row; then
every operand that carries rows must be a scatter over the same domain. Pays always: it only removes rows. Linear
in the number of ops; each op moves at most once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)
from xdsl.transforms.common_subexpression_elimination import CommonSubexpressionElimination

from ..dialects.aten import CallOp, tensor_of
from ..dialects.sparse import GatherOp, ScatterOp, domain_of
from .analysis.calls import argument, shape
from .analysis.index_view import IndexView
from .analysis.liveness import row_mask
from .analysis.rows import Flow, flow_from_operand, flow_from_result
from .packing import CompactCode, compact_operands, write_compact


class GatherOfScatter(RewritePattern):
    """gather(scatter(x, d), d) -> x"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: GatherOp, rewriter: PatternRewriter, /) -> None:
        scatter = op.full.owner
        if isinstance(scatter, ScatterOp) and scatter.domain is op.domain and scatter.layout == op.layout:
            rewriter.replace(op, (), (scatter.compact,))


class ScatterOfGather(RewritePattern):
    """scatter(gather(x, d), d) -> x, where the other rows are dead"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ScatterOp, rewriter: PatternRewriter, /) -> None:
        gather = op.compact.owner
        if not isinstance(gather, GatherOp) or gather.domain is not op.domain or gather.layout != op.layout:
            return
        if op.fill is None and gather.full.type == op.full.type:
            rewriter.replace(op, (), (gather.full,))


MASKING = {"aten.mul.Tensor": (0, 1), "aten.masked_fill.Scalar": (1,), "aten.masked_fill.Tensor": (1,),
           "aten.where.self": (0,), "aten.where.ScalarOther": (0,), "aten.where.ScalarSelf": (0,)}  # fmt: skip
"""Which arguments may be a mask over rows that brings dead rows to life: zeros, or the other value."""


def brings_rows_to_life(view: IndexView, op: CallOp) -> bool:
    """Do rows of the result mean something where rows of an operand do not?"""
    masks = (argument(op, position, "") for position in MASKING.get(op.target.data, ()))
    to = shape(op.results[0]) if op.results else ()
    return any(isinstance(mask, SSAValue) and row_mask(view, mask, to) is not None for mask in masks)


@dataclass
class RowWiseAboveScatter(RewritePattern):
    """f(scatter(x, d, fill), y) -> scatter(f(x, gather(y, d)), d, f(fill))"""

    view: IndexView = field(default_factory=IndexView)

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: CallOp, rewriter: PatternRewriter, /) -> None:
        for index, operand in enumerate(op.operands):
            scatter = operand.owner
            if not isinstance(scatter, ScatterOp):
                continue
            flow = flow_from_operand(op, index, scatter.layout.data, domain_of(scatter.domain).sizes)
            if flow is not None and self.move(op, scatter, flow, rewriter):
                return

    def move(self, op: CallOp, scatter: ScatterOp, flow: Flow, rewriter: PatternRewriter) -> bool:
        """Rewrite `op` above `scatter`; False when that is not legal."""
        fills: Mapping[int, SSAValue] | None = None
        if scatter.fill is None:
            if brings_rows_to_life(self.view, op):
                return False
        elif (fills := all_fills(op, scatter.domain, flow)) is None:
            return False
        code = compact_operands(op, scatter.domain, flow)
        compact = write_compact(op, flow, scatter.domain, code.compact)
        filled = write_compact(op, flow, scatter.domain, fills, rows=1) if fills is not None else None
        if compact is None:
            return False
        scatters = [
            ScatterOp(result, scatter.domain, layout, tensor_of(old), filled.results[k] if filled else None)
            for k, (old, result, layout) in enumerate(zip(op.results, compact.results, flow.results, strict=True))
        ]
        for old, new in zip(op.results, scatters, strict=True):
            new.location, new.full.name_hint = op.location, old.name_hint
        ops = [*code.gathers, *compact.ops, *(filled.ops if filled else ()), *scatters]
        rewriter.replace(op, ops, [new.full for new in scatters])
        return True


def all_fills(op: CallOp, domain: SSAValue, flow: Flow) -> dict[int, SSAValue] | None:
    """The fill of every operand that carries rows; None unless all are filled scatters over `domain`."""
    fills: dict[int, SSAValue] = {}
    for index, layout in enumerate(flow.operands):
        if layout is None:
            continue
        owner = op.operands[index].owner
        if not isinstance(owner, ScatterOp) or owner.domain is not domain or owner.layout.data != layout:
            return None
        if owner.fill is None:
            return None
        fills[index] = owner.fill
    return fills


class GatherAboveRowWise(RewritePattern):
    """gather(f(x, y), d) -> f(gather(x, d), gather(y, d)), where nothing else reads f(x, y)"""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: GatherOp, rewriter: PatternRewriter, /) -> None:
        made = op.full.owner
        if not isinstance(made, CallOp) or len(made.results) != 1 or made.regions:
            return
        readers = (use.operation for use in op.full.uses)
        if not all(isinstance(r, GatherOp) and r.domain is op.domain and r.layout == op.layout for r in readers):
            return
        flow = flow_from_result(made, 0, op.layout.data, domain_of(op.domain).sizes)
        if flow is None or not any(layout is not None for layout in flow.operands):
            return
        operands = compact_operands(made, op.domain, flow)
        compact: CompactCode | None = write_compact(made, flow, op.domain, operands.compact)
        if compact is not None:
            rewriter.replace(op, [*operands.gathers, *compact.ops], compact.results)


@dataclass(frozen=True)
class SinkScatters(ModulePass):
    """Keep regions packed between their gathers and scatters."""

    name = "sink-scatters"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        merge = CommonSubexpressionElimination()
        merge.apply(ctx, op)
        for function in op.body.block.ops:
            if isinstance(function, FuncOp):
                rules = [GatherOfScatter(), ScatterOfGather(), RowWiseAboveScatter(), GatherAboveRowWise()]
                applier = GreedyRewritePatternApplier(rules, ctx, dce_enabled=True)
                PatternRewriteWalker(applier).rewrite_region(function.body)
        merge.apply(ctx, op)
