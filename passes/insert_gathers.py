"""Compute only rows that somebody reads: gather them, do the work, scatter the result.

    %y = aten.linear(%x, %w)                    %d  = sparse.domain %mask
                                          ->    %x' = sparse.gather %x[%d] "i j a"
                                                %y' = aten.linear(%x', %w)
                                                %y  = sparse.scatter %y'[%d] "i j a"

Sites are the ops that cost: products and attention; and ops that fill whole rows (x * mask), where a region starts
whose other rows hold a known fill. A group of values that flow into each other gets one domain,
the union of the rows that its members need, so that `sink-scatters` can keep the whole region packed.

Legal where the rows outside the domain are dead (`analysis/liveness.py`), the op treats each row alone
(`analysis/rows.py`), and, for attention, the keys outside the domain have probability 0. That last needs every
active position to be a key that the mask allows, or, for keys of another sequence, a key in each sequence: where
this is not plain from the masks, `sparse.covers` asks when the program runs, and the domain becomes everywhere if it
does not hold. Under `exact="bitwise"` attention is never
packed, and products only over a number of rows for which they were found to give the same bits: a multiple of
`row-multiple` out of `rows`, which come in as options.

Pays when the domain is sparse: `guard-density` decides when the program runs. Linear in the number of ops.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import scf
from xdsl.dialects.builtin import ModuleOp, StringAttr, UnitAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ..dialects.aten import CallOp, dims, tensor_of, tensor_type
from ..dialects.sparse import AttentionOp, CoversOp, DomainOp, EverywhereOp, GatherOp, ScatterOp
from .analysis.attention import ATTENTION
from .analysis.calls import shape
from .analysis.element_types import held
from .analysis.index_view import Source
from .analysis.live import Live, Liveness
from .analysis.live_rules import MASKS_ROWS, brings_rows_to_life
from .analysis.liveness import liveness
from .analysis.masked_rows import MaskedRows, feeds, masked_rows
from .analysis.row_reductions import PRODUCTS
from .analysis.rows import flow_from_result
from .masks import CannotWriteError, MaskWriter
from .packing import CompactOperands, call, compact_operands, discard, write_compact
from .solvers.index_expr import FALSE, TRUE, Expr, apply, sources_of
from .solvers.sizes import Size, product


@dataclass(frozen=True)
class Site:
    """An op that can be packed, the state of its result, and what its attention needs to be legal."""

    op: CallOp
    state: Live
    keys: Expr | None = None


def find_sites(function: FuncOp, found: Liveness) -> Iterator[Site]:
    """Products and attentions whose result has dead rows, in program order."""
    for op in function.body.block.ops:
        if not isinstance(op, CallOp) or len(op.results) != 1:
            continue
        state = found.live(op.results[0])
        if state is None:
            continue
        if op.target.data in PRODUCTS and flow_from_result(op, 0, state.layout, state.space) is not None:
            yield Site(op, state)
        elif op.target.data == ATTENTION and found.packs(op):
            yield Site(op, state, found.attentions[op].keys)


@dataclass
class Packer:
    """Inserts the domains and the compact code of one function."""

    function: FuncOp
    found: Liveness
    row_multiple: int = 0
    rows: int = 0

    def run(self) -> None:
        """Pack every group that has a site and whose rows can be written down."""
        waking = self.bringing_rows_to_life()
        rows = self.found.rows_of_groups()
        groups: dict[int, list[Site]] = {}
        for site in find_sites(self.function, self.found):
            if rows[site.state.group] not in (TRUE, FALSE):
                groups.setdefault(site.state.group, []).append(site)
        order = {op: number for number, op in enumerate(self.function.body.block.ops)}
        for source in self.sources():
            self.start(source)
        for group, sites in groups.items():
            if self.found.exact and not self.is_stable(sites[0].state.space):
                continue
            needed = self.found.some_key(group)
            if self.known_before(apply("and", rows[group], *needed), sites[0].op, order):
                self.pack(rows[group], sites, needed)
        if any(isinstance(op, DomainOp) for op in self.function.body.block.ops):
            for op in waking:
                op.attributes[MASKS_ROWS] = UnitAttr()  # their masks may be packed, and look like any tensor then

    def bringing_rows_to_life(self) -> list[CallOp]:
        """Ops whose result has rows that mean something where an operand's are dead."""
        calls = [op for op in self.function.body.block.ops if isinstance(op, CallOp)]
        dead = [op for op in calls if any(self.found.live(operand) is not None for operand in op.operands)]
        return [op for op in dead if brings_rows_to_life(self.found.view, op)]

    def sources(self) -> list[MaskedRows]:
        """Ops that fill rows with a finite number and feed a product.

        None under `exact`: a product of one row may round differently.
        """
        if self.found.exact:
            return []
        calls = [op for op in self.function.body.block.ops if isinstance(op, CallOp) and not op.regions]
        found = [rows for op in calls if (rows := masked_rows(self.found.view, op)) is not None]
        return [
            rows
            for rows in found
            if self.found.live(rows.op.results[0]) is None
            and is_finite(rows.fill, tensor_of(rows.op.results[0]).element_type)
            and feeds(rows.op.results[0], rows.layout, space_of(rows), frozenset(PRODUCTS))
        ]

    def start(self, source: MaskedRows) -> None:
        """The op on the rows that it keeps, the others filled: what follows can stay packed."""
        op, space = source.op, space_of(source)
        flow = flow_from_result(op, 0, source.layout, space)
        writer = MaskWriter(self.function, space)
        try:
            domain = self.domain(writer, source.rows)
        except CannotWriteError:
            discard(writer.ops)
            return
        operands = compact_operands(op, domain, flow) if flow is not None else CompactOperands()
        code = write_compact(op, flow, domain, operands.compact) if flow is not None else None
        made = [*writer.ops, *operands.gathers, *(code.ops if code else ())]
        sizes = (1, *dims(code.results[0].type)[1:]) if code else ("?",)
        if code is None or any(isinstance(size, str) for size in sizes):
            discard(made)
            return
        row = tensor_type(tensor_of(code.results[0]).element_type, sizes)
        fill = call("aten.new_full.default", (code.results[0], sizes, source.fill), row)
        result = op.results[0]
        scatter = ScatterOp(code.results[0], domain, source.layout, tensor_of(result), fill.results[0])
        scatter.full.name_hint = result.name_hint
        ops = [*made, fill, scatter]
        for new in ops:
            new.location = op.location
        Rewriter.replace_op(op, ops, [scatter.full])

    def is_stable(self, space: tuple[Size, ...]) -> bool:
        """Were products over a multiple of so many rows found to give the same bits?"""
        return self.row_multiple > 0 and product(space) == self.rows

    def known_before(self, rows: Expr, op: Operation, order: dict[Operation, int]) -> bool:
        """Are all tensors that the predicate reads there when `op` runs?"""
        values = [source.value for source in sources_of(rows) if isinstance(source, Source)]
        return all(isinstance(v.owner, Block) or order[v.owner] < order[op] for v in values)

    def pack(self, rows: Expr, sites: list[Site], needed: list[Expr]) -> None:
        """One domain, and the compact form of every site. Each sequence must have one of each of the keys `needed`."""
        writer = MaskWriter(self.function, sites[0].state.space)
        try:
            domain = self.domain(writer, rows, sites, needed)
        except CannotWriteError:
            discard(writer.ops)
            return
        for op in writer.ops:
            op.location = sites[0].op.location
        Rewriter.insert_op(writer.ops, InsertPoint.before(sites[0].op))
        for site in sites:
            if site.op.target.data == ATTENTION:
                self.attention(site, domain)
            else:
                self.product(site, domain)

    def domain(
        self, writer: MaskWriter, rows: Expr, sites: Sequence[Site] = (), needed: Sequence[Expr] = ()
    ) -> SSAValue:
        """The domain of `rows`; everywhere unless each attention's mask allows what makes the others dead."""
        multiple = self.row_multiple if self.found.exact else 0
        active = DomainOp(writer.whole(writer.write(rows)), writer.space, multiple)
        writer.ops.append(active)
        domain = active.domain
        domain.name_hint = "active"
        for keys in dict.fromkeys(site.keys for site in sites if site.keys is not None):
            if apply("or", keys, rows) != keys:
                domain = only_if(writer, CoversOp(writer.whole(writer.write(keys)), domain), domain)
        for keys in dict.fromkeys(needed):
            every = EverywhereOp(active.domain)
            writer.ops.append(every)
            domain = only_if(writer, CoversOp(writer.any_of_sequence(writer.write(keys)), every.domain), domain)
        return domain

    def product(self, site: Site, domain: SSAValue) -> None:
        """The product over active rows only."""
        op, layout = site.op, site.state.layout
        flow = flow_from_result(op, 0, layout, site.state.space)
        assert flow is not None
        carrier = PRODUCTS[op.target.data]
        source = flow.operands[carrier]
        assert source is not None
        gather = GatherOp(op.operands[carrier], domain, source)
        code = write_compact(op, flow, domain, {carrier: gather.compact})
        if code is None:
            discard([gather])
            return
        self.replace(site, [gather, *code.ops], code.results[0], domain)

    def attention(self, site: Site, domain: SSAValue) -> None:
        """Attention among active rows of each sequence."""
        op, seen = site.op, self.found.attentions[site.op]
        gathers = [GatherOp(value, domain, seen.layout) for value in op.operands[:3]]
        query, key, value = (g.compact for g in gathers)
        compact = AttentionOp(query, key, value, domain, seen.kind, mask=seen.mask, bias=seen.bias, scale=seen.scale)
        self.replace(site, [*gathers, compact], compact.output, domain)

    def replace(self, site: Site, ops: list[Operation], compact: SSAValue, domain: SSAValue) -> None:
        """The op's result is the scatter of its compact form."""
        result = site.op.results[0]
        scatter = ScatterOp(compact, domain, site.state.layout, tensor_of(result))
        compact.name_hint = scatter.full.name_hint = result.name_hint
        for op in (*ops, scatter):
            op.location = site.op.location
        Rewriter.replace_op(site.op, [*ops, scatter], [scatter.full])


