"""All row rules, loaded: what `row_rules` describes, with the rules of every family registered."""

from . import row_elementwise, row_reductions, row_shapes
from .row_rules import ACTIVE, RULES, Compact, Flow, RowRule, Space, compact_call, flow_from_operand, flow_from_result

FAMILIES = (row_elementwise, row_shapes, row_reductions)

__all__ = [
    "ACTIVE", "FAMILIES", "RULES", "Compact", "Flow", "RowRule", "Space",
    "compact_call", "flow_from_operand", "flow_from_result",
]  # fmt: skip
