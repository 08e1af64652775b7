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
from gossamer.dialects.remat import OF, WINDOW
from gossamer.runtime.executor import find
from gossamer.runtime.shards import Layout, part_of
from gossamer.runtime.wire import wire
from gossamer.tests.ranks import Ranks
from gossamer.tests.training import pairs, same, squared
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, _random, distribute_tensor
from torch.distributed.tensor._random import OffsetBasedRNGTracker
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
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.distributed.tensor_parallel import apply_tensor_parallelism


class Words(nn.Module):
    """Words to words; `head` and `words` are one parameter."""

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
        return self.head(x + self.down(functional.gelu(self.up(self.norm(x)))))


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
    step: Any,
    model: nn.Module,
    eager: nn.Module,
    loss_fn: Callable[..., Tensor],
    batch: tuple[Any, ...],
    seed: int,
    others: tuple[Any, ...] | None = None,
) -> None:
    """Loss, gradients, which add to those before, and random numbers of one call are eager's, of a batch like it."""
    torch.manual_seed(seed)
    loss, drawn = step(*batch), torch.rand(())
    torch.manual_seed(seed)
    expected = loss_fn(eager, *(others or batch))
    expected.backward()
    assert torch.equal(drawn, torch.rand(()))
    assert equal(loss, expected.detach()), f"{loss} is not {expected}"
    parameters = zip(model.named_parameters(), eager.parameters(), strict=True)
    assert not (found := [name for (name, own), other in parameters if not equal(own.grad, other.grad)]), found
    assert all(equal(a, b) for a, b in zip(model.buffers(), eager.buffers(), strict=True))


def sequences(count: int) -> list[tuple[Tensor, Tensor]]:
    return [(torch.randint(12, (16, 6)), torch.randint(12, (16, 6))) for _ in range(count)]


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
    for number, budget in enumerate(("97%", "93%")):
        with wire(latency=0.004):
            step.fit(batches[0], budget, "mix")
        again = [op for op in step.module.walk() if OF in op.attributes]
        assert any(WINDOW in op.attributes for op in again), "nothing is computed again while a collective is at work"
        assert step.memory.predicted == step.memory.measured, step.explain()
        trained_alike(step, model, eager, entropy, batches[1], number)
    assert 'comm.all_gather "0"' in step.explain()


def test_two_ranks_train_a_sequence_parallel_model_as_in_eager(ranks: Ranks):
    """Tied weights, accumulated gradients, a buffer, weights that the optimizer changed; within budgets."""
    ranks(trains)


def casts(rank: int) -> None:
    torch.manual_seed(0)
    model, (batch,) = words("sharded"), sequences(1)
    eager = copy.deepcopy(model)
    with torch.autocast("cpu", torch.bfloat16), loss_parallel():
        step = gossamer.compile_training(model, entropy, batch)
        trained_alike(step, model, eager, entropy, batch, 0)


def test_a_step_follows_autocast_and_a_loss_of_parts(ranks: Ranks):
    ranks(casts)


def llama() -> nn.Module:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=24, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=4, use_cache=False
    )
    model = LlamaForCausalLM(config)
    return apply_tensor_parallelism(model, mesh(), model._expand_parallel_plan(model.tp_plan))


def speaks(rank: int) -> None:
    model, eager, (batch,) = llama(), llama(), sequences(1)
    trained_alike(gossamer.compile_training(model, told, batch), model, eager, told, batch, 0)


def told(model: nn.Module, ids: Tensor, labels: Tensor) -> Tensor:
    return model(input_ids=ids, labels=labels).loss


def test_a_llama_is_split_by_its_own_plan(ranks: Ranks):
    ranks(speaks)


class Pieces(nn.Module):
    """Two layers that take and give DTensors, and a buffer of which each rank has a part."""

    def __init__(self, device_mesh: DeviceMesh):
        super().__init__()
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)
        parallelize_module(self.up, device_mesh, ColwiseParallel(use_local_output=False))
        parallelize_module(self.down, device_mesh, RowwiseParallel(use_local_output=False))
        self.register_buffer("seen", distribute_tensor(torch.arange(16.0), device_mesh, [Shard(0)]))

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.seen, Tensor)
        hidden = functional.dropout(functional.gelu(self.up(x)), 0.3)
        self.seen += hidden.detach().sum(0)
        return self.down(hidden)


def takes(rank: int) -> None:
    torch.manual_seed(0)
    device_mesh = mesh()
    model = Pieces(device_mesh)
    eager = copy.deepcopy(model)

    def batch() -> tuple[Tensor, Tensor]:
        x, y = (distribute_tensor(torch.randn(4, 8), device_mesh, [Shard(0)]) for _ in range(2))
        return x.detach().requires_grad_(), y.redistribute(placements=[Replicate()])  # y is still on its way

    step = gossamer.compile_training(model, squared, batch())
    for number in range(2):
        x, y = batch()
        other = x.detach().clone().requires_grad_()
        trained_alike(step, model, eager, squared, (x, y), number, (other, y))
        assert x.grad is not None
        assert equal(x.grad, other.grad)
    x, y = batch()
    assert isinstance(x, DTensor)
    with pytest.raises(UserError, match=r"argument 'x' is a DTensor \[4, 8\] of R on the mesh \[0, 1\], expected a DT"):
        step(x.redistribute(placements=[Replicate()]), y)
    with pytest.raises(UserError, match="argument 'y' is no DTensor, expected a DTensor"):
        step(x, torch.randn(4, 8))
    model.up.double().float()
    with pytest.raises(UserError, match=r"'up\.weight' has been replaced"):
        step(x, y)


def test_a_step_takes_and_gives_dtensors(ranks: Ranks):
    """A batch of them, one of which requires a gradient; their dropout; a loss and a buffer."""
    ranks(takes)


def refuses(rank: int) -> None:
    batch = pairs(1)[0]
    layer: Any = fully_shard(nn.Linear(8, 8), mesh=mesh())
    for wrapped in (layer, DistributedDataParallel(nn.Linear(8, 8))):
        with pytest.raises(UserError, match="its hooks, which communicate, would not run"):
            gossamer.compile_training(wrapped, squared, batch)
    device_mesh = mesh()
    given = distribute_tensor(batch[0], device_mesh, [Replicate()])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_random, "_rng_tracker", tracker := object.__new__(OffsetBasedRNGTracker))  # as on a GPU
        tracker._use_distribute_region = True
        with pytest.raises(UserError, match="at an offset of its own"):
            gossamer.compile_training(Pieces(device_mesh), squared, (given, given))

    def uneven(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        rows = DTensor.from_local(x[:3], device_mesh, [Replicate()]).redistribute(placements=[Shard(0)])
        return functional.mse_loss(rows.full_tensor() + model(x[:3]), y[:3])

    with pytest.raises(UserError, match="different plans"):
        gossamer.compile_training(nn.Linear(8, 8), uneven, batch)  # three rows on two ranks: one of them pads


def test_what_would_not_be_eagers_is_refused(ranks: Ranks):
    ranks(refuses)
