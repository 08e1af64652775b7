"""A schedule put into the text of a function: ops in its order, recomputations as ops, frees where it says.

    schedule   a.0   y.0   free a.0   ..   a.1   d.0 = f(a.1)   free a.1

    %a = ..  {remat.name = "a"}
    %y = f(%a)                                                      a.0 goes after its last reader: no word is needed
    %b = ..  {remat.of = "a", remat.life = 1}
    %d = f(%b)

A storage that is to be held beyond its last reader goes at a `remat.free`. What moves to the second tier is offloaded
and fetched between the ops where the schedule has it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from xdsl.dialects.builtin import StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue

from ..dialects.diagnostics import UserError
from ..dialects.remat import LIFE, NAME, OF, WINDOW, FreeOp, is_recomputation, set_number, text_of
from ..dialects.tier import MOVES, FetchedOp, FetchOp, OffloadedOp, OffloadOp, link_of
from .analysis.training_graph import ENDS, TrainingGraph, again, training_graph
from .solvers.recompute_graph import INPUT, Graph, Move, Schedule, Step, Turn, turns

Storage = tuple[int, int]


def keep_everything(function: FuncOp) -> None:
    """Take all recomputations, moves and frees out of `function`: every op reads what was computed first."""
    originals: dict[str, Operation] = {}
    moves = list[Operation]()
    for op in list(function.body.block.ops):
        if (name := text_of(op, NAME)) is not None:
            originals[name] = op
        if is_recomputation(op):
            for result, first in zip(op.results, originals[text_of(op, OF) or ""].results, strict=True):
                result.replace_all_uses_with(first)
        if isinstance(op, FetchedOp):
            op.value.replace_all_uses_with(op.fetch.offload.value)
        if is_recomputation(op) or isinstance(op, FreeOp):
            op.detach()
            op.erase()
        elif isinstance(op, MOVES):
            moves.append(op)
    for op in reversed(moves):
        op.detach()
        op.erase()


def apply_schedule(function: FuncOp, training: TrainingGraph, schedule: Schedule) -> None:
    """Let `function`, of which `training` is the graph, run as `schedule` says. It holds no recomputation yet.

    Raises UserError for a schedule that gives back what is read later.
    """
    values = {
        (index, 0): training.values[index] for index, v in enumerate(training.graph.values) if v.producer == INPUT
    }
    end = next(op for op in function.body.block.ops if isinstance(op, ENDS))
    placed: list[Operation] = []
    acts, mover = turns(schedule.moves), Mover(function, end, values)
    for at, (step, air) in enumerate(zip(schedule.steps, in_the_air(training.graph, schedule), strict=True)):
        for turn, move in acts.get(at, ()):
            mover.act(turn, move)
        op = place(training, step, values, end)
        if air and step.life:
            set_number(op, WINDOW, air[0][0])
        placed.append(op)
    hold(function, training, schedule, placed, values)


def place(training: TrainingGraph, step: Step, values: dict[Storage, SSAValue], end: Operation) -> Operation:
    """Put one computation of an op before `end`; `values` of each life learns its results."""
    original, node = training.ops[step.op], training.graph.ops[step.op]
    if step.life:
        op = again(original)
        original.attributes[NAME] = StringAttr(node.name)
        op.attributes.pop(NAME, None)
        op.attributes[OF] = StringAttr(node.name)
        set_number(op, LIFE, step.life)
        op.location = original.location
    else:
        op = original
        op.detach()
    block = end.parent_block()
    assert block is not None
    block.insert_op_before(op, end)
    op.operands = [values[value, life] for value, life in zip(node.reads, step.reads, strict=True)]
    values.update(zip(((value, step.life) for value in node.results), op.results, strict=True))
    return op


@dataclass
class Mover:
    """Puts what moves before `end`; `values` of each life learns what comes back."""

    function: FuncOp
    end: Operation
    values: dict[Storage, SSAValue]
    begun: dict[Move, OffloadOp] = field(default_factory=dict)
    coming: dict[Move, FetchOp] = field(default_factory=dict)

    def act(self, turn: Turn, move: Move) -> None:
        """What a move does."""
        match turn:
            case Turn.LEAVE:
                link = link_of(self.function)
                assert link is not None
                op = self.begun[move] = OffloadOp(self.values[move.value, move.life], link.place)
            case Turn.GONE:
                op = OffloadedOp(self.begun[move].away, self.begun[move].value)
            case Turn.COME:
                op = self.coming[move] = FetchOp(self.begun[move].away, move.into)
            case Turn.THERE:
                op = FetchedOp(self.coming[move].pending)
                self.values[move.value, move.into] = op.value
        owner = op.value.owner if isinstance(op, OffloadOp) else self.begun[move]
        op.location = owner.location if isinstance(owner, Operation) else op.location
        block = self.end.parent_block()
        assert block is not None
        block.insert_op_before(op, self.end)


def in_the_air(graph: Graph, schedule: Schedule) -> Iterator[tuple[tuple[int, int], ...]]:
    """As each step begins: the windows that are open, each with the life of its start, the oldest first."""
    air: list[tuple[int, int]] = []
    for step in schedule.steps:
        op = graph.ops[step.op]
        air = [opened for opened in air if opened[0] != op.waits]
        yield tuple(air)
        if op.starts is not None:
            air.append((op.starts, step.life))


def hold(
    function: FuncOp,
    training: TrainingGraph,
    schedule: Schedule,
    placed: list[Operation],
    values: dict[Storage, SSAValue],
) -> None:
    """Free what the schedule holds beyond its last reader where it says so."""
    graph, found, number = training.graph, training_graph(function), {v: i for i, v in enumerate(training.values)}
    own = {(number[found.values[v]], life): at for (v, life), at in positions(found.schedule).items()}
    wanted = positions(schedule)
    for storage in sorted(own.keys() | wanted.keys()):
        last, asked = own.get(storage, len(placed)), wanted.get(storage, len(placed) - 1)
        if asked < last:
            raise read_later(graph, schedule, storage, asked, last)
        if asked > last and graph.values[storage[0]].size:
            following = placed[asked].next_op
            assert following is not None
            assert following.parent is not None
            following.parent.insert_op_before(FreeOp([values[storage]]), following)


def read_later(graph: Graph, schedule: Schedule, storage: Storage, asked: int, last: int) -> UserError:
    """The error for a schedule that gives a storage back too early."""
    names = [graph.ops[step.op].name for step in schedule.steps]
    made = graph.ops[graph.values[storage[0]].producer].name
    reader = f"'{names[last]}' reads it" if last < len(names) else "the step returns it"
    message = f"the schedule gives back what '{made}' made (life {storage[1]}) after '{names[asked]}', but {reader}"
    return UserError(message, hint="free it after its last reader")


def positions(schedule: Schedule) -> dict[Storage, int]:
    """The step after which each storage is given back."""
    return {storage: position for position, step in enumerate(schedule.steps) for storage in step.frees}
