"""A model from a seed: the same seed gives the same model.

Ops are drawn by weight, and operands among the values so far, newest first; what does not fit is drawn again. An op
that hides rows is drawn more often near the end, so that most models have rows that nobody reads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random

from .model import INPUT, Call, Model, Node, Type, pruned
from .ops import OPS, WRITES, type_of
from .values import ARGUMENTS, ODD, choices

NAMES = tuple(OPS)
TOTALS = tuple(accumulate(op.weight for op in OPS.values()))
LENGTH = 4, 15
"""Ops of a model: most of the time goes into export, whatever it exports."""
EQUAL = 0.06
"""How often an op is one of those before it, once more."""
HIDING = ("times rows", "numbers times rows", "fill rows", "keep rows", "masked mean", "masked max", "choose rows")
"""What often stands at the end of a model, and makes rows of what came before dead."""
SKIPPING = ("ffn", "ffn", "ffn", "ffn without bias", "linear", "no bias", "addmm", "matmul", "gated", "times columns")
"""What stands inside of a model whose products are to skip."""
PASSES = {"packed": 5, "guarded": 2, "skipped": 2, "kernels": 2.5, "narrow kernels": 0.5, "all": 2}
SKIPS = ("skipped", "kernels", "narrow kernels", "all")
DTYPES = {"float64": 8, "float32": 3, "bfloat16": 0.1}
ALSO = 0.08
KERNEL_DTYPES = {"float64": 0.5, "float32": 8, "bfloat16": 1.5}
"""Kernels are written for float32 and bfloat16; what else goes wrong is seen best in float64."""


def generate(seed: int, *, exact: bool = False) -> Model:
    """The model of a seed; `exact` leaves out what `exact="bitwise"` does not take: gradients and sizes that vary."""
    random = Random(seed)
    graph = Graph(random)
    passes = "packed" if exact and random.random() < 0.75 else "guarded" if exact else weighted(random, PASSES)
    length = random.randint(*LENGTH)
    for k in range(length):
        graph.grow()
        if passes in SKIPS and k in (length // 2, length - 1):
            graph.skip()
    if random.random() < 0.6:
        graph.hide()
    results = graph.results()
    model = Model(
        nodes=tuple(graph.nodes),
        results=results,
        calls=(),
        dont_care=tuple(graph.dont_care(results)),
        dtype=weighted(random, KERNEL_DTYPES if "kernels" in passes or passes == "all" else DTYPES),
        seed=random.randrange(1000),
        passes=passes,
        strict_nan=passes in SKIPS and random.random() < 0.25,
        approximate=passes in SKIPS and random.random() < 0.25,
        dynamic=random.random() < 0.3 and not exact,
        training=random.random() < 0.1,
        gradients=random.random() < 0.3 and not exact,
        also=tuple(name for name in ("check", "text", "saved") if random.random() < ALSO),
    )
    return pruned(with_calls(model, random), WRITES)


def weighted(random: Random, choices: Mapping[str, float]) -> str:
    """One of the keys, by weight."""
    return random.choices(tuple(choices), tuple(choices.values()))[0]


@dataclass
class Graph:
    """Nodes as they grow."""

    random: Random
    nodes: list[Node] = field(default_factory=list)
    types: list[Type] = field(default_factory=list)

    def __post_init__(self):
        draw = self.random.random
        mask = self.random.choices(("keep", "count", "share"), (6, 2, 1))[0]
        others = [name for name in ARGUMENTS if name not in (mask, "x") and draw() < 0.2]
        for name in (mask, *others, *(["x"] if draw() < 0.85 or not others else [])):
            self.add(INPUT, (), name)

    def add(self, op: str, inputs: Sequence[int], parameter: str, slot: int | None = None) -> int | None:
        """A new node; None where its operands do not fit."""
        found = type_of(op, [self.types[i] for i in inputs], parameter)
        if found is None:
            return None
        slot = len(self.nodes) if slot is None else slot
        self.nodes.append(Node(op, tuple(inputs), parameter, slot))
        self.types.append(found)
        return len(self.nodes) - 1

    def operand(self, position: int) -> int:
        """A value for an operand: the first is often the newest that has rows, the last often the mask."""
        count, draw = len(self.nodes), self.random.random()
        if position == 0 and draw < 0.55:
            return self.newest
        if position == 0 and draw < 0.7:
            return count - 1
        if position and draw < 0.3:
            return self.mask
        return self.random.choices(range(count), [1 + (3 * k / count) ** 2 for k in range(count)])[0]

    @property
    def mask(self) -> int:
        """The mask that says which rows count."""
        return next((k for k, node in enumerate(self.nodes) if node.op == INPUT and self.types[k].mask), 0)

    @property
    def newest(self) -> int:
        """The newest float that has one row for each position of each sequence."""
        rows = (k for k in reversed(range(len(self.nodes))) if is_rows(self.types[k]))
        return next(rows, len(self.nodes) - 1)

    def grow(self) -> None:
        """One more op, or an equal one, or one with the weights of another."""
        if self.random.random() < EQUAL and (node := self.random.choice(self.nodes)).op != INPUT:
            self.add(node.op, node.inputs, node.parameter, node.slot)
            return
        for _ in range(50):
            name = self.random.choices(NAMES, cum_weights=TOTALS)[0]
            for _ in range(4 * OPS[name].arity ** 2):
                operands = [self.operand(k) for k in range(OPS[name].arity)]
                if self.attempt(name, operands):
                    return

    def attempt(self, name: str, operands: Sequence[int]) -> bool:
        """Add op `name`, with the plainest of its parameters most often."""
        parameters = OPS[name].parameters
        parameter = parameters[0] if self.random.random() < 0.2 else self.random.choice(parameters)
        return self.add(name, operands, parameter) is not None

    def hide(self) -> None:
        """Hide rows of one of the last values."""
        for _ in range(100):
            name = self.random.choice(HIDING)
            last = self.newest if self.random.random() < 0.8 else len(self.nodes) - 1
            if self.attempt(name, [last, *(self.operand(k) for k in range(1, OPS[name].arity))]):
                return

    def skip(self) -> None:
        """A product that may skip, of the newest rows."""
        for _ in range(100):
            name = self.random.choice(SKIPPING)
            if self.attempt(name, [self.newest, *(self.operand(k) for k in range(1, OPS[name].arity))]):
                return

    def results(self) -> tuple[int, ...]:
        """The last values, some of what nobody reads, and a little of what is read; at least one op."""
        read = {i for node in self.nodes for i in node.inputs}
        made = [i for i, node in enumerate(self.nodes) if node.op != INPUT]
        ends = [i for i in made if i not in read and (i == made[-1] or self.random.random() < 0.35)]
        more = [i for i in made if i in read and self.random.random() < 0.04]
        chosen = ends + more or [0]
        if self.random.random() < 0.05:
            chosen.append(chosen[0])
        return tuple(chosen)

    def dont_care(self, results: Sequence[int]) -> list[tuple[int, str]]:
        """Results of which some rows are nobody's concern."""
        found: list[tuple[int, str]] = []
        for position, index in enumerate(results):
            dims = self.types[index].dims
            masks = [
                node.parameter
                for node, type in zip(self.nodes, self.types, strict=True)
                if node.op == INPUT and type.mask and type.dims == dims[: len(type.dims)] and type.dims[0] == "b"
            ]
            if masks and self.random.random() < 0.65:
                found.append((position, masks[0] if self.random.random() < 0.7 else self.random.choice(masks)))
        return found


