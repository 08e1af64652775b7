"""A loop over time that was unrolled, rolled into one scan.

    %i0 = linear(select(%x, 0, 0), %w)
    %z0, %v0 = neuron_step(%i0, %zeros)               %xs = %x
    %i1 = linear(select(%x, 0, 1), %w)          ->    %s, %zs = scan(region<0>, [%zeros], [%xs], [%w]) {
    %z1, %v1 = neuron_step(%i1, %v0)                    %i = linear(%x, %w)   %z, %v = neuron_step(%i, %v)
    %out = stack([%z0, %z1], 0)                         yield(%v, %z) }
                                                      %out = %zs

Legal where every step is the same, weights included, and states go from step to step (`analysis/repetition.py`); else
an error at the call that differs. Bitwise: a step computes what it computed. What comes after the neurons (readouts,
sums over steps) stays outside, and reads the stacked results. What no step reads anew is computed in each step; where
they read nothing anew, what they are given is repeated for them. The graph no longer grows with the number of steps;
linear in its size. A function whose neurons are stepped once stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Block, BlockArgument, Operation, OpResult, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.traits import is_side_effect_free
from xdsl.transforms.common_subexpression_elimination import cse
from xdsl.transforms.dead_code_elimination import region_dce

from ..dialects.aten import CallOp, ScalarType, YieldOp, dims, tensor_of, tensor_type
from ..dialects.diagnostics import UserError, place_of
from ..dialects.template import Argument, Ref, RegionRef, Template
from .analysis.calls import shape
from .analysis.repetition import HINT, Carried, Repetition, Slice, chains, copied, repetition
from .analysis.starts import start_number
from .stacked_results import Listed, Results, StackedResults, call, moved


class Rolling:
    """Rolls the loop of a block."""

    def __init__(self, block: Block, loop: Repetition):
        self.block, self.loop = block, loop
        self.inserted: list[Operation] = []
        self.inside: dict[SSAValue, SSAValue] = {}
        self.body = Block()

    def roll(self) -> None:
        """Put the scan in place of the steps."""
        live = self.live()
        read = self.read(live)
        carried = self.carried()
        starts = [self.start(key) for key in carried]
        sequences, items, more = self.operands()
        for key in carried:
            value = self.loop.steps[key[0]][-1].results[key[1]]
            argument = self.argument(value.type)
            self.inside |= {v: argument for v, k in self.loop.carried.items() if k == key}
            carried[key] = argument
        for values, sequence in zip(items, sequences, strict=True):
            argument = self.argument(tensor_type(tensor_of(sequence).element_type, dims(sequence.type)[1:]))
            self.inside |= dict.fromkeys(values, argument)
        for value in more:
            self.inside[value] = self.argument(value.type)
        self.fill_body()
        self.finish(carried, starts, sequences, more, read)
        self.replace(read, live)

    def argument(self, type: Attribute) -> BlockArgument:
        """A further argument of a step."""
        return self.body.insert_arg(type, len(self.body.args))

    def live(self) -> list[Operation]:
        """What is computed from the neurons' results, and read, outside of the steps; in order."""
        found: set[Operation] = set()
        neurons = {neuron for chain in self.loop.steps for neuron in chain}
        todo = [op for op in self.block.ops if not op.results or not is_side_effect_free(op)]
        while todo:
            op = todo.pop()
            if op in found or op in neurons:
                continue
            found.add(op)
            todo += [value.op for value in op.operands if isinstance(value, OpResult)]
        return [op for op in self.block.ops if op in found and any(v in self.loop.dependent for v in op.operands)]

    def read(self, live: Sequence[Operation]) -> Results:
        """Which results of which neurons are read outside."""
        places = (self.loop.places.get(operand) for op in live for operand in op.operands)
        return dict.fromkeys(sorted({(place[0], place[1]) for place in places if place}))

    def carried(self) -> dict[Carried, SSAValue]:
        """What goes from step to step: for a value of k steps ago those of fewer steps ago too."""
        keys = {(i, j, k) for i, j, ago in self.loop.carried.values() for k in range(1, ago + 1)}
        return {key: self.loop.starts[key] for key in sorted(keys)}

    def start(self, key: Carried) -> SSAValue:
        """What a carried value is before the first step."""
        value, neuron = self.loop.starts[key], self.loop.steps[key[0]][-1]
        if value not in self.loop.dependent and shape(value) == shape(neuron.results[key[1]]):
            return value
        number = start_number(value)
        if number is None:
            raise UserError("a state does not start from a number, nor from what is there before the first step",
                            place=place_of(neuron), hint=HINT)  # fmt: skip
        return self.filled(number, neuron.results[key[1]], place_of(neuron))

    def filled(self, number: float, like: SSAValue, place: object) -> SSAValue:
        """A tensor of one number, of the shape of what neurons leave."""
        first, sizes, listed = self.loop.steps[0][0], [], Listed()
        given = [a for a in self.block.args if isinstance(a.type, TensorType)]
        source = next((a for a in given if a.type.element_type == tensor_of(like).element_type), None)  # pyright: ignore
        if source is None:
            raise UserError("no input is of the type of these neurons' states", place=place_of(first))
        refs: list[Argument] = [listed(source)]
        for size in shape(like):
            if isinstance(size, int):
                sizes.append(size)
                continue
            owner, axis = next(((a, i) for a in given for i, s in enumerate(shape(a)) if s == size), (None, 0))
            if owner is None:
                raise UserError(f"the size {size} of these neurons is that of no input", place=place_of(first))
            length = call("aten.sym_size.int", owner, ScalarType(StringAttr("int"), StringAttr(str(size))), axis)
            self.inserted.append(length)
            sizes.append(listed(length.results[0]))
        op = CallOp("aten.new_full.default", Template((*refs, tuple(sizes), number)), listed.operands, [like.type])
        self.inserted.append(op)
        return op.results[0]

    def operands(self) -> tuple[list[SSAValue], list[list[SSAValue]], list[SSAValue]]:
        """The sequences, the values of the last step that are their items, and what is the same in every step."""
        items: dict[Slice, list[SSAValue]] = {}
        for value, found in self.loop.slices.items():
            items.setdefault(found, []).append(value)
        roots = self.roots()
        if items:
            return [self.sequence(found) for found in items], list(items.values()), roots
        repeated = [v for v in roots if not isinstance(v.owner, Operation) and isinstance(v.type, TensorType)]
        if not repeated:
            raise UserError("no step reads an input", place=place_of(self.loop.steps[0][0]))
        rest = [value for value in roots if value not in repeated]
        return list(map(self.repeat, repeated)), [[value] for value in repeated], rest

    def roots(self) -> list[SSAValue]:
        """What the body is computed from and is the same in every step: weights, arguments, what has effects."""
        found: dict[SSAValue, None] = {}
        self.pulled: set[Operation] = set()
        todo = list(self.loop.leaves)
        while todo:
            value = copied(todo.pop(0))
            op = value.owner
            if isinstance(op, CallOp) and not op.regions and op.operands and is_side_effect_free(op):
                self.pulled.add(op)
                todo += op.operands
            else:
                found[value] = None
        return list(found)

    def sequence(self, found: Slice) -> SSAValue:
        """What a slice is an item of, its items along axis 0."""
        value, sizes = found.base, list(shape(found.base))
        if found.axis:
            order = [found.axis, *(i for i in range(len(sizes)) if i != found.axis)]
            sizes = [sizes[i] for i in order]
            value = self.insert("aten.permute.default", value, sizes, tuple(order))
        if found.first or sizes[0] != self.loop.count:
            ends = found.first, found.first + self.loop.count
            value = self.insert("aten.slice.Tensor", value, [self.loop.count, *sizes[1:]], 0, *ends)
        return value

    def repeat(self, value: SSAValue) -> SSAValue:
        """A value once for each step."""
        sizes = list(shape(value))
        value = self.insert("aten.unsqueeze.default", value, [1, *sizes], 0)
        many = (self.loop.count, *(-1 for _ in sizes))
        return self.insert("aten.expand.default", value, [self.loop.count, *sizes], many)

    def insert(self, name: str, value: SSAValue, sizes: Sequence[int | str], *more: Argument) -> SSAValue:
        """A call before the scan."""
        self.inserted.append(moved(name, value, sizes, *more))
        return self.inserted[-1].results[0]

    def fill_body(self) -> None:
        """The last step, as the function of the scan."""
        last = [chain[-1] for chain in self.loop.steps]
        compared = {v.op for v in self.loop.pairs[0] if isinstance(v, OpResult) and v not in self.inside}
        steps = {neuron for chain in self.loop.steps for neuron in chain}
        wanted = (compared - steps) | {*last} | self.pulled
        for op in self.block.ops:
            if op not in wanted or all(copied(v) in self.inside for v in op.results):
                continue
            clone = op.clone({operand: self.inside[copied(operand)] for operand in op.operands})
            clone.location = op.location
            self.body.add_op(clone)
            self.inside |= dict(zip(op.results, clone.results, strict=True))

    def finish(
        self,
        carried: dict[Carried, SSAValue],
        starts: Sequence[SSAValue],
        sequences: Sequence[SSAValue],
        more: Sequence[SSAValue],
        read: Results,
    ) -> None:
        """End the body, and make the scan; `read` gets its stacked results."""
        kept = [carried[i, j, ago - 1] if ago > 1 else self.result(i, j) for i, j, ago in carried]
        given = [self.result(*key) for key in read]
        results = Listed()
        for value in (*kept, *given):
            copy = call("aten.clone.default", value, value.type)
            self.body.add_op(copy)
            results.operands.append(copy.results[0])
        self.body.add_op(YieldOp(Template(tuple(map(Ref, range(len(results.operands))))), results.operands))
        listed = Listed()
        parts = tuple(map(listed.all, (starts, sequences, more)))
        types = [*(v.type for v in kept), *(tensor_type(tensor_of(v).element_type, [self.loop.count, *dims(v.type)])
                                            for v in given)]  # fmt: skip
        scan = CallOp("scan", Template((RegionRef(0), *parts)), listed.operands, types,
                      regions=[Region(self.body)], unpack=True)  # fmt: skip
        scan.location = self.loop.steps[0][0].location
        self.inserted.append(scan)
        read.update(zip(read, scan.results[len(kept) :], strict=True))

    def result(self, neurons: int, index: int) -> SSAValue:
        """A result of neurons inside the body."""
        return self.inside[self.loop.steps[neurons][-1].results[index]]

    def replace(self, read: Results, live: Sequence[Operation]) -> None:
        """Put the scan after the last step, and after it what reads its results."""
        order = {op: place for place, op in enumerate(self.block.ops)}
        last = max((chain[-1] for chain in self.loop.steps), key=order.__getitem__)
        early = [op for op in live if order[op] < order[last]]
        if odd := next((op for op in early if not is_side_effect_free(op)), None):
            raise UserError("a call with effects stands between the steps", place=place_of(odd), hint=HINT)
        for op in early:
            op.detach()
        results = StackedResults(self.loop, read)
        for op in live:
            results.give(op)
        self.block.insert_ops_after([*self.inserted, *results.inserted, *early], last)


@dataclass(frozen=True)
class RollSteps(ModulePass):
    """See above."""

    name = "roll-steps"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in [o for o in op.ops if isinstance(o, FuncOp)]:
            block = function.body.block
            if any(len(chain) > 1 for chain in chains(block)):
                cse(function)
            if (loop := repetition(block)) is not None:
                Rolling(block, loop).roll()
                region_dce(function.body)
