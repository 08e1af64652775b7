"""Forward facts: where the values of a function are zero, or another known fill, once it has run.

    %h = aten.linear(%x, %w1, %b1)
    %r = aten.relu(%h)                  %r: 0 unless nz(%r)
    %m = aten.mul(%r, %keep)            %m: 0 on axes [0, 1] unless nz(%keep); needs finite %r
    %y = aten.linear(%m, %w2, %b2)      %y: %b2 on axes [0, 1] unless nz(%keep); needs finite %r, %w2
    %g = aten.gelu(%y)                  %g: gelu(%b2) on axes [0, 1] unless nz(%keep); rounded; ..

One walk in order of definition; the facts of an op come from those of its operands by the rules of its target (see
`fact_rules.py`), so the cost is linear in the number of ops. Regions of higher-order ops are not entered.
"""

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from ...dialects.aten import CallOp
from . import (
    fact_elementwise,
    fact_moved,
    fact_norms,
    fact_pieces,
    fact_products,
    fact_reductions,
    fact_scatters,
    fact_sources,
    fact_windows,
)
from .fact_rules import RULES, Inactive, Known, Part, normal, register_rule, rule, settle
from .fact_scope import Call, Scope, is_bool, is_integer

FAMILIES = (
    fact_sources, fact_elementwise, fact_moved, fact_pieces, fact_scatters, fact_products, fact_windows,
    fact_reductions, fact_norms,
)  # fmt: skip
EVERY_OP = "*"
"""Rules that speak for all ops."""


def forward_facts(function: FuncOp) -> dict[SSAValue, tuple[Inactive, ...]]:
    """The facts of each value of `function` that has any."""
    scope, known = Scope(function), Known()
    for value in function.body.block.args:
        if isinstance(value.type, TensorType) and (is_bool(value) or is_integer(value)):
            known.facts[value] = argument_facts(scope, value)
    for op in function.body.block.ops:
        if isinstance(op, CallOp) and not op.regions:
            for output, result in enumerate(op.results):
                if isinstance(result.type, TensorType) and (found := call_facts(Call(scope, op, output), known)):
                    known.facts[result] = found
    return {value: facts for value, facts in known.facts.items() if facts}


def argument_facts(scope: Scope, value: SSAValue) -> tuple[Inactive, ...]:
    """Masks come from outside as truth values or integers: they are zero where they are."""
    fact = normal(scope, value, Part(scope.truth(value), binary=is_bool(value)))
    return () if fact is None else (fact,)


def call_facts(call: Call, known: Known) -> tuple[Inactive, ...]:
    """What all rules of the call's target say, in normal form."""
    rules = (*RULES.get(EVERY_OP, ()), *RULES.get(call.target, ()))
    return settle(call, (part for rule in rules for part in rule(call, known)))


def show_facts(facts: Sequence[Inactive]) -> str:
    """All facts of one value in one line."""
    return " | ".join(map(str, facts))


def show_all(facts: Mapping[SSAValue, Sequence[Inactive]]) -> str:
    """A line for each value."""
    return "\n".join(f"%{value.name_hint}: {show_facts(own)}" for value, own in facts.items())


__all__ = ["FAMILIES", "RULES", "Inactive", "forward_facts", "register_rule", "rule", "show_all", "show_facts"]
