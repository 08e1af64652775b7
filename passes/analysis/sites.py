"""Every candidate site of a function: what is known there, what was decided, and why.

    %linear.4   axis m, nz(%attention_mask[i, j])   REASSOC   packed with 73 others in domain 0
    %linear.90  axis m, every row is read           by %select: aten.select.int

A site is an op that costs: a product or an attention. Its class says what packing may change: REASSOC where a sum may
be taken in another order (a library picks another kernel for another number of rows; attention sums over fewer keys),
BITWISE where `exact="bitwise"` packs products over numbers of rows that were tried and gave the same bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation

from ...dialects.aten import CallOp
from ...dialects.layout import DOMAIN_AXES
from ..solvers.index_expr import TRUE, show
from .attention import ATTENTION
from .calls import rank, target
from .live import Liveness
from .row_reductions import PRODUCTS
from .rows import flow_from_result


@dataclass(frozen=True)
class SiteReport:
    """One candidate: `rows` is the predicate of its group, `reason` says why nothing is packed, or is empty.

    `blocker` is the op that reads every row, where that is the reason.
    """

    op: CallOp
    rows: str
    group: int | None
    legality: str
    reason: str = ""
    blocker: Operation | None = None


def candidates(function: FuncOp) -> Iterator[CallOp]:
    """Products and attentions, in program order."""
    for op in function.body.block.ops:
        if isinstance(op, CallOp) and (op.target.data in PRODUCTS or op.target.data == ATTENTION):
            yield op


def report(function: FuncOp, found: Liveness) -> list[SiteReport]:
    """All candidate sites of `function` under the analysis `found`."""
    rows = found.rows_of_groups()
    return [site(op, found, rows) for op in candidates(function)]


def site(op: CallOp, found: Liveness, rows: dict) -> SiteReport:
    """What is known of one candidate."""
    state = found.live(op.results[0])
    if state is None:
        blocker = found.needed_whole_by(op.results[0])
        return SiteReport(op, "every row", None, "-", because(blocker, op), blocker)
    text = show(rows[state.group], DOMAIN_AXES.__getitem__)
    if rows[state.group] == TRUE:
        return SiteReport(op, "every row", state.group, "-", "another op of its region reads every row")
    if found.exact and op.target.data != ATTENTION:
        return SiteReport(op, text, state.group, "BITWISE")
    if op.target.data == ATTENTION and found.exact:
        return SiteReport(op, text, state.group, "REASSOC", 'exact="bitwise" forbids sums over fewer keys')
    if op.target.data == ATTENTION:
        return SiteReport(op, text, state.group, "REASSOC", attention_reason(op, found))
    if flow_from_result(op, 0, state.layout, state.space) is None:
        return SiteReport(op, text, state.group, "-", "it mixes rows: the axis is not one of its row axes")
    return SiteReport(op, text, state.group, "REASSOC")


def because(blocker: Operation | None, op: CallOp) -> str:
    """Why every row is read."""
    if isinstance(blocker, ReturnOp):
        return "every row is returned; dont_care={..} can say that some are not read"
    if blocker is None or blocker is op:
        return "nothing says that a row is not read"
    name = target(blocker) or blocker.name
    if name == ATTENTION:
        return "an attention reads every row: no mask hides keys from all queries"
    if blocker.results and rank(op.results[0]) < 2:
        return "it has no row axis"
    return f"{name} reads every row"


def attention_reason(op: CallOp, found: Liveness) -> str:
    """Why an attention cannot be packed; empty when it can."""
    if op in found.refused:
        return "its mask hides keys with a finite number, and nothing says that a query sees its own"
    if op not in found.attentions:
        return "its mask or layout cannot be read: [batch, heads, positions, width] and no dropout are needed"
    states = [found.live(operand) for operand in op.operands[:3]]
    if any(state is None for state in states):
        return "keys or values are needed whole: no mask hides them from every query"
    if len({state.group for state in states if state is not None}) > 1:
        return "queries and keys come from different sequences"
    return ""
