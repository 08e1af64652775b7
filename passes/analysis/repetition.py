"""Steps of neurons that a program repeats: what each step does, what it reads anew, what it carries to the next.

    %i0 = linear(select(%x, 0, 0), %w)   %z0, %v0 = neuron_step(%i0, %zeros)
    %i1 = linear(select(%x, 0, 1), %w)   %z1, %v1 = neuron_step(%i1, %v0)
    %i2 = linear(select(%x, 0, 2), %w)   %z2, %v2 = neuron_step(%i2, %v1)

    steps    [[neuron_step 0, neuron_step 1, neuron_step 2]]
    slices   select(%x, 0, 2) is item 2 of %x along axis 0
    carried  %v1 is state 1 of neurons 0 of a step before; before the first step it is %zeros

Neurons are the anchors: steps of the same are found by their states. What leads to a step's neurons is compared with
what leads to those of the last step, value by value; the last is the pattern. Linear in what is compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from xdsl.ir import Block, Operation, OpResult, SSAValue

from ...dialects.aten import CallOp, ParameterOp
from ...dialects.diagnostics import UserError, place_of
from .calls import argument, integer, shape, target

STEP = "gossamer.neuron_step.default"
SLICE = "aten.slice.Tensor"
COPIES = ("aten.clone.default", "aten.alias.default", "aten._to_copy.default", "aten.detach.default",
          SLICE)  # fmt: skip
HINT = "each step of a loop does the same, with the states that the last step left"

Place = tuple[int, int, int]
"""Of a value that neurons give: which neurons, which result, in which step."""
Carried = tuple[int, int, int]
"""Of a value of an earlier step: which neurons, which result, how many steps ago."""


@dataclass(frozen=True)
class Slice:
    """Item `first` + step of `base` along `axis`."""

    base: SSAValue
    axis: int
    first: int


def copied(value: SSAValue) -> SSAValue:
    """What a value is a copy of, or a slice of all of it; of the same type of numbers."""
    while isinstance(value, OpResult) and target(value.op) in COPIES and alike(value, value.op.operands[0]):
        value = value.op.operands[0]
    return value


def alike(one: SSAValue, other: SSAValue) -> bool:
    """Are two values tensors of the same type of numbers and of the same sizes, which are known for a slice?"""
    elements = [getattr(value.type, "element_type", None) for value in (one, other)]
    if elements[0] is None or elements[0] != elements[1]:
        return False
    return target(one.owner) != SLICE or (shape(one) == shape(other) and "?" not in shape(one))  # pyright: ignore


def states(neuron: CallOp) -> list[SSAValue]:
    """The states that a neuron step is given."""
    found = argument(neuron, 1, "states")
    return [value for value in found if isinstance(value, SSAValue)] if isinstance(found, tuple) else []


def chains(block: Block) -> list[list[CallOp]]:
    """Steps of the same neurons, one after another. Raises UserError where two go on from one."""
    neurons = [op for op in block.ops if isinstance(op, CallOp) and target(op) == STEP]
    found: dict[Operation, list[CallOp]] = {}
    for neuron in neurons:
        before = [copied(state) for state in states(neuron)]
        owner = before[0].owner if before else None
        goes_on = [*before] == [*owner.results[1:]] if isinstance(owner, CallOp) and target(owner) == STEP else False
        if not goes_on or owner not in found:
            found[neuron] = [neuron]
            continue
        chain = found[owner]  # pyright: ignore[reportArgumentType]
        if chain[-1] is not owner:
            raise UserError("two steps go on from the same states", place=place_of(neuron), hint=HINT)
        chain.append(neuron)
        found[neuron] = chain
    return list({id(chain): chain for chain in found.values()}.values())


@dataclass
class Repetition:
    """A loop: `steps` of each neurons. `pairs` are, of each step but the last, its values by those of the last."""

    block: Block
    steps: Sequence[Sequence[CallOp]]
    pairs: list[dict[SSAValue, SSAValue]] = field(init=False)
    places: dict[SSAValue, Place] = field(default_factory=dict)
    slices: dict[SSAValue, Slice] = field(default_factory=dict)
    carried: dict[SSAValue, Carried] = field(default_factory=dict)
    starts: dict[Carried, SSAValue] = field(default_factory=dict)
    leaves: dict[SSAValue, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places = {result: (i, j, t) for i, chain in enumerate(self.steps) for t, neuron in enumerate(chain)
                       for j, result in enumerate(neuron.results)}  # fmt: skip
        self.dependent = dependents(self.block, self.places)
        self.pairs = [{} for _ in range(self.count - 1)]
        for step in range(self.count - 1):
            for chain in self.steps:
                self.compare_neurons(chain[-1], chain[step], step)

    @property
    def count(self) -> int:
        """The number of steps."""
        return len(self.steps[0])

    def compare_neurons(self, last: CallOp, neuron: CallOp, step: int) -> None:
        """Compare a step of neurons with their last. Raises UserError where they differ."""
        if not same(last, neuron):
            raise UserError(f"these neurons are others in step {step} than in the last", place=place_of(neuron),
                            hint=HINT)  # fmt: skip
        todo = list(zip(last.operands, neuron.operands, strict=True))
        pairs = self.pairs[step]
        while todo:
            one, other = map(copied, todo.pop())
            if pairs.setdefault(one, other) is not other:
                raise self.differs(one, other, step)
            todo += self.behind(one, other, step)

    def behind(self, one: SSAValue, other: SSAValue, step: int) -> list[tuple[SSAValue, SSAValue]]:
        """What two values that stand for each other are made of."""
        if one in self.places:
            self.carry(one, other, step)
        elif found := slice_of(one, other, self.count - 1, step):
            if self.slices.setdefault(one, found) != found or found.base in self.dependent:
                raise self.differs(one, other, step)
        elif one is other and one not in self.dependent:
            self.leaves[one] = None
        elif (
            not isinstance(one, OpResult)
            or not isinstance(other, OpResult)
            or one.index != other.index
            or not same(one.op, other.op)
        ):
            raise self.differs(one, other, step)
        else:
            return list(zip(one.op.operands, other.op.operands, strict=True))
        return []

    def carry(self, one: SSAValue, other: SSAValue, step: int) -> None:
        """Let a value of neurons stand for that of as many steps before, or for what it starts from."""
        neurons, result, last = self.places[one]
        ago = self.count - 1 - last
        if ago:
            self.carried[one] = (neurons, result, ago)
        if ago <= step:
            if other is not self.steps[neurons][step - ago].results[result]:
                raise self.differs(one, other, step)
        elif self.starts.setdefault((neurons, result, ago - step), other) is not other:
            raise self.differs(one, other, step)

    def differs(self, one: SSAValue, other: SSAValue, step: int) -> UserError:
        """An error at what has no counterpart."""
        found = next((v.op for v in (other, one) if isinstance(v, OpResult)), None)
        names = [f"`{target(v.op) or v.op.name}`" if isinstance(v, OpResult) else "an argument" for v in (one, other)]
        return UserError(
            f"step {step} is not what the last step is: {names[1]} stands where that has {names[0]}"
            + (" of other values" if names[0] == names[1] else ""),
            place=place_of(found) if found else None,
            hint=HINT,
        )


def dependents(block: Block, values: dict[SSAValue, Place]) -> set[SSAValue]:
    """`values`, and what is computed from them."""
    found = set(values)
    for op in block.ops:
        if any(operand in found for operand in op.operands):
            found.update(op.results)
    return found


def same(one: Operation, other: Operation) -> bool:
    """Are two calls the same, but for their operands? One that has effects never is."""
    if not isinstance(one, CallOp) or not isinstance(other, CallOp) or one.regions or other.regions:
        return isinstance(one, ParameterOp) and isinstance(other, ParameterOp) and one.weight == other.weight
    plain = one.effects is None and other.effects is None
    return plain and one.target == other.target and one.template == other.template


def slice_of(one: SSAValue, other: SSAValue, last: int, step: int) -> Slice | None:
    """The sequence that two values are items of, as far apart as their steps; None where they are none."""
    items = item_of(one), item_of(other)
    if items[0] is None or items[1] is None or items[0][:2] != items[1][:2]:
        return None
    base, axis, index = items[0]
    return Slice(base, axis, index - last) if index - items[1][2] == last - step and index >= last else None


def item_of(value: SSAValue) -> tuple[SSAValue, int, int] | None:
    """The tensor that a value is an item of, along which axis, and which; None where it is none."""
    op = value.owner
    if not isinstance(op, CallOp) or not isinstance(value, OpResult):
        return None
    if target(op) == "aten.unbind.int":
        axis, index = integer(op, 1, "dim", 0), value.index
    elif target(op) == "aten.select.int":
        axis, index = integer(op, 1, "dim"), integer(op, 2, "index")
    else:
        return None
    if axis is None or index is None:
        return None
    base = copied(op.operands[0])
    return base, axis % len(shape(base)), index


def repetition(block: Block) -> Repetition | None:
    """The loop that a block holds unrolled; None where no neurons are stepped twice. Raises UserError where steps
    differ."""
    steps = chains(block)
    counts = [len(chain) for chain in steps]
    if max(counts, default=0) < 2:
        return None
    if min(counts) != max(counts):
        few = next(chain for chain in steps if len(chain) == min(counts))
        raise UserError(f"these neurons run for {min(counts)} steps, others for {max(counts)}",
                        place=place_of(few[0]), hint=HINT)  # fmt: skip
    return Repetition(block, steps)
