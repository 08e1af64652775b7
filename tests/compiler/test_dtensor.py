"""Models whose parameters are DTensors: two ranks train them as eager does, to the bit.

What the two processes assert is raised here.
"""

import copy
from collections.abc import Callable
from typing import Any

import gossamer
import pytest
import torch
from gossamer.compiler.ranks import starts
from gossamer.dialects.comm import AllGatherOp, ReduceScatterOp, WaitOp
from gossamer.dialects.diagnostics import UserError
from gossamer.dialects.remat import OF
from gossamer.runtime.executor import find
from gossamer.runtime.shards import Layout, part_of
from gossamer.tests.ranks import Ranks
from gossamer.tests.training import pairs, same, squared
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    SequenceParallel,
    loss_parallel,
    parallelize_module,
)
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel


class Words(nn.Module):
    """Words to words, by a layer with dropout; `head` and `words` are one parameter."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(12, 8), nn.Linear(8, 12, bias=False)
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.head.weight = self.words.weight
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, ids: Tensor) -> Tensor:
        assert isinstance(self.calls, Tensor)
        self.calls += 1
        x = self.words(ids)
        hidden = functional.dropout(functional.gelu(self.up(self.norm(x))), 0.3, self.training)
        return self.head(x + self.down(hidden))


def mesh() -> DeviceMesh:
    return init_device_mesh("cpu", (2,))


def whole(use: str = "local") -> dict[str, ParallelStyle]:
    """The plan of `Words`: between layers each rank has a part of the sequence."""
    return {
        "words": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1)),
        "norm": SequenceParallel(),
        "up": ColwiseParallel(input_layouts=Shard(1)),
        "down": RowwiseParallel(output_layouts=Shard(1)),
        "head": ColwiseParallel(
            input_layouts=Shard(1),
            output_layouts=Replicate() if use == "local" else Shard(-1),
            use_local_output=use == "local",
        ),
    }


def words(use: str = "local") -> nn.Module:
    model = parallelize_module(Words(), mesh(), whole(use))
    assert isinstance(model.words, nn.Module)
    model.get_submodule("head").weight = model.get_submodule("words").weight
    return model


def entropy(model: nn.Module, ids: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(model(ids).flatten(0, 1), labels.flatten())


def equal(ours: Tensor | None, eager: Tensor | None) -> bool:
    """Equal to the bit, and laid out alike over the ranks."""
    if ours is None or eager is None:
        return ours is eager
    return Layout.of(ours) == Layout.of(eager) and same(part_of(ours), part_of(eager))


def trained_alike(
    step: Any, model: nn.Module, eager: nn.Module, loss_fn: Callable[..., Tensor], batch: tuple[Any, ...], seed: int
) -> None:
    """Loss, gradients, which add to those before, and random numbers of one call are eager's."""
    torch.manual_seed(seed)
    loss, drawn = step(*batch), torch.rand(())
    torch.manual_seed(seed)
    expected = loss_fn(eager, *batch)
    expected.backward()
    assert torch.equal(drawn, torch.rand(()))
    assert equal(loss, expected.detach()), f"{loss} is not {expected}"
    parameters = zip(model.named_parameters(), eager.parameters(), strict=True)
    assert not (found := [name for (name, own), other in parameters if not equal(own.grad, other.grad)]), found
    assert all(equal(a, b) for a, b in zip(model.buffers(), eager.buffers(), strict=True))


def sequences(count: int) -> list[tuple[Tensor, Tensor]]:
    return [(torch.randint(12, (4, 6)), torch.randint(12, (4, 6))) for _ in range(count)]


def trains(rank: int) -> None:
    torch.manual_seed(0)
    model = words()
    eager, batches = copy.deepcopy(model), sequences(4)
    step = gossamer.compile_training(model, entropy, batches[0])
    kinds = [type(start) for start in starts(find(step.module, "step"))]
    assert {AllGatherOp, ReduceScatterOp} <= set(kinds)
    assert any(not isinstance(start.next_op, WaitOp) for start in starts(find(step.module, "step")))
    optimizers = [torch.optim.AdamW(each.parameters(), lr=1e-2) for each in (model, eager)]
    for number, batch in enumerate(batches):
        trained_alike(step, model, eager, entropy, batch, number)
        for each in optimizers if number % 2 else ():
            each.step()
            each.zero_grad()
    assert all(equal(a.detach(), b.detach()) for a, b in zip(model.parameters(), eager.parameters(), strict=True))


def test_two_ranks_train_a_sequence_parallel_model_as_in_eager(ranks: Ranks):
    """Tied weights, dropout, accumulated gradients, a buffer, and weights that the optimizer changed."""
    ranks(trains)
