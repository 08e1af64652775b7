"""Corners of torch: state, nested arguments, odd weights, random numbers, gradients cut and invented."""

import warnings
from collections import namedtuple
from typing import Any

import torch
from gossamer.tests.models.sample import Sample, model
from torch import nn
from torch.export import Dim
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

ROWS = ({0: Dim.DYNAMIC},)
Pair = namedtuple("Pair", "left right")


class Memory(nn.Module):
    """Writes its buffers and its argument."""

    calls: torch.Tensor
    cache: torch.Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("cache", torch.zeros(2, 32, 8))
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1)
        self.cache.index_copy_(1, position, x)
        self.cache[:, 0] = 0.5
        x.mul_(2)
        return self.norm(self.cache.sum(1)) + self.calls


@model("buffers and an argument written")
def memory() -> Sample:
    return Sample(Memory().train(), (torch.randn(2, 3, 8), torch.tensor([4, 5, 6])))


class Delay(nn.Module):
    """Gives its old state back and takes a new one."""

    state: torch.Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("state", torch.randn(4, 8))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        old = self.state
        self.state = old * 0.5 + x
        return old, old.view(-1)[:3] + 1


@model("a buffer replaced, the old one returned")
def delay() -> Sample:
    return Sample(Delay(), (torch.randn(4, 8),))


