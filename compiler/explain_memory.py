"""What a training step keeps for its backward pass, what it computes again, and what that takes.

    budget 447,524 bytes: predicted peak 447,524, measured 447,524; keeping all takes 627,216
    ..
    layer  bytes kept  bytes again  ms again  ms hidden  ops computed again
    -----  ----------  -----------  --------  ---------  ------------------
    0      12,288      18,432       0.120     0.000      gelu, mul x2

What moves to a second tier, if there is one, stands in a table of its own. All of it is read from the text of the
program. Bytes kept are those alive when the backward pass begins.
"""

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass

from xdsl.dialects.builtin import FloatAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation

from ..dialects.exact import ExactOp
from ..dialects.remat import BOUND, BUDGET, FLOOR, MEASURED, RUNG, number_of, text_of
from ..dialects.tier import Link, link_of
from ..passes.analysis.calls import target
from ..passes.analysis.training_graph import TrainingGraph, training_graph
from ..passes.solvers.recompute_check import check
from ..passes.solvers.recompute_graph import Phase
from ..passes.solvers.recompute_memory import keep_all, peak
from .explain import table
from .explain_moves import HEADER as MOVES
from .explain_moves import Moved, moved, told
from .explain_windows import HEADER, OnTheWire, hidden, on_the_wire


@dataclass(frozen=True)
class Layer:
    """One layer, or what stands in none: bytes kept and computed again, seconds, and the ops that run again."""

    layer: int | None
    kept: int
    again: int
    seconds: float
    hidden: float
    ops: dict[str, int]

    def row(self) -> tuple[str, ...]:
        """For the table."""
        names = ", ".join(name if count == 1 else f"{name} x{count}" for name, count in self.ops.items())
        layer = "-" if self.layer is None else str(self.layer)
        return (
            layer,
            f"{self.kept:,}",
            f"{self.again:,}",
            f"{self.seconds * 1e3:.3f}",
            f"{self.hidden * 1e3:.3f}",
            names,
        )


@dataclass(frozen=True)
class MemoryReport:
    """Bytes and seconds of a step, and of each of its layers. None is what nobody measured or proved."""

    static: int
    keep_all: int
    predicted: int
    measured: int | None
    budget: int | None
    floor: int | None
    rung: str | None
    seconds: float
    recomputed: float
    hidden: float
    exposed: float
    bound: float | None
    layers: tuple[Layer, ...]
    windows: tuple[OnTheWire, ...] = ()
    moving: float = 0.0
    moves: tuple[Moved, ...] = ()
    link: Link | None = None

    @property
    def gap(self) -> float | None:
        """Seconds that another schedule in the budget could save at most."""
        return None if self.bound is None else max(0.0, self.exposed - self.bound)

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self) | {"gap": self.gap}

    def __str__(self) -> str:
        budget = "no budget" if self.budget is None else f"budget {self.budget:,} bytes"
        measured = "not measured" if self.measured is None else f"measured {self.measured:,}"
        floor = "" if self.floor is None else f"; no schedule takes less than {self.floor:,}"
        share = f" ({self.exposed / self.seconds:.1%} more)" if self.seconds else ""
        bound = "" if self.bound is None else f"; at least {ms(self.bound)}, so that {ms(self.gap or 0.0)} could be won"
        moving = f" and {ms(self.moving)} of moves" if self.moves else ""
        lines = [
            f"{budget}: predicted peak {self.predicted:,}, {measured}; keeping all takes {self.keep_all:,}",
            f"weights and batch take {self.static:,} of it{floor}",
            f"{ms(self.seconds)} a step, and {ms(self.recomputed)} computed again{moving}: {ms(self.hidden)} hidden,"
            f" {ms(self.exposed)} exposed{share}{bound}",
        ]
        if self.rung:
            lines.append(f"chosen by {self.rung}")
        if self.link:
            lines.append(told(self.link, self.moves))
        header = ("layer", "bytes kept", "bytes again", "ms again", "ms hidden", "ops computed again")
        lines += ["", *table([header, *(layer.row() for layer in self.layers)])]
        if self.windows:
            lines += ["", *table([HEADER, *(window.row(number) for number, window in enumerate(self.windows))])]
        if self.moves:
            lines += ["", *table([MOVES, *(move.row() for move in self.moves)])]
        return "\n".join(lines)


def ms(seconds: float) -> str:
    """`1.234 ms`"""
    return f"{seconds * 1e3:.3f} ms"


def explain_memory(function: FuncOp) -> MemoryReport:
    """What the text of a training step says. Raises UserError where bytes are not known."""
    training = training_graph(function)
    graph, bound = training.graph, function.attributes.get(BOUND)
    account = check(graph, training.schedule)
    return MemoryReport(
        static=graph.static,
        keep_all=peak(graph, keep_all(graph)),
        predicted=account.peak,
        measured=number_of(function, MEASURED),
        budget=number_of(function, BUDGET),
        floor=number_of(function, FLOOR),
        rung=text_of(function, RUNG),
        seconds=sum(op.time for op in graph.ops),
        recomputed=account.recomputed,
        hidden=account.hidden,
        exposed=account.exposed,
        bound=bound.value.data if isinstance(bound, FloatAttr) else None,
        layers=tuple(layers(training)),
        windows=tuple(on_the_wire(training)),
        moving=account.moving,
        moves=tuple(moved(training)),
        link=link_of(function),
    )


def layers(training: TrainingGraph) -> list[Layer]:
    """Each layer in order, what stands in none first."""
    graph = training.graph
    kept, again = Counter[int | None](), Counter[int | None]()
    seconds, behind = defaultdict[int | None, float](float), defaultdict[int | None, float](float)
    names: dict[int | None, Counter[str]] = {}
    for value, life in alive_at_turn(training):
        kept[graph.ops[graph.values[value].producer].layer] += 0 if life else graph.values[value].size
    for step, hides in zip(training.schedule.steps, hidden(training), strict=True):
        if step.life:
            node = graph.ops[step.op]
            size = sum(graph.values[value].size for value in node.results)
            again[node.layer] += size
            seconds[node.layer] += node.time + (0.0 if node.starts is None else graph.windows[node.starts].seconds)
            behind[node.layer] += hides
            if size or node.time:
                names.setdefault(node.layer, Counter())[title(training.ops[step.op])] += 1
    found = sorted({op.layer for op in graph.ops}, key=lambda layer: -1 if layer is None else layer)
    return [Layer(k, kept[k], again[k], seconds[k], behind[k], dict(names.get(k, ()))) for k in found]


def title(op: Operation) -> str:
    """What an op is called for short: `gelu`, or `mul+add` where these are one."""
    names = [call.target.data for call in op.calls()] if isinstance(op, ExactOp) else [target(op) or op.name]
    return "+".join(dict.fromkeys(name.split(".")[1] if "." in name else name for name in names))


def alive_at_turn(training: TrainingGraph) -> set[tuple[int, int]]:
    """The storages that are alive when the backward pass begins."""
    graph, alive = training.graph, set[tuple[int, int]]()
    for step in training.schedule.steps:
        op = graph.ops[step.op]
        if op.phase is Phase.BACKWARD:
            break
        alive |= {(value, step.life) for value in op.results if graph.values[value].base is None}
        alive -= set(step.frees)
    return alive
