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
to life by a mask (x * mask, where) or read the size of their operand alone (ones_like): those stay where they are,
`insert-gathers` has marked them (`sparse.masks_rows`) while their masks could still be seen through. A copy that makes
a result contiguous stays below its scatter. A fill goes through the op once, on one row; then every operand that
carries rows must be a scatter over the same domain. Pays always: it only removes rows. Linear in the number of ops;
each op moves at most once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)

from ..dialects.aten import CallOp, dims, tensor_of
from ..dialects.layout import Layout
from ..dialects.sparse import GatherOp, ScatterOp, domain_of
from .analysis.index_view import IndexView
from .analysis.live_rules import MASKS_ROWS, brings_rows_to_life
from .analysis.rows import Flow, flow_from_operand, flow_from_result
from .merging import merge_equal
from .packing import CompactCode, compact_operands, discard, write_compact


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
            if flow is None or makes_contiguous(op, scatter):
                continue
            if self.move(op, scatter, flow, rewriter):
                return

    def move(self, op: CallOp, scatter: ScatterOp, flow: Flow, rewriter: PatternRewriter) -> bool:
        """Rewrite `op` above `scatter`; False when that is not legal."""
        fills: Mapping[int, SSAValue] | None = None
        if scatter.fill is None:
            if MASKS_ROWS in op.attributes or brings_rows_to_life(self.view, op):
                return False
        elif (fills := all_fills(op, scatter.domain, flow)) is None:
            return False
        code = compact_operands(op, scatter.domain, flow)
        compact = write_compact(op, flow, scatter.domain, code.compact)
        filled = write_compact(op, flow, scatter.domain, fills, rows=1) if fills is not None else None
        if compact is None or (fills is not None and filled is None):
            discard([*code.gathers, *(compact.ops if compact else ())])
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


CONTIGUOUS = ("aten.contiguous.default", "aten.clone.default")


def makes_contiguous(op: CallOp, scatter: ScatterOp) -> bool:
    """Is a result promised to be contiguous, which a scatter gives only in layouts that start with the domain?"""
    copies = op.target.data in CONTIGUOUS
    rows_first = scatter.layout.data == Layout.leading(
        len(domain_of(scatter.domain).sizes), len(dims(scatter.full.type))
    )
    return copies and not rows_first and any(isinstance(use.operation, ReturnOp) for use in op.results[0].uses)


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
        if compact is None:
            discard(operands.gathers)
        else:
            rewriter.replace(op, [*operands.gathers, *compact.ops], compact.results)


@dataclass(frozen=True)
class SinkScatters(ModulePass):
    """Keep regions packed between their gathers and scatters."""

    name = "sink-scatters"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.body.block.ops:
            if isinstance(function, FuncOp):
                merge_equal(function)
                rules = [GatherOfScatter(), ScatterOfGather(), RowWiseAboveScatter(), GatherAboveRowWise()]
                applier = GreedyRewritePatternApplier(rules, ctx, dce_enabled=True)
                PatternRewriteWalker(applier).rewrite_region(function.body)
                merge_equal(function)
