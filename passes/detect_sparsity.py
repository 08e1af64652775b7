"""Write down what is known of sparsity, on the ops it is known of.

    %r = aten.relu(%x)                    %r = aten.relu(%x) {sparse.inactive = "0 unless nz(%r)"}
    %y = aten.linear(%h, %w)        ->    %y = aten.linear(%h, %w) {sparse.live = "nz(%mask[i, j]) over i j a"}
    return %y {dont_care = "mask"}        return %y

`sparse.inactive`: forward facts (`analysis/facts.py`), where a result equals a known fill. `sparse.demand`: which
elements of a result are read with effect (`analysis/demand.py`); all of them without it. `sparse.live`: don't-care
liveness (`analysis/liveness.py`), the rows of a result that anybody reads with effect; an op without it is needed
whole. Passes that act on sparsity compute the same analyses again: the attributes are for the reader. Always legal;
costs nothing at run time. Linear in the number of ops.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass

from ..dialects.aten import CallOp
from ..dialects.layout import DOMAIN_AXES
from .analysis.demand import backward_demand
from .analysis.demand_forms import WHOLE
from .analysis.facts import forward_facts, show_facts
from .analysis.live import Live
from .analysis.liveness import liveness
from .insert_gathers import is_exact
from .solvers.index_expr import show

INACTIVE, LIVE, DEMAND = "sparse.inactive", "sparse.live", "sparse.demand"


def show_live(state: Live) -> str:
    """`nz(%mask[i, j]) over i j a`: the rows that are read, and where the domain's axes are."""
    return f"{show(state.rows, DOMAIN_AXES.__getitem__)} over {state.layout}"


@dataclass(frozen=True)
class DetectSparsity(ModulePass):
    """Print facts, demand and liveness on the IR."""

    name = "detect-sparsity"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.body.block.ops:
            if not isinstance(function, FuncOp):
                continue
            found = liveness(function, exact=is_exact(op))
            facts = forward_facts(function)
            demands = backward_demand(function, facts)
            for call in function.body.block.ops:
                if not isinstance(call, CallOp) or not call.results:
                    continue
                known = [fact for result in call.results for fact in facts.get(result, ())]
                if known:
                    call.attributes[INACTIVE] = StringAttr(show_facts(known))
                demand = demands.of(call.results[0])
                if demand is not None and demand != WHOLE:
                    call.attributes[DEMAND] = StringAttr(str(demand))
                if (state := found.live(call.results[0])) is not None:
                    call.attributes[LIVE] = StringAttr(show_live(state))
