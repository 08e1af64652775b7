"""One policy for identical layers: a program as small as a layer, solved for a price or a limit of its bytes.

    layer program     what a layer keeps, what runs again ahead, in windows or late
    everywhere        layers 0 .. 23 do the same; each window takes what fits

A layer's bytes are those it keeps, once for each micro-batch in flight, and those it rebuilds ahead.
"""

from dataclasses import dataclass, field

import numpy as np

from .recompute_layers import Kind, Layer
from .recompute_program import WhenProgram
from .recompute_when import Times, When

LIMIT = 5.0
"""Seconds for one program."""


@dataclass(frozen=True)
class Policy:
    """What the model layer does, the seconds that it exposes and the bytes that it takes between the passes."""

    kept: frozenset[int]
    whens: dict[int, When]
    seconds: float
    bytes: float


@dataclass
class LayerProgram:
    """The program of a kind of layers, solved again and again."""

    kind: Kind
    times: Times
    layers: int
    solved: dict[tuple[float, float, bool], Policy | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = WhenProgram(self.times, self.kind.model.members, self.kind.boundary, self.layers)
        self.program = self.model.program
        self.cost, around = np.array(self.program.cost), self.times.graph.in_flight
        self.seconds = sum(self.times.units.units[index].time for index in self.kind.model.members)
        self.bytes, sizes = np.zeros(len(self.cost)), self.times.graph.values
        for storage, column in self.model.keep.items():
            self.bytes[column] = sizes[storage].size * around
        for (index, when), column in self.model.run.items():
            if when is When.AHEAD:
                self.bytes[column] = sum(sizes[storage].size for storage in self.times.units.units[index].makes)
        self.row = self.program.row({int(c): self.bytes[c] for c in np.flatnonzero(self.bytes)}, high=np.inf)

    def policy(self, price: float = 0.0, limit: float = np.inf, *, late: bool = False) -> Policy | None:
        """The policy of least seconds + price * bytes within the limit; `late` if it may leave room in windows.

        What is late takes memory for a shorter time, but programs with fewer columns are solved faster.
        """
        asked = price, limit, late
        if asked not in self.solved:
            for column in self.model.spare:
                self.program.upper[column] = float(late)
            tiny = 1e-6 * self.seconds / max(float(self.bytes.sum()), 1.0)
            self.program.cost = (self.cost + (price + tiny) * self.bytes).tolist()
            self.program.high[self.row] = limit
            solution = self.program.solve(LIMIT, gap=1e-4 * self.seconds, small=True)
            self.solved[asked] = None if solution is None else self.told(solution.values)
        return self.solved[asked]

    def told(self, values: np.ndarray) -> Policy:
        whens = self.model.whens(values)
        return Policy(self.model.kept(values), whens, float(self.cost @ values), float(self.bytes @ values))


def follow(kind: Kind, layer: Layer, policy: Policy) -> tuple[set[int], dict[int, When]]:
    """What a layer keeps and when its units run again if it follows a policy of the model layer."""
    kept = {other for mine, other in kind.storages(layer).items() if mine in policy.kept}
    pairs = zip(kind.model.members, layer.members, strict=True)
    return kept, {other: policy.whens[mine] for mine, other in pairs if mine in policy.whens}
