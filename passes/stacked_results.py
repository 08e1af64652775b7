"""What is read of neurons outside of a loop that was rolled: their results of all steps, stacked by its scan.

%a = neg(%z0)                               %z0 = select(%zs, 0, 0)   %a = neg(%z0)
%o = stack([%z0, %z1, %z2], 0)      ->      (%o is %zs)
%p = stack([%z0, %z1, %z2], 1)              %p = permute(%zs, [1, 0, 2])
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from xdsl.ir import Attribute, Operation, SSAValue

from ..dialects.aten import CallOp, tensor_of, tensor_type
from ..dialects.template import Argument, Name, Ref, Template
from .analysis.calls import shape, target
from .analysis.repetition import Repetition

Results: TypeAlias = "dict[tuple[int, int], SSAValue | None]"
"""Of neurons, by their number and that of the result: what they gave in all steps."""


class Listed:
    """Operands of a call, each once; calling it gives the reference to one."""

    def __init__(self) -> None:
        self.operands: list[SSAValue] = []

    def __call__(self, value: SSAValue) -> Ref:
        if value not in self.operands:
            self.operands.append(value)
        return Ref(self.operands.index(value))

    def all(self, values: Sequence[SSAValue]) -> tuple[Ref, ...]:
        return tuple(map(self, values))


def call(name: str, value: SSAValue, type: Attribute, *more: Argument) -> CallOp:
    """A call of one operand, located where that is made."""
    op = CallOp(name, Template((Ref(0), *more)), [value], [type])
    op.location = value.owner.location if isinstance(value.owner, Operation) else op.location
    return op


def moved(name: str, value: SSAValue, sizes: Sequence[int | str], *more: Argument) -> CallOp:
    """A call that gives the numbers of a tensor in another shape."""
    return call(name, value, tensor_type(tensor_of(value).element_type, sizes), *more)


@dataclass
class StackedResults:
    """Makes readers read stacked results; `inserted` are the calls that stand between."""

    loop: Repetition
    results: Results
    inserted: list[Operation] = field(default_factory=list)
    selected: dict[SSAValue, SSAValue] = field(default_factory=dict)

    def give(self, op: Operation) -> None:
        """Let a call outside of the loop read them, or be them."""
        if (found := self.stacked(op)) is not None:
            op.results[0].replace_all_uses_with(self.turned(*found))
            return
        for index, operand in enumerate(op.operands):
            if (place := self.loop.places.get(operand)) is None:
                continue
            if operand not in self.selected:
                value = cast(SSAValue, self.results[place[:2]])
                self.inserted.append(call("aten.select.int", value, operand.type, 0, place[2]))
                self.selected[operand] = self.inserted[-1].results[0]
            op.operands[index] = self.selected[operand]

    def turned(self, neurons: int, result: int, axis: int) -> SSAValue:
        """A result of all steps, its steps along an axis; in row-major order, as `stack` makes it."""
        value = cast(SSAValue, self.results[neurons, result])
        if not axis:
            return value
        order = *range(1, axis + 1), 0, *range(axis + 1, len(shape(value)))
        permuted = moved("aten.permute.default", value, [shape(value)[i] for i in order], order)
        turned = permuted.results[0]
        layout = (("memory_format", Name("torch.contiguous_format")),)
        self.inserted += [permuted, CallOp("aten.clone.default", Template((Ref(0),), layout), [turned], [turned.type])]
        return self.inserted[-1].results[0]

    def stacked(self, op: Operation) -> tuple[int, int, int] | None:
        """Neurons and result that a call stacks for all steps in order, and the axis; None of others."""
        if not isinstance(op, CallOp) or target(op) != "aten.stack.default":
            return None
        given, axis = op.template.data.args[0], op.template.data.get(1, "dim", 0)
        leaves = given if isinstance(given, tuple) else ()
        places = [self.loop.places.get(op.operands[leaf.index]) for leaf in leaves if isinstance(leaf, Ref)]
        first = places[0] if places else None
        if first is None or not isinstance(axis, int):
            return None
        if places != [(first[0], first[1], step) for step in range(self.loop.count)]:
            return None
        return first[0], first[1], axis % len(shape(op.results[0]))
