"""Control flow that depends on data, as torch.export has it and as it has not."""

from typing import Any

import torch
from gossamer.tests.models.sample import Sample, model
from torch import nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.map import map as torch_map
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.export import Dim

ROWS = ({0: Dim.DYNAMIC},)


class Signs(nn.Module):
    """A layer for each sign."""

    def __init__(self):
        super().__init__()
        self.positive, self.negative = nn.Linear(8, 8), nn.Linear(8, 8)


class Branch(Signs):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda x: self.positive(x).relu(), lambda x: self.negative(x).sin(), (x,))


@model("cond")
def branch() -> Sample:
    return Sample(Branch(), (torch.randn(4, 8),), {}, ROWS)


class Nested(Signs):
    """A branch within a branch, and two results."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        def inner(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.cond(x.max() > 1, lambda x: (x + 1, x * 2), lambda x: (x - 1, self.positive(x)), (x,))

        return torch.cond(x.sum() > 0, inner, lambda x: (self.negative(x), x.cos()), (x,))


@model("cond in a cond")
def nested() -> Sample:
    return Sample(Nested(), (torch.randn(4, 8).abs(),), {}, ROWS)


class Skip(Signs):
    def forward(self, x: torch.Tensor, on: torch.Tensor) -> torch.Tensor:
        return torch.cond(on.any(), self.positive, torch.zeros_like, (x,))


@model("cond that skips")
def skip() -> Sample:
    return Sample(Skip(), (torch.randn(4, 8), torch.zeros(4, dtype=torch.bool)), {}, ROWS * 2)


class Loop(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        def more(i: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return (i < 5) & (x.norm() < 100)

        return while_loop(more, lambda i, x: (i + 1, x * 2 + 1), (torch.tensor(0), x))


@model("while_loop")
def loop() -> Sample:
    return Sample(Loop(), (torch.randn(4, 8),), {}, ROWS)


class Recurrence(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, state: torch.Tensor, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        def step(h: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            h = torch.tanh(self.linear(h) + x)
            return h, h.clone()

        return scan(step, state, inputs, dim=0)


@model("scan", tolerance=1e-6, reason="with gradients torch's own scan lays its state out otherwise")
def recurrence() -> Sample:
    shapes = ({0: Dim.DYNAMIC}, {0: Dim.STATIC, 1: Dim.DYNAMIC})
    return Sample(Recurrence(), (torch.randn(4, 8), torch.randn(6, 4, 8)), {}, shapes)


class Prefix(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return associative_scan(lambda a, b: a * b + b, x, dim=0, combine_mode="generic")


@model("associative_scan")
def prefix() -> Sample:
    return Sample(Prefix(), (torch.randn(8, 4),))


class Each(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch_map(lambda row: row.sin() + 1, x)  # pyright: ignore[reportArgumentType]


@model("map")
def each() -> Sample:
    return Sample(Each(), (torch.randn(8, 4),))


class Found(nn.Module):
    """Sizes known only when it runs."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        where = x.nonzero()
        return where, x[x > 0].sum(), where.shape[0]


@model("nonzero and boolean index")
def found() -> Sample:
    return Sample(Found(), (torch.randn(4, 8).relu(),), {}, ROWS)


class Slice(nn.Module):
    def forward(self, x: torch.Tensor, count: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        n: Any = count.item()
        torch._check(n >= 1)
        torch._check(n <= x.shape[0])
        return x[:n].sum(0), torch.zeros(n)


@model("item and slice")
def sliced() -> Sample:
    return Sample(Slice(), (torch.randn(10, 8), torch.tensor(3)))


class Sizes(nn.Module):
    """Arithmetic on sizes, a size among the results, a number among the inputs."""

    def forward(self, x: torch.Tensor, scale: int) -> tuple[torch.Tensor, int, torch.Tensor]:
        rows, columns = x.shape
        return x.reshape(columns, rows), rows * columns + scale, x.new_full((max(rows, 3), columns // 2), scale)


@model("arithmetic on sizes")
def sizes() -> Sample:
    return Sample(Sizes(), (torch.randn(6, 8), 3), {}, ({0: Dim.DYNAMIC, 1: Dim.DYNAMIC}, Dim.DYNAMIC))


class Whether(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return x + 1
        return x - 1


@model("if on a tensor", fails=r"torch\.cond")
def whether() -> Sample:
    return Sample(Whether(), (torch.randn(4, 8),))


class EarlyExit(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers, self.head = nn.ModuleList(nn.Linear(8, 8) for _ in range(3)), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        best = self.head(x)
        for layer in self.layers:
            x = layer(x).relu()
            best = self.head(x).softmax(-1)
            if best.max().item() > 0.9:
                break
        return best


@model("early exit", fails=r"torch\.cond")
def early_exit() -> Sample:
    return Sample(EarlyExit(), (torch.randn(1, 8),))
