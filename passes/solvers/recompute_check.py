"""Is a schedule one of this graph, and what does it cost? Shares no code with what makes schedules.

| law                                                                                    | keeps out                |
|----------------------------------------------------------------------------------------|--------------------------|
| every op runs as life 0; each life of an op runs once                                  | dropped or doubled steps |
| a step reads lives that are alive                                                      | use after free           |
| a storage that does not leave the step is given back once, those that leave it never   | leaks, double frees      |
| ops that must not run twice run once, in base order                                    | a second draw or write   |
| communications of a group start in base order; each wait has a start of its own        | a deadlock between ranks |
| none is run again while another of its group is in the air                             | the same                 |
| a storage moves out, then back, as a life that nothing else makes                      | a fetch without a copy   |
| it is complete when it leaves, nothing may write it, and it is freed when it is gone   | lost writes, torn copies |
| what comes back is read and freed only when it is there                                | reads of what is not yet |
| the most bytes alive are within the budget                                             | out of memory            |

How long a schedule takes says `recompute_check_time.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from .recompute_check_time import elapsed
from .recompute_graph import INPUT, Graph, Move, Phase, Schedule, Step, Turn, turns


class ScheduleError(ValueError):
    """A schedule breaks a law: the op where, the law, what it asks and what was found."""

    def __init__(self, op: str, law: str, expected: str, found: str):
        self.op, self.law, self.expected, self.found = op, law, expected, found
        super().__init__(f"op '{op}': {law}: expected {expected}, found {found}")


@dataclass(frozen=True)
class Account:
    """What a schedule costs: bytes at most, seconds run again and seconds of moves, and of both together those exposed
    and hidden."""

    peak: int
    recomputed: float
    exposed: float
    hidden: float
    moving: float = 0.0


def check(graph: Graph, schedule: Schedule, budget: int | None = None) -> Account:
    """What the schedule costs, or a `ScheduleError`."""
    steps, moves = schedule.steps, schedule.moves
    for step in steps:
        if not 0 <= step.op < len(graph.ops):
            raise ScheduleError(str(step.op), "steps run ops of the graph", f"0 .. {len(graph.ops) - 1}", str(step.op))
    check_order(graph, steps)
    check_windows(graph, steps)
    for move in moves:
        check_move(graph, steps, move)
    alive = alive_at_each_step(graph, steps, moves)
    most, at = max(zip(alive, range(len(steps)), strict=True), default=(graph.static, 0))
    if budget is not None and most > budget:
        raise ScheduleError(graph.ops[steps[at].op].name, "the budget is met", f"at most {budget} bytes", f"{most}")
    base = elapsed(graph, [Step(op) for op in range(len(graph.ops))])
    again = [graph.ops[step.op] for step in steps if step.life]
    recomputed = sum(op.time + (0.0 if op.starts is None else graph.windows[op.starts].seconds) for op in again)
    exposed = max(0.0, elapsed(graph, steps, moves) - base)
    sizes = [graph.values[move.value].size for move in moves]
    moving = sum(graph.tier.leaving(size) + graph.tier.coming(size) for size in sizes) if graph.tier else 0.0
    return Account(most, recomputed, exposed, max(0.0, recomputed + moving - exposed), moving)


def check_move(graph: Graph, steps: tuple[Step, ...], move: Move) -> None:
    """Whether something may move, and does so in order."""
    known = 0 <= move.value < len(graph.values)
    made = graph.values[move.value].producer if known else INPUT
    name = "" if made == INPUT else graph.ops[made].name
    if graph.tier is None or graph.in_flight > 1:
        found = "no tier" if graph.tier is None else f"{graph.in_flight} micro-batches"
        raise ScheduleError(name, "moves need a tier", "a tier, and one micro-batch in flight", found)
    value = graph.values[move.value] if known else None
    bound = any(v.bound for v, home in zip(graph.values, graph.storage, strict=True) if home == move.value)
    if made == INPUT or value is None or value.base is not None or bound or graph.ops[made].starts is not None:
        law = "what moves is a storage that an op makes and nothing binds"
        raise ScheduleError(name, law, "such a value", f"value {move.value}")
    places = (1, move.leaves, move.gone, move.comes, move.there, len(steps) - 1)
    if list(places) != sorted(places):
        law = "a storage goes before it comes back"
        raise ScheduleError(name, law, f"steps in ascending order up to {places[-1]}", f"{places[1:-1]}")


def check_order(graph: Graph, steps: Iterable[Step]) -> None:
    """Ops that must not run twice, and communications of a group, run once and in the graph's order."""
    last: dict[str, int] = {}
    for step in steps:
        op = graph.ops[step.op]
        if op.fixed and step.life:
            raise ScheduleError(op.name, f"an op that {op.fixed} runs once", "life 0", f"life {step.life}")
        group = "" if op.starts is None else graph.windows[op.starts].group
        for sequence in ["ops that run once"] * bool(op.fixed) + [f"communications of '{group}'"] * bool(group):
            if step.life == 0:
                before = last.get(sequence, step.op)
                if before > step.op:
                    law = f"{sequence} run in the graph's order"
                    raise ScheduleError(op.name, law, f"it before '{graph.ops[before].name}'", "it after")
                last[sequence] = step.op