def space_of(source: MaskedRows) -> tuple[Size, ...]:
    """The index space of a source's rows."""
    return shape(source.op.results[0])[: len(source.layout.domain_axes)]


def is_finite(value: float, element: Attribute) -> bool:
    """Is `value` a finite number of that type? An infinite row has NaN for its gradient, even where nobody reads it."""
    return math.isfinite(value) and held(value, element) is not None


def only_if(writer: MaskWriter, condition: CoversOp, domain: SSAValue) -> SSAValue:
    """`domain` where `condition` holds, else everywhere; written by `writer`."""
    guard = guarded(condition.result, domain)
    writer.ops += [condition, guard]
    guard.results[0].name_hint = "domain"
    return guard.results[0]


def guarded(condition: SSAValue, domain: SSAValue) -> scf.IfOp:
    """`domain` where `condition` holds, else everywhere."""
    everywhere = EverywhereOp(domain)
    return scf.IfOp(
        condition,
        [domain.type],
        Region(Block([scf.YieldOp(domain)])),
        Region(Block([everywhere, scf.YieldOp(everywhere.domain)])),
    )


def is_exact(module: ModuleOp) -> bool:
    """Was the module compiled with `exact="bitwise"`?"""
    return module.attributes.get("gossamer.exact") == StringAttr("bitwise")


@dataclass(frozen=True)
class InsertGathers(ModulePass):
    """Pack products and attention onto rows that somebody reads."""

    name = "insert-gathers"
    row_multiple: int = 0
    rows: int = 0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.body.block.ops:
            if isinstance(function, FuncOp):
                Packer(function, liveness(function, exact=is_exact(op)), self.row_multiple, self.rows).run()
