"""Ops of a transformer's training step with what they cost on one rank, added one by one to a `Graph`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from .recompute_graph import Op, Phase, Value, Window
from .transformer import Sizes

TENSOR_PARALLEL = "tensor-parallel"
ADDS = "adds to the gradient of a weight"


@dataclass(frozen=True)
class Rates:
    """Operations of products and of fused attention a second, bytes a second, and all-reduces: `latency` seconds and
    bytes a second. `efficiency` is the share of a collective that other work can use."""

    product: float
    attention: float
    memory: float
    bus: float
    latency: float = 0.0
    efficiency: float = 1.0

    def all_reduce(self, size: float, ranks: int) -> float:
        """Seconds of a ring."""
        return self.latency + 2 * (ranks - 1) / ranks * size / self.bus


@dataclass
class Builder:
    """Ops and values as they are added."""

    sizes: Sizes
    rates: Rates
    ops: list[Op] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    phase: Phase = Phase.FORWARD
    layer: int | None = None

    def add(self, name: str, reads: Sequence[int], results: Sequence[Value], time: float, **more) -> list[int]:
        """One op; its results."""
        made = list(range(len(self.values), len(self.values) + len(results)))
        prefix = "" if self.layer is None else f"{self.layer}."
        self.values += results
        self.ops.append(Op(prefix + name, tuple(reads), tuple(made), self.phase, time=time, layer=self.layer, **more))
        return made

    def new(self, *sizes: int) -> list[Value]:
        """Values of the op that is added next."""
        return [Value(len(self.ops), size) for size in sizes]

    def stream(self, name: str, reads: Sequence[int], size: int, *, moved: float, fixed: str = "") -> int:
        """An op that is as long as it moves bytes."""
        return self.add(name, reads, self.new(size), moved / self.rates.memory, fixed=fixed)[0]

    def product(self, name: str, reads: Sequence[int], size: int, operations: float, moved: float) -> int:
        """A matrix product."""
        return self.add(name, reads, self.new(size), self.product_time(operations, moved))[0]

    def weight(self, name: str, reads: Sequence[int], operations: float, moved: float) -> None:
        """A product whose result is added to the gradient of a weight."""
        self.add(name, reads, (), self.product_time(operations, moved), fixed=ADDS)

    def product_time(self, operations: float, moved: float) -> float:
        return max(operations / self.rates.product, moved / self.rates.memory)

    def mask(self, name: str, elements: int) -> list[int]:
        """A mask of dropout, one byte an element: none where nothing is dropped."""
        if not self.sizes.execution.dropout:
            return []
        return [self.stream(name, (), elements, moved=elements)]

    def start(self, name: str, value: int, share: float) -> "Pending":
        """Begin a collective that takes `share` of the time of an all-reduce."""
        seconds = share * self.rates.all_reduce(self.sizes.hidden, self.sizes.execution.ranks)
        self.windows.append(Window(seconds, self.rates.efficiency, TENSOR_PARALLEL))
        window = len(self.windows) - 1
        return Pending(name, value, self.add(f"{name}.start", (value,), self.new(0), 0.0, starts=window)[0], window)

    def wait(self, pending: "Pending", size: int) -> int:
        """The result of a collective; what it reads stays until then."""
        reads = (pending.handle, pending.value)
        return self.add(f"{pending.name}.wait", reads, self.new(size), 0.0, waits=pending.window)[0]

    def start_reduce(self, name: str, value: int) -> "Pending":
        """Begin to reduce: half of an all-reduce where the result stays scattered."""
        return self.start(name, value, 0.5 if self.sizes.execution.sequence_parallel else 1.0)

    def reduce(self, name: str, value: int) -> int:
        """The sum of partial sums, or this rank's shard of it."""
        if self.sizes.execution.ranks == 1:
            return value
        return self.wait(self.start_reduce(name, value), self.sizes.shard)

    def gather(self, name: str, value: int) -> int:
        """The whole of what ranks hold shards of; itself where they hold all of it."""
        execution = self.sizes.execution
        if execution.ranks == 1 or not execution.sequence_parallel:
            return value
        return self.wait(self.start(name, value, 0.5), self.sizes.hidden)


@dataclass(frozen=True)
class Pending:
    """A collective on its way: what it reads, what its wait reads, its window."""

    name: str
    value: int
    handle: int
    window: int
