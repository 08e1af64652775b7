"""A function as a graph with costs and a schedule of it: what its text says runs when, and which copy is read.

    %a = aten.call "aten.gelu.default"(%x)                         graph      a = gelu(x)   b = sum(a)   c = mul(a, b)
    %b = aten.call "aten.sum.default"(%a)                  ->      schedule   a.0   b.0, free a.0   a.1   c.0, free a.1
    %a1 = aten.call "aten.gelu.default"(%x) {remat.of = "a"}
    %c = aten.call "aten.mul.Tensor"(%a1, %b)

Ops are those that are no recomputations, in the order of the text. A storage goes after its last reader, or at a
`remat.free` below it. Offloads and fetches (`tier`) are moves of the schedule. Updates are done when the function
returns, and so their values are outputs, as results are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, count

from xdsl.dialects.builtin import ComplexType, IntegerAttr, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.traits import IsolatedFromAbove

from ...dialects.aten import AssignOp, CallOp, ParameterOp, UpdateOp
from ...dialects.comm import Start, WaitOp, window_of
from ...dialects.diagnostics import UserError, place_of
from ...dialects.random_calls import is_draw, replay
from ...dialects.remat import (
    BYTES,
    LAYER,
    LIFE,
    NAME,
    OF,
    PHASE,
    WORKSPACE,
    FreeOp,
    is_recomputation,
    number_of,
    seconds_of,
    text_of,
)
from ...dialects.template import Name
from ...dialects.tier import MOVES, FetchedOp, OffloadedOp, link_of
from ..solvers.recompute_graph import INPUT, Graph, Op, Phase, Schedule, Step, Tier, Value, Window
from .calls import target
from .moves import Moves
from .storages import may_write, overwritten, storages, tensor_bytes, why_fixed

ENDS = (UpdateOp, AssignOp, ReturnOp)
"""Done when the function returns."""


@dataclass(frozen=True)
class TrainingGraph:
    """A graph, the ops and values of the function that it stands for, and the order in which the function runs them."""

    graph: Graph
    ops: tuple[Operation, ...]
    values: tuple[SSAValue, ...]
    schedule: Schedule


@dataclass
class Reader:
    """Reads a function op by op. `lives`: of each value of the text, the value of the graph and its life; `homes`: of
    each, the value and life that own its storage, None where it is there before the step and after it."""

    function: FuncOp
    ops: list[Operation] = field(default_factory=list)
    values: list[SSAValue] = field(default_factory=list)
    nodes: list[Op] = field(default_factory=list)
    costs: list[Value] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    opened: dict[Operation, int] = field(default_factory=dict)
    lives: dict[SSAValue, tuple[int, int]] = field(default_factory=dict)
    homes: dict[SSAValue, tuple[int, int] | None] = field(default_factory=dict)
    last: dict[tuple[int, int], int] = field(default_factory=dict)
    named: dict[str, int] = field(default_factory=dict)
    reserved: set[str | None] = field(default_factory=set)
    moves: Moves = field(default_factory=Moves)
    phase: Phase = Phase.FORWARD

    def read(self) -> TrainingGraph:
        """The whole function."""
        if len(self.function.body.blocks) != 1:
            raise UserError("a training step is a function of one block", place=place_of(self.function))
        changed = overwritten(self.function)
        self.reserved = {text_of(op, NAME) for op in self.function.body.block.ops}
        weights = [op.value for op in self.function.body.block.ops if isinstance(op, ParameterOp)]
        for value in (*self.function.args, *weights):
            self.given(value)
        for op in self.function.body.block.ops:
            if isinstance(op, FreeOp):
                self.touch(op.values)
            elif isinstance(op, MOVES):
                self.move(op)
            elif is_recomputation(op):
                self.repeat(op)
            elif not isinstance(op, (ParameterOp, *ENDS)):
                self.add(op, changed)
        outputs = [value for op in self.function.body.block.ops if isinstance(op, ENDS) for value in op.operands]
        graph = Graph(
            ops=tuple(self.nodes),
            values=tuple(self.costs),
            outputs=tuple(dict.fromkeys(self.lives[value][0] for value in outputs)),
            windows=tuple(self.windows),
            static=sum(static_bytes(self.function)),
            tier=tier_of(self.function),
        )
        kept = {self.homes[value] for value in outputs}
        schedule = Schedule(tuple(self.freed(kept)), self.moves.all())
        return TrainingGraph(graph, tuple(self.ops), tuple(self.values), schedule)

    def given(self, value: SSAValue) -> None:
        """A value that is there before the step."""
        self.lives[value], self.homes[value] = (len(self.values), 0), None
        self.values.append(value)
        self.costs.append(Value(INPUT))

    def add(self, op: Operation, changed: set[SSAValue]) -> None:
        """An op that is no recomputation."""
        reads, index, first = self.reads(op), len(self.ops), len(self.values)
        for value in [value for value, _ in reads] if may_write(op) else ():
            self.costs[value] = replace(self.costs[value], bound=True)
        if isinstance(op, CallOp) and is_draw(op):
            self.costs[reads[0][0]] = replace(self.costs[reads[0][0]], replayed=index)
        self.phase = Phase(text_of(op, PHASE) or self.phase)
        fixed = why_fixed(op) or ("reads what is written in place" if changed.intersection(op.operands) else "")
        self.ops.append(op)
        for place in storages(op):
            kind, number = place.kind.data, place.number.data
            base = {"new": None, "result": first + number}.get(kind, -1)
            if base == -1:
                base = self.lives[op.operands[number]][0]
            result = op.results[len(self.values) - first]
            self.values.append(result)
            self.costs.append(
                Value(index, number if kind == "new" else 0, base, bound=result in changed or not is_plain(result))
            )
        node = Op(
            name=self.name(op),
            reads=tuple(value for value, _ in reads),
            results=tuple(range(first, len(self.values))),
            phase=self.phase,
            time=seconds_of(op) or 0.0,
            layer=number_of(op, LAYER),
            workspace=number_of(op, WORKSPACE) or 0,
            fixed=fixed,
            starts=self.open(op) if isinstance(op, Start) else None,
            waits=self.opened[op.start] if isinstance(op, WaitOp) else None,
        )
        self.named[node.name] = index
        self.nodes.append(node)
        self.step(op, index, 0, reads)

    def open(self, start: Start) -> int:
        """The window that a collective opens: one of no time where nobody measured it."""
        seconds, efficiency = window_of(start) or (0.0, 1.0)
        self.opened[start] = len(self.windows)
        self.windows.append(Window(seconds, efficiency, start.group.data))
        return self.opened[start]

    def name(self, op: Operation) -> str:
        """What an op is called, like nothing else."""
        wish = text_of(op, NAME)
        if wish is None:
            hint = next((result.name_hint for result in op.results if result.name_hint), None)
            base = hint or target(op) or op.name
            wishes = chain([base], (f"{base}#{number}" for number in count(len(self.ops))))
            return next(wish for wish in wishes if wish not in self.named and wish not in self.reserved)
        if wish in self.named:
            raise UserError(f"two ops are called '{wish}'", place=place_of(op), hint=f"`{NAME}` names one op")
        return wish

    def repeat(self, op: Operation) -> None:
        """A recomputation. Raises UserError where it is not the op that it claims to be."""
        name, life, reads = text_of(op, OF), number_of(op, LIFE), self.reads(op)
        index = self.named.get(name or "")
        if index is None or life is None or life < 1:
            message = f"a recomputation names an op above it and a life from 1 on, got '{name}' and {life}"
            raise UserError(message, place=place_of(op))
        original = self.ops[index]
        if not same_computation(op, original) or tuple(value for value, _ in reads) != self.nodes[index].reads:
            raise UserError(f"this is no recomputation of '{name}': it computes something else", place=place_of(op))
        self.step(op, index, life, reads)

    def reads(self, op: Operation) -> list[tuple[int, int]]:
        """The values and lives that `op` reads."""
        if op.regions and not op.has_trait(IsolatedFromAbove):
            raise UserError(f"{op.name} cannot be scheduled: its regions read values around them", place=place_of(op))
        return [self.lives[value] for value in op.operands]

    def step(self, op: Operation, index: int, life: int, reads: list[tuple[int, int]]) -> None:
        """One computation of an op."""
        values = self.nodes[index].results
        for result, value, place in zip(op.results, values, storages(self.ops[index]), strict=True):
            self.lives[result] = (value, life)
            match place.kind.data:
                case "new":
                    self.homes[result] = (value, life)
                case "operand":
                    self.homes[result] = self.homes[op.operands[place.number.data]]
                case _:
                    self.homes[result] = self.homes[op.results[place.number.data]]
        self.steps.append(Step(index, life, tuple(life for _, life in reads)))
        self.touch((*op.operands, *op.results))

    def move(self, op: Operation) -> None:
        """A storage on its way: it is needed until it is gone, and what comes back is a life of its own."""
        back = self.moves.read(op, len(self.steps), self.lives)
        if isinstance(op, OffloadedOp):
            self.touch((op.value,))
        elif isinstance(op, FetchedOp):
            self.lives[op.value] = self.homes[op.value] = back
            self.touch((op.value,))

    def touch(self, values: tuple[SSAValue, ...]) -> None:
        """The storages of `values` are needed up to now."""
        for value in values:
            if (home := self.homes[value]) is not None:
                self.last[home] = len(self.steps) - 1

    def freed(self, kept: set[tuple[int, int] | None]) -> Iterator[Step]:
        """The steps with what each gives back."""
        frees: dict[int, list[tuple[int, int]]] = {}
        for home, position in self.last.items():
            if home not in kept:
                frees.setdefault(position, []).append(home)
        for position, step in enumerate(self.steps):
            yield Step(step.op, step.life, step.reads, tuple(sorted(frees.get(position, ()))))


def is_plain(value: SSAValue) -> bool:
    """A tensor of real numbers: its bytes are all there is to it."""
    return isinstance(value.type, TensorType) and not isinstance(value.type.element_type, ComplexType)


def tier_of(function: FuncOp) -> Tier | None:
    """Where the storages of `function` may go."""
    link = link_of(function)
    return link and Tier(link.out, link.back, link.latency, link.efficiency)


def again(op: Operation) -> Operation:
    """Another computation of `op`: the same op, or the replay of a draw."""
    if not (isinstance(op, CallOp) and is_draw(op)):
        return op.clone()
    state = op.operands[0].owner
    device = state.template.data.args[0] if isinstance(state, CallOp) else None
    if not isinstance(device, Name) or device.argument is None:
        raise UserError("a draw reads a state of the random stream", place=place_of(op), hint="see split-random-ops")
    return replay(op, device.argument)


def same_computation(op: Operation, original: Operation) -> bool:
    """Would `op` compute what `original` does, of the same operands?"""

    def meaning(op: Operation) -> tuple[object, ...]:
        plain = {name: value for name, value in op.attributes.items() if not name.startswith(("remat.", "train."))}
        return op.name, op.properties, plain, op.result_types, len(op.regions)

    expected = again(original) if isinstance(original, CallOp) and is_draw(original) else original
    regions = zip(op.regions, expected.regions, strict=False)
    equal = meaning(op) == meaning(expected) and all(one.is_structurally_equivalent(two) for one, two in regions)
    if expected is not original:
        expected.erase()
    return equal


def static_bytes(function: FuncOp) -> Iterator[int]:
    """Bytes of each argument, and of each weight that is read."""
    attributes = function.arg_attrs.data if function.arg_attrs is not None else ()
    for index, argument in enumerate(function.args):
        yield bytes_of(argument, attributes[index].data.get(BYTES) if attributes else None)
    weights = {op.weight: op for op in function.body.block.ops if isinstance(op, ParameterOp)}
    for op in weights.values():
        yield bytes_of(op.value, op.attributes.get(BYTES))


def bytes_of(value: SSAValue, written: Attribute | None) -> int:
    """Bytes of a value that is there before the step: as written, else those of its elements."""
    found = written.value.data if isinstance(written, IntegerAttr) else tensor_bytes(value)
    if found is None:
        raise UserError(f"the bytes of a value of type {value.type} are not known", hint=f"write them as `{BYTES}`")
    return found


def training_graph(function: FuncOp) -> TrainingGraph:
    """The graph of `function`, and the schedule that its text is.

    Raises UserError where bytes are not known, or a recomputation does not repeat its op.
    """
    return Reader(function).read()
