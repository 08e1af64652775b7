"""Mixtures of experts as people write them."""

import torch
from gossamer.tests.models.sample import Sample, model
from torch import nn
from torch.export import Dim
from torch.nn import functional as F  # noqa: N812

EXPERTS, CHOICES, WIDTH, HIDDEN = 8, 2, 32, 64
BOTH = ({0: Dim.DYNAMIC, 1: Dim.DYNAMIC},)


class Mixture(nn.Module):
    """Routing; what runs the experts is a subclass's."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.up = nn.Parameter(torch.randn(EXPERTS, WIDTH, HIDDEN) * 0.1)
        self.down = nn.Parameter(torch.randn(EXPERTS, HIDDEN, WIDTH) * 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, WIDTH)
        scores = self.router(rows).softmax(-1)
        weights, chosen = torch.topk(scores, CHOICES, -1)
        return self.experts(rows, weights / weights.sum(-1, keepdim=True), chosen).reshape(x.shape)

    def experts(self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def one(self, expert: int, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x @ self.up[expert]) @ self.down[expert]


class Loop(Mixture):
    def experts(self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        out = torch.zeros_like(x)
        for expert in range(EXPERTS):
            token, slot = torch.where(chosen == expert)
            out.index_add_(0, token, self.one(expert, x[token]) * weights[token, slot, None])
        return out


class Hit(Mixture):
    def experts(self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        out = torch.zeros_like(x)
        for expert in range(EXPERTS):
            token, slot = torch.where(chosen == expert)
            if token.numel() > 0:
                out.index_add_(0, token, self.one(expert, x[token]) * weights[token, slot, None])
        return out


class Dense(Mixture):
    def experts(self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        gate = x.new_zeros(x.shape[0], EXPERTS).scatter(1, chosen, weights)
        hidden = torch.relu(torch.einsum("td,edf->etf", x, self.up))
        return torch.einsum("etd,te->td", torch.einsum("etf,efd->etd", hidden, self.down), gate)


class Capacity(Mixture):
    """Each expert takes at most 16 tokens; others are dropped."""

    def experts(self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        places = F.one_hot(chosen[:, 0], EXPERTS)
        position = ((places.cumsum(0) - 1) * places).sum(-1)
        keep = position < 16
        slot = torch.where(keep, chosen[:, 0] * 16 + position, EXPERTS * 16 - 1)
        buffer = x.new_zeros(EXPERTS * 16, WIDTH).index_add(0, slot, x * keep[:, None])
        hidden = torch.relu(torch.bmm(buffer.view(EXPERTS, 16, WIDTH), self.up))
        return torch.bmm(hidden, self.down).view(-1, WIDTH)[slot] * keep[:, None] * weights[:, :1]


class Sorted(Mixture):
    """Tokens sorted by expert; counts become Python numbers."""

    def experts(self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        order = chosen.flatten().argsort(stable=True)
        counts = (chosen.flatten()[None] == torch.arange(EXPERTS)[:, None]).sum(1).tolist()
        for count in counts:
            torch._check_is_size(count)
        parts = torch.split(x[order // CHOICES], counts)
        out = torch.cat([self.one(expert, part) for expert, part in enumerate(parts)])
        return torch.zeros_like(x).index_add(0, order // CHOICES, out * weights.flatten()[order, None])


class Grouped(Mixture):
    """Tokens sorted by expert; one grouped product."""

    def experts(self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        order = chosen.flatten().argsort(stable=True)
        ends = torch.histc(chosen.flatten().float(), EXPERTS, 0, EXPERTS - 1).cumsum(0).to(torch.int32)
        hidden = torch.relu(F.grouped_mm(x[order // CHOICES], self.up, offs=ends))
        out = F.grouped_mm(hidden, self.down, offs=ends) * weights.flatten()[order, None]
        return torch.zeros_like(x).index_add(0, order // CHOICES, out)


class Skipping(Mixture):
    """Dense, but an expert that nobody chose does nothing."""

    def experts(self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        out = torch.zeros_like(x)
        for expert in range(EXPERTS):
            gate = (weights * (chosen == expert)).sum(-1, keepdim=True)
            out = out + torch.cond(
                (chosen == expert).any(),
                lambda x, gate, expert=expert: self.one(expert, x) * gate,
                lambda x, gate: torch.zeros_like(x),
                (x, gate),
            )
        return out


class Threshold(Mixture):
    """A dense-to-sparse gate: as many experts as score above a threshold; its temperature falls call by call."""

    temperature: torch.Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("temperature", torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.temperature.mul_(0.999).clamp_(min=0.3)
        scores = (self.router(x) / self.temperature).softmax(-1)
        active = scores > 0.1
        expert, token = torch.nonzero(active.t(), as_tuple=True)
        ends = active.sum(0).cumsum(0).to(torch.int32)
        out = F.grouped_mm(torch.relu(F.grouped_mm(x[token], self.up, offs=ends)), self.down, offs=ends)
        return torch.zeros_like(x).index_add(0, token, out * scores[token, expert, None])


def sample(net: nn.Module, dtype: torch.dtype = torch.float32) -> Sample:
    return Sample(net.eval().to(dtype), (torch.randn(2, 16, WIDTH, dtype=dtype),), {}, BOTH)


@model("MoE, loop over experts")
def loop() -> Sample:
    return sample(Loop())


@model("MoE, dense")
def dense() -> Sample:
    return sample(Dense())


@model("MoE, capacity")
def capacity() -> Sample:
    return sample(Capacity())


@model("MoE, sorted and split")
def sorted_tokens() -> Sample:
    return sample(Sorted())


@model("MoE, grouped [bfloat16]")
def grouped() -> Sample:
    return sample(Grouped(), torch.bfloat16)


@model("MoE, grouped [float32]", fails="bfloat16")
def grouped_float32() -> Sample:
    return sample(Grouped())


@model("MoE, cond per expert")
def skipping() -> Sample:
    return sample(Skipping())


@model("MoE, only experts that are hit", fails=r"torch\.cond")
def hit() -> Sample:
    return sample(Hit())


@model("MoE, dense-to-sparse gate [bfloat16]")
def threshold() -> Sample:
    net = Threshold().bfloat16()
    return Sample(net, (torch.randn(32, WIDTH, dtype=torch.bfloat16),), {}, ({0: Dim.DYNAMIC},))
