"""Ops that treat each row alone: how rows of their operands and results correspond, and their compact form.

    %y = aten.linear(%x, %w)            "i j a" -> "i j a"      compact: aten.linear(%x', %w)
    %y = aten.view(%x, [s0, s1, 12, 64])  "i j a" -> "i j a b"  compact: aten.reshape(%x', [active, 12, 64])
    %y = aten.transpose(%x, 1, 2)       "i j a b" -> "i a j b"  compact: nothing, %y' = %x'

Rules stand in `RULES` by call target and can be extended with `register`. A rule that cannot prove the
correspondence gives None: the op then needs all rows. Which axes: research on permutable axes, table 3.4
(linear and norms over leading axes, softmax and sums over others, elementwise everywhere, never along windows).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from ...dialects.aten import CallOp
from ...dialects.layout import Layout
from ...dialects.template import Argument, Name, Template
from ..solvers.sizes import Size
from .calls import target

ACTIVE = Name("active")
"""Stands for the number of active positions in the sizes of a compact form."""

NO_ARGUMENTS = Template()

Space = tuple[Size, ...]


@dataclass(frozen=True)
class Flow:
    """Layouts of an op's operands (None: it carries no rows and is used whole) and of its results."""

    operands: tuple[Layout | None, ...]
    results: tuple[Layout, ...]


@dataclass(frozen=True)
class Compact:
    """The call that does the same work on compact rows; `target` None means that nothing is left to do.

    `reshapes` gives operands (by number) another compact shape first, for broadcasting.
    """

    target: str | None
    template: Template = NO_ARGUMENTS
    reshapes: dict[int, tuple[Argument, ...]] = field(default_factory=dict)


Backward = Callable[[CallOp, int, Layout, Space], Flow | None]
Forward = Callable[[CallOp, int, Layout, Space], Layout | None]
Compaction = Callable[[CallOp, Flow, Space], Compact | None]


@dataclass(frozen=True)
class RowRule:
    """`backward`: flow from a result's layout. `forward`: a result's layout from an operand's. `compact`: the call."""

    backward: Backward
    forward: Forward
    compact: Compaction


RULES: dict[str, RowRule] = {}


def register(rule: RowRule, *targets: str) -> None:
    """Let `rule` speak for calls of `targets`."""
    RULES.update(dict.fromkeys(targets, rule))


def flow_from_result(op: CallOp, result: int, layout: Layout, space: Space) -> Flow | None:
    """The flow of rows through `op` when result `result` has `layout`; None when the op is not row-wise so."""
    rule = RULES.get(target(op) or "")
    if rule is None or op.effects is not None or len(layout.axes) == 0:
        return None
    flow = rule.backward(op, result, layout, space)
    return flow if flow is not None and reads_rows_once(op, flow) else None


def flow_from_operand(op: CallOp, operand: int, layout: Layout, space: Space) -> Flow | None:
    """The flow of rows through `op` when operand `operand` has `layout`."""
    rule = RULES.get(target(op) or "")
    if rule is None or op.effects is not None:
        return None
    result = rule.forward(op, operand, layout, space)
    flow = flow_from_result(op, 0, result, space) if result is not None else None
    return flow if flow is not None and flow.operands[operand] == layout else None


def compact_call(op: CallOp, flow: Flow, space: Space) -> Compact | None:
    """The compact form of `op` under `flow`; None when a size it needs is not known."""
    return RULES[op.target.data].compact(op, flow, space)


def reads_rows_once(op: CallOp, flow: Flow) -> bool:
    """An operand that is written twice into a call can carry rows only where both uses do: elementwise ops."""
    written = list(op.template.data.refs())
    repeated = {index for index in written if written.count(index) > 1}
    return RULES[op.target.data].backward is RULES["aten.add.Tensor"].backward or not any(
        flow.operands[index] is not None for index in repeated
    )