class Swap(nn.Module):
    one: torch.Tensor
    two: torch.Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("one", torch.randn(4))
        self.register_buffer("two", torch.randn(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = self.two.clone()
        self.two.copy_(self.one)
        self.one.copy_(kept)
        return x + self.one - self.two


@model("two buffers swapped")
def swap() -> Sample:
    return Sample(Swap(), (torch.randn(4),))


class Shift(nn.Module):
    """What was new is old."""

    new: torch.Tensor
    old: torch.Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("new", torch.randn(4))
        self.register_buffer("old", torch.randn(4))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.old.copy_(self.new)
        self.new.copy_(x)
        return self.old.view(2, 2), self.new


@model("a buffer takes another's old value")
def shift() -> Sample:
    return Sample(Shift(), (torch.randn(4),))


class Nest(nn.Module):
    """Every shape of argument and result that export allows."""

    def __init__(self):
        super().__init__()
        self.constant = torch.tensor([1.0, 2.0, 3.0])

    def forward(self, x: torch.Tensor, options: dict, *rest: Any, flag: bool | None = None, n: int = 2) -> dict:
        values, indices = torch.topk(x, n)
        a, b = torch.split(x, [1, 2], dim=-1)
        infinite = torch.full((2,), float("inf"), dtype=torch.float64, device=x.device)
        return {
            "values": values,
            "nothing": None,
            "indices": (indices, [a, b]),
            "pair": Pair(torch.linalg.qr(x)[0], flag),
            "count": n + x.shape[0],
            "sum": x + self.constant + torch.tensor([4.0, 5.0, 6.0]),
            "infinite": infinite,
            "scaled": options["y"] * options["scale"] + rest[0],
            "same": x,
        }


@model("nested arguments and results")
def nest() -> Sample:
    return Sample(Nest(), (torch.randn(4, 3), {"y": torch.randn(2), "scale": 3.0}, torch.randn(2), None), {"n": 3})


class OddWeights(nn.Module):
    """Weights that are shared, strided, empty, of few bits, not saved, or views."""

    empty: torch.Tensor
    bits16: torch.Tensor
    bits8: torch.Tensor
    unsaved: torch.Tensor
    row: torch.Tensor
    byte: torch.Tensor
    flag: torch.Tensor

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.second.weight = self.first.weight
        self.strided = nn.Parameter(torch.randn(8, 4).t())
        self.register_buffer("empty", torch.zeros(0, 8))
        self.register_buffer("bits16", torch.randn(8).bfloat16())
        self.register_buffer("bits8", torch.randn(8).to(torch.float8_e4m3fn))
        self.register_buffer("unsaved", torch.randn(8), persistent=False)
        self.register_buffer("row", self.unsaved[2:5])
        self.register_buffer("byte", torch.randint(0, 255, (8,), dtype=torch.uint8))
        self.register_buffer("flag", torch.tensor(True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(self.first(x)) + self.bits16 + self.bits8.float() + self.unsaved + self.byte
        y = torch.cat([y, self.empty]) @ self.strided.t()
        return torch.where(self.flag, y, -y)[:, :3] * self.row


@model("odd weights")
def odd_weights() -> Sample:
    return Sample(OddWeights(), (torch.randn(4, 8),), {}, ROWS)


class Spectrum(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.fft.rfft(x), torch.view_as_real(torch.fft.fft(x) * (1 + 2j))


@model("complex numbers")
def spectrum() -> Sample:
    return Sample(Spectrum(), (torch.randn(4, 8),), {}, ROWS)


class Surrogate(torch.autograd.Function):
    """A step with the gradient of an arc tangent."""

    @staticmethod
    def forward(ctx: Any, potential: torch.Tensor) -> torch.Tensor:  # pyright: ignore
        ctx.save_for_backward(potential)
        return (potential > 0).to(potential.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # pyright: ignore
        (potential,) = ctx.saved_tensors
        return gradient / (1 + (torch.pi * potential) ** 2)


class Spiking(nn.Module):
    """A leaky neuron that fires and resets; its potential outlives the call."""

    potential: torch.Tensor

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("potential", torch.zeros(4, 8))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        potential, spikes = self.potential, []
        for x in inputs:
            potential = potential * 0.9 + self.linear(x)
            spikes.append(Surrogate.apply(potential - 1))
            potential = potential - spikes[-1]
        self.potential.copy_(potential.detach())
        return torch.stack(spikes)


@model("spiking neurons")
def spiking() -> Sample:
    return Sample(Spiking(), (torch.randn(5, 4, 8),))


class StraightThrough(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.gate = nn.Parameter(torch.randn(8, 8)), nn.Parameter(torch.randn(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        soft = torch.sigmoid(self.gate)
        return (x @ self.weight) * ((soft > 0.5).float() + soft - soft.detach())


@model("straight-through gate")
def straight_through() -> Sample:
    return Sample(StraightThrough(), (torch.randn(4, 8),), {}, ROWS)


class Regions(nn.Module):
    """Parts without gradients and parts in few bits."""

    average: torch.Tensor

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("average", torch.zeros(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.linear(x)
        with torch.no_grad():
            z = y.sin()
            self.average.mul_(0.9).add_(y.mean(0))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            w = self.linear(x)
        return y * z + w.float() + self.average


@model("no_grad and autocast")
def regions() -> Sample:
    return Sample(Regions(), (torch.randn(4, 8),), {}, ROWS)


class Chance(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = torch.bernoulli(torch.sigmoid(x)) * torch.rand_like(x) + torch.randn(x.shape)
        return F.dropout(noise, 0.3) + F.gumbel_softmax(x, tau=0.5, hard=True)


@model("random numbers")
def chance() -> Sample:
    return Sample(Chance(), (torch.randn(4, 8),), {}, ROWS)


class Saved(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.linear, x, use_reentrant=False)  # pyright: ignore[reportReturnType]


@model("activation checkpoint")
def saved() -> Sample:
    return Sample(Saved().train(), (torch.randn(4, 8),), {}, ROWS)


@torch.library.custom_op("zoo::scaled_sum", mutates_args=())
def scaled_sum(a: torch.Tensor, b: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    return a + scale * b


@scaled_sum.register_fake
def _(a: torch.Tensor, b: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    return torch.empty_like(a)


@torch.library.custom_op("zoo::count", mutates_args=("counter",))
def count(counter: torch.Tensor) -> None:
    counter += 1


class Custom(nn.Module):
    counter: torch.Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("counter", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count(self.counter)
        return scaled_sum(x, x.sin(), scale=0.5) + self.counter.sum()


@model("custom ops")
def custom() -> Sample:
    return Sample(Custom(), (torch.randn(4, 8),), {}, ROWS)


class SparseProduct(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sparse.mm(x.to_sparse(), self.weight)


@model("sparse tensor inside")
def sparse_product() -> Sample:
    return Sample(SparseProduct(), (torch.randn(4, 8).relu(),))


class SparseWeight(nn.Module):
    """Its weight is sparse."""

    weight: torch.Tensor

    def __init__(self):
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.register_buffer("weight", torch.randn(8, 8).relu().to_sparse_csr())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sparse.mm(self.weight, x)


@model("sparse weight")
def sparse_weight() -> Sample:
    return Sample(SparseWeight(), (torch.randn(8, 4),))


class Histogram(nn.Module):
    """A sequence within the results of an op."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        counts, edges = torch.histogramdd(x, [3, 4])
        return counts, edges[1]


@model("a sequence of results in a sequence")
def histogram() -> Sample:
    return Sample(Histogram(), (torch.rand(10, 2),))


class Looked(nn.Module):
    """Leaves a tensor for others to look at."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = x * 2
        return self.seen + 1


@model("an attribute written")
def looked() -> Sample:
    return Sample(Looked(), (torch.randn(4),))


class Remembering(nn.Module):
    """Keeps its state in a tensor that is no buffer."""

    def __init__(self):
        super().__init__()
        self.state = torch.zeros(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.state = self.state * 0.5 + x
        return self.state


@model("state that is no buffer", fails="register_buffer")
def remembering() -> Sample:
    return Sample(Remembering(), (torch.randn(4),))
