"""Which axes of an op may be permuted, which may be skipped, and why not.

    %y = aten.linear(%x, %w, %b)       operands "a b k", "n k", "n"    result "a b n"
      a, b, n   parallel   permuting the operands permutes the result; an inactive slice becomes a known fill
      k         reduced    permuting it changes nothing; slices of zeros add nothing
    %y = aten.conv2d(%x, %w)           operands "n c h w", "o c p q"   result "n o y z"
      h, w      neither    read through a sliding window

An axis may be permuted when every access names it alone (no offset, no comparison, no division), when all operands
that carry its label are permuted alike, and, if it is reduced, when the reduction does not care for order. An op
without a rule says nothing. Rules stand in `RULES` by call target.
"""

from dataclasses import replace

from xdsl.dialects.builtin import TensorType

from ...dialects.aten import CallOp
from . import axis_moves, axis_products, axis_statistics
from .axis_rules import RULES, AxisRole, OpAxes, Role, Skip, axis_rule
from .calls import target

FAMILIES = (axis_products, axis_statistics, axis_moves)


def axes_of(op: CallOp) -> OpAxes | None:
    """The axes of `op`; None when nothing is known of it."""
    rule = RULES.get(target(op) or "")
    tensors = all(isinstance(result.type, TensorType) for result in op.results)
    axes = rule(op) if rule is not None and tensors and op.results else None
    if axes is None:
        return None
    used = {label for own in (*axes.operands, *axes.results) for label in own}
    return replace(axes, roles={label: role for label, role in axes.roles.items() if label in used})


__all__ = ["FAMILIES", "RULES", "AxisRole", "OpAxes", "Role", "Skip", "axes_of", "axis_rule"]