def is_rows(type: Type) -> bool:
    """(b, s, 8)"""
    return type.kind == "float" and len(type.dims) == 3 and type.dims[:2] == ("b", "s")


def with_calls(model: Model, random: Random) -> Model:
    """The model with an example and some further calls."""
    names = [node.parameter for node in model.nodes if node.op == INPUT]
    few = model.passes in SKIPS
    example = call(names, random, smallest=2 if model.dynamic else 1, few=few)
    calls = [example]
    for _ in range(5):
        other = call(names, random, smallest=1, few=few)
        calls.append(other if model.dynamic else Call(example.sizes, other.values, other.seed))
    return Model(**{**vars(model), "calls": tuple(calls)})


def call(names: Sequence[str], random: Random, *, smallest: int, few: bool) -> Call:
    """Sizes and values of one call. `few` rows are those that kernels take, and some more than that."""
    sizes = {"b": random.choice((2, 3, 4)), "s": random.choice((3, 5, 6, 7)), "t": random.choice((2, 4, 5))}
    if few:
        sizes |= {"b": random.choice((smallest, 2, 3)), "s": random.choice((smallest, 2, 3, 5, 7))}
    for size in sizes:
        if random.random() < 0.12:
            sizes[size] = smallest
    odd = random.random() < 0.15
    values = []
    for name in names:
        known = choices(name)
        usual = known[0] if random.random() < 0.4 else random.choice(known)
        values.append((name, known[0] if usual in ODD and not odd else usual))
    return Call(tuple(sizes.items()), tuple(values), random.randrange(1000))
