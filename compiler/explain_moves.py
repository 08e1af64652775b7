"""What a training step moves to its second tier: when it goes and comes, and how long the step waits for it.

    moved       layer      bytes  ms out  ms back  leaves after  gone before  back before  ms waited
    h.0.mlp.fc  0      2,097,152   1.910    0.950  addmm.2       add.3        gelu_back.4      0.000

The engine moves one storage after another, out or back, while other work runs at the share of its speed that was
measured.
"""

from dataclasses import dataclass

from ..dialects.remat import PATH, text_of
from ..dialects.tier import Link
from ..passes.analysis.training_graph import TrainingGraph
from ..passes.solvers.recompute_clock import times

HEADER = ("moved", "layer", "bytes", "ms out", "ms back", "leaves after", "gone before", "back before", "ms waited")


@dataclass(frozen=True)
class Moved:
    """One storage: what made it, seconds of each way, the ops between which it is away, and seconds waited for it."""

    name: str
    layer: int | None
    bytes: int
    out: float
    back: float
    leaves: str
    gone: str
    there: str
    waited: float

    def row(self) -> tuple[str, ...]:
        """For the table."""
        layer = "-" if self.layer is None else str(self.layer)
        out, back, waited = (f"{seconds * 1e3:.3f}" for seconds in (self.out, self.back, self.waited))
        return (self.name, layer, f"{self.bytes:,}", out, back, self.leaves, self.gone, self.there, waited)


def moved(training: TrainingGraph) -> list[Moved]:
    """Every storage that moves, in the order in which they go."""
    graph, schedule, found = training.graph, training.schedule, list[Moved]()
    waits = times(graph, schedule.steps, schedule.moves).waits if schedule.moves else {}
    for move in schedule.moves:
        made, size = graph.values[move.value].producer, graph.values[move.value].size
        name = text_of(training.ops[made], PATH) or graph.ops[made].name
        leaves, gone, there = (graph.ops[schedule.steps[at].op].name for at in (move.leaves - 1, move.gone, move.there))
        assert graph.tier is not None
        ways = (graph.tier.leaving(size), graph.tier.coming(size))
        found.append(Moved(name, graph.ops[made].layer, size, *ways, leaves, gone, there, waits[move]))
    return found


def told(link: Link, moves: tuple[Moved, ...]) -> str:
    """What moves, and how fast that is here."""
    rates = f"{link.out / 1e9:.2f} GB/s out, {link.back / 1e9:.2f} GB/s back, {link.latency * 1e6:.0f} us more for each"
    if not moves:
        return (
            f"nothing moves to {link.place} ({rates}, other work at {link.efficiency:.0%} meanwhile): no plan is faster"
        )
    size, waited = sum(move.bytes for move in moves), sum(move.waited for move in moves)
    return (
        f"{len(moves)} storages of {size:,} bytes in all move to {link.place} and back ({rates}, other work at "
        f"{link.efficiency:.0%} meanwhile); {waited * 1e3:.3f} ms of it waited for"
    )