def check_windows(graph: Graph, steps: Iterable[Step]) -> None:
    """Each communication has a start and a wait, and none of a group starts while another is in the air."""
    together = overlapping(graph)
    air: dict[int, Step] = {}
    for step in steps:
        op = graph.ops[step.op]
        if op.waits is not None:
            start = air.pop(op.waits, None)
            if start is None or start.life != step.life:
                found = "none in the air" if start is None else f"one of life {start.life}"
                raise ScheduleError(op.name, "a wait has a start of its own", f"a start of life {step.life}", found)
        if op.starts is None:
            continue
        for window, other in air.items():
            group = graph.windows[window].group
            apart = window == op.starts or (group and group == graph.windows[op.starts].group)
            if apart and (step.life or other.life or (other.op, step.op) not in together):
                name, law = graph.ops[other.op].name, f"communications of '{group}' do not overlap"
                raise ScheduleError(op.name, law, f"'{name}' to be waited for first", f"'{name}' in the air")
        air[op.starts] = step
    waited = {op.waits for op in graph.ops}
    for window, step in air.items():
        if window in waited:
            law = "what was started is waited for"
            raise ScheduleError(graph.ops[step.op].name, law, f"a wait of life {step.life}", "none")


def overlapping(graph: Graph) -> set[tuple[int, int]]:
    """The pairs of starts of which the second stands in the window of the first, as the graph has them."""
    air: dict[int, int] = {}
    found = set[tuple[int, int]]()
    for index, op in enumerate(graph.ops):
        if op.waits is not None:
            air.pop(op.waits, None)
        if op.starts is not None:
            found |= {(other, index) for other in air.values()}
            air[op.starts] = index
    return found


