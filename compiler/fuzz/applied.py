"""What the passes did to a model, in a few words, so that a campaign can say what it has tried.

    {"insert-skips", "skips along k", "kernel with a gate", ..}

A pass is named where it changed the program; products and kernels by what they do.
"""

from collections.abc import Iterator

from xdsl.ir import Operation

from ...dialects.kernel import Form, LaunchOp
from ...dialects.sparse import AttentionOp, MatmulOp, Skip
from ..pipeline import Trace


def applied(trace: Trace) -> set[str]:
    """What changed a program, and what it holds at the end."""
    changed = {stage.name for stage in trace.stages[1:] if stage.changed}
    return changed | {words for op in trace.stages[-1].module.walk() for words in said(op)}


def said(op: Operation) -> Iterator[str]:
    """Of one op."""
    match op:
        case AttentionOp():
            yield "packed attention"
        case MatmulOp():
            yield "skips along k" if op.axis.data is Skip.K else "skips along n"
        case LaunchOp():
            yield f"kernel {op.form.data.value}"
            if op.gate is not None:
                yield "kernel with a gate"
            if op.form.data is Form.SUPPORT and len(op.results) > 1:
                yield "kernel with an activation"
        case _:
            pass
