"""Which elements of each value does anybody read with effect? Backwards from the results.

    %g = aten.relu(%a)
    %u = aten.linear(%x, %w)               %u: nz(%g); needs finite %u
    %h = aten.mul(%g, %u)                  %h: all of it (the product that reads it is read)
    %y = aten.linear(%h, %v)
    %z = aten.where(%m, %y, 0)             %y: nz(%m)
    return %z

A demand is a predicate over the value's own axes, tied to the tensors that define it. An element outside of it may hold
any finite number: no result changes. `needs_finite` names the tensors of which that is only true while they are finite
(0 * inf is NaN); under `strict` such demands are not used. The rules of ops stand in `demand_rules.py`; an op without
one reads everything. One walk against the order of definition, linear in the number of ops.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import SSAValue

from ...dialects.aten import CallOp
from . import demand_rules
from .demand_forms import RULES, WHOLE, Demand, Given, labelled
from .fact_rules import Inactive, Known
from .fact_scope import Call, Scope
from .facts import forward_facts
from .liveness import SIZES_ONLY, dont_care

FAMILIES = (demand_rules,)


@dataclass
class Demands:
    """What is demanded of each value of a function, and what is known of its values forwards."""

    scope: Scope
    known: Known
    strict: bool = False
    found: dict[SSAValue, Demand] = field(default_factory=dict)

    def of(self, value: SSAValue) -> Demand | None:
        """The demand of `value`; None where nobody reads it."""
        return self.found.get(value)

    def need(self, value: SSAValue, demand: Demand) -> None:
        """`value` is read in one more place."""
        if isinstance(value.type, TensorType):
            before = self.found.get(value)
            self.found[value] = demand if before is None else before | demand


def backward_demand(
    function: FuncOp,
    facts: Mapping[SSAValue, tuple[Inactive, ...]] | None = None,
    *,
    strict: bool = False,
) -> Demands:
    """The demand of every value of `function`, whose forward facts are `facts`.

    `strict` keeps NaN where a skipped element is infinite or NaN.
    """
    known = Known(dict(forward_facts(function) if facts is None else facts))
    demands = Demands(Scope(function), known, strict)
    for op in reversed(list(function.body.block.ops)):
        if isinstance(op, ReturnOp):
            returned(demands, op, dont_care(function))
        elif isinstance(op, CallOp) and not op.regions and op.effects is None:
            visit(demands, op)
        else:
            for inner in op.walk():
                for value in inner.operands:
                    demands.need(value, WHOLE)
    return demands


def returned(demands: Demands, op: ReturnOp, masks: Sequence[SSAValue | None]) -> None:
    """Results are read, but for rows that the user does not care for."""
    for value, mask in zip(op.operands, masks, strict=True):
        demands.need(value, WHOLE if mask is None else Demand(demands.scope.truth(mask)))


def visit(demands: Demands, op: CallOp) -> None:
    """Pass what is demanded of the results on to the operands."""
    if op.target.data in SIZES_ONLY:
        return
    for output, result in enumerate(op.results):
        if not isinstance(result.type, TensorType):
            for value in op.operands:
                demands.need(value, WHOLE)
        elif (demand := demands.of(result)) is not None:
            for value, own in needs(demands, Call(demands.scope, op, output), demand):
                demands.need(value, own)


def needs(demands: Demands, call: Call, demand: Demand) -> Iterable[tuple[SSAValue, Demand]]:
    """What one result's demand asks of each operand: by the op's own rule, else by the labels of its axes."""
    given = Given(call, demand, demands.known, demands.strict)
    rule = RULES.get(call.target)
    own = rule(given) if rule is not None else None
    asked = labelled(given) if own is None else own
    for operand in call.op.operands:
        if isinstance(operand.type, TensorType):
            yield operand, asked.get(operand, WHOLE)