@dataclass
class Machine:
    """One micro-batch: which storages are alive, where each life of a value lives, and what became of the others."""

    graph: Graph
    sizes: list[int]
    alive: dict[tuple[int, int], int] = field(default_factory=dict)
    place: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    ended: dict[tuple[int, int], str] = field(default_factory=dict)
    ran: set[tuple[int, int]] = field(default_factory=set)
    leaving: set[tuple[int, int]] = field(default_factory=set)
    moving: dict[tuple[int, int], int] = field(default_factory=dict)
    bytes: int = 0
    at: int = 0

    def leave(self, move: Move) -> None:
        """A storage is on its way out after step `at`. `moving` says before which step that ends."""
        out = (move.value, move.life)
        if out not in self.alive or out not in self.place or out in self.moving:
            name, law = self.graph.ops[self.graph.values[move.value].producer].name, "a storage leaves once, complete"
            raise ScheduleError(name, law, f"life {move.life} there after step {self.at}", "it is not")
        self.moving[out] = move.gone

    def act(self, turn: Turn, move: Move) -> None:
        """What else a move does before step `at`."""
        name = self.graph.ops[self.graph.values[move.value].producer].name
        out, back = (move.value, move.life), (move.value, move.into)
        if turn is Turn.GONE:
            del self.moving[out]
            if out in self.alive:
                law = "a storage that is gone was given back"
                raise ScheduleError(name, law, f"a free after step {self.at - 1}", "none")
        elif turn is Turn.COME:
            self.settle(name, back, self.sizes[move.value])
        elif turn is Turn.THERE:
            self.place[back] = back

    def settle(self, op: str, home: tuple[int, int], size: int) -> None:
        """A new storage."""
        if home in self.alive or home in self.ended:
            law = "each life is made once"
            raise ScheduleError(op, law, f"one life {home[1]} of {self.name(home[0])}", "another")
        self.alive[home] = size
        self.bytes += size

    def run(self, step: Step, leaving: Iterable[Move] = ()) -> int:
        """Run a step, after which moves begin; the bytes alive meanwhile, without its workspace."""
        op = self.graph.ops[step.op]
        if (step.op, step.life) in self.ran:
            raise ScheduleError(op.name, "each life runs once", f"one step of life {step.life}", "another")
        self.ran.add((step.op, step.life))
        if len(step.reads) != len(op.reads):
            law = "a step says which life it reads of each operand"
            raise ScheduleError(op.name, law, f"{len(op.reads)} lives", f"{len(step.reads)}")
        for value, life in zip(op.reads, step.reads, strict=True):
            self.read(op.name, value, life)
        for value in op.results:
            self.make(op.name, value, step)
        meanwhile = self.bytes
        for move in leaving:
            self.leave(move)
        for storage in step.frees:
            self.free(op.name, storage)
        return meanwhile

    def name(self, value: int) -> str:
        producer = self.graph.values[value].producer
        of = "an input" if producer == INPUT else f"a result of '{self.graph.ops[producer].name}'"
        return f"value {value}, {of},"

    def read(self, op: str, value: int, life: int) -> None:
        if self.graph.values[value].producer == INPUT:
            if life:
                raise ScheduleError(op, "inputs have one life", "life 0", f"life {life} of {self.name(value)}")
            return
        home = self.place.get((value, life))
        if home is None:
            found = "which is not there yet" if (value, life) in self.alive else "which was not computed"
        elif home in self.alive or self.graph.values[home[0]].producer == INPUT:
            return
        else:
            found = f"whose storage was given back after '{self.ended[home]}'"
        found = f"life {life} of {self.name(value)} {found}"
        raise ScheduleError(op, "operands are alive", "an operand that is", found)

    def make(self, op: str, value: int, step: Step) -> None:
        base, reads = self.graph.values[value].base, self.graph.ops[step.op].reads
        home = (value, step.life)
        if base is None:
            self.settle(op, home, self.sizes[value])
        elif base in reads or base in self.graph.ops[step.op].results:
            life = step.reads[reads.index(base)] if base in reads else step.life
            home = self.place.get((base, life), (base, life))
        elif self.graph.values[base].producer != INPUT:
            raise ScheduleError(op, "a view is of an operand", self.name(base), "it is not read")
        self.place[value, step.life] = home
        if step.life == 0 and value in self.graph.outputs:
            self.leaving.add(home)

    def free(self, op: str, storage: tuple[int, int]) -> None:
        law, (value, life) = "a storage is given back once, while it is alive", storage
        if storage not in self.alive:
            found = "never computed" if storage not in self.ended else f"given back after '{self.ended[storage]}'"
            raise ScheduleError(op, law, f"life {life} of {self.name(value)} alive", found)
        if storage not in self.place:
            raise ScheduleError(op, "what is on its way is not given back", "a free when it is there", "one before")
        if self.moving.get(storage, self.at + 1) != self.at + 1:
            raise ScheduleError(
                op,
                "what leaves is given back when it is gone",
                f"a free before step {self.moving[storage]}",
                f"after step {self.at}",
            )
        if storage in self.leaving:
            raise ScheduleError(op, "outputs live to the end", f"life {life} of {self.name(value)} kept", "a free")
        self.bytes -= self.alive.pop(storage)
        self.ended[storage] = op

    def finish(self) -> None:
        for index, op in enumerate(self.graph.ops):
            if (index, 0) not in self.ran:
                raise ScheduleError(op.name, "every op runs", "a step of life 0", "none")
        for value, life in (storage for storage in self.alive if storage not in self.leaving):
            name = self.graph.ops[self.graph.values[value].producer].name
            law = "what does not leave is given back"
            raise ScheduleError(name, law, "a free", f"life {life} of value {value} alive at the end")


def alive_at_each_step(graph: Graph, steps: tuple[Step, ...], moves: tuple[Move, ...]) -> list[int]:
    """Run the steps; the bytes alive during each.

    With one micro-batch in flight the steps run as they stand. With more, one machine runs the forward pass as the
    youngest of them, and then the rest as the oldest; as many as there are between hold a stash each.
    """
    machine = Machine(graph, graph.sizes(steps))
    if graph.in_flight == 1:
        found, acts = [], turns(moves)
        for machine.at, step in enumerate(steps):
            for turn, move in acts.get(machine.at, ()):
                machine.act(turn, move)
            found.append(machine.run(step, (move for move in moves if move.leaves == machine.at + 1)))
    else:
        backward = (at for at, step in enumerate(steps) if graph.ops[step.op].phase is Phase.BACKWARD)
        turn, young, youngest = next(backward, len(steps)), [0] * len(steps), 0
        for at, step in enumerate(steps):
            own = at < turn and not step.life
            young[at], youngest = (machine.run(step), machine.bytes) if own else (youngest, youngest)
        found, oldest, between = [], youngest, (graph.in_flight - 2) * youngest
        for at, step in enumerate(steps):
            if at >= turn or step.life:
                found.append(machine.run(step) + young[at] + between)
                oldest = machine.bytes
            else:
                found.append(oldest + young[at] + between)
    machine.finish()
    return [bytes + graph.static + graph.space(step) for bytes, step in zip(found, steps, strict=True)]
