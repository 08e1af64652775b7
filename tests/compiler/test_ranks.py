"""Two ranks that train one model between them: as eager does, as one process does, and all by the same plan.

What the two processes assert is raised here.
"""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gossamer
import pytest
import torch
from gossamer.compiler import ranks as together
from gossamer.compiler import training
from gossamer.compiler.step_costs import measure_step
from gossamer.compiler.training import TrainingStep
from gossamer.compiler.windows import measure_windows
from gossamer.dialects.comm import Start, WaitOp, set_window
from gossamer.dialects.diagnostics import UserError
from gossamer.dialects.remat import OF, WINDOW
from gossamer.passes.analysis.training_graph import TrainingGraph, training_graph
from gossamer.passes.schedule_recompute import schedule
from gossamer.runtime.executor import Program, find
from gossamer.runtime.wire import wire
from gossamer.tests.ranks import Ranks
from gossamer.tests.tensor_parallel import Blocks, own_part, split_layers, squared
from gossamer.tests.training import check_call, check_training
from torch import Tensor, distributed, nn


def batches(count: int, dtype: torch.dtype = torch.float32):
    return [(torch.randn(2, 8, 32, dtype=dtype), torch.randn(2, 8, 32, dtype=dtype)) for _ in range(count)]


def trains(rank: int, dropout: float) -> None:
    torch.manual_seed(0)
    step = check_training(split_layers(Blocks(dropout=dropout), rank, 2), squared, batches(3))
    starts = [op for op in step.module.walk() if isinstance(op, Start)]
    assert len(starts) == 8, "two sums forward and two backward, in each of two layers"
    assert sum(1 for start in starts if not isinstance(start.next_op, WaitOp)) >= 4, "no window stands open"


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_both_ranks_train_as_both_do_in_eager(ranks: Ranks, dropout: float):
    """To the bit, dropout with the masks of eager's stream."""
    ranks(trains, dropout)


def adds_up(rank: int) -> None:
    torch.manual_seed(0)
    whole, (batch,) = Blocks().double(), batches(1, torch.float64)
    model = split_layers(whole, rank, 2)
    loss = gossamer.compile_training(model, squared, batch)(*batch)
    expected = squared(whole, *batch)
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-14, atol=0)
    for (name, parameter), part in zip(whole.named_parameters(), model.parameters(), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(part.grad, own_part(name, parameter.grad, rank, 2), rtol=1e-12, atol=1e-16)


def test_two_ranks_compute_what_one_process_does(ranks: Ranks):
    """But for the order of sums: a sum over ranks adds two halves of what one product adds in a row."""
    ranks(adds_up)


def measured(model: torch.nn.Module, batch: tuple[torch.Tensor, ...]) -> tuple[TrainingStep, TrainingGraph]:
    """A step and its graph, with what its ops and windows take."""
    step = gossamer.compile_training(model, squared, batch)
    function = find(step.module, "step")
    measure_step(step.module, step.weights, [*batch, step.tangent(None)])
    together.share_times(function)
    measure_windows(function)
    return step, training_graph(function)


def recomputes_in_windows(rank: int) -> None:
    torch.manual_seed(0)
    batch = (torch.randn(8, 8, 32), torch.randn(8, 8, 32))
    model = split_layers(Blocks(layers=3), rank, 2)
    eager = copy.deepcopy(model)
    with wire(latency=0.01):
        step, graph = measured(model, batch)
    assert all(0.01 <= window.seconds < 1 and window.group == "0" for window in graph.graph.windows)
    function = find(step.module, "step")
    for start in together.starts(function):
        set_window(start, 0.1, 1.0)  # a busy machine would leave no room
    plan = schedule(function, "60%", "mix")
    assert plan.exposed < 0.15 * plan.recomputed
    step.module.verify()
    together.agree(function)
    hidden = [op for op in function.walk() if WINDOW in op.attributes]
    assert len(hidden) > 20
    assert all(OF in op.attributes for op in hidden)
    assert training_graph(function).schedule == plan.schedule
    step.program = Program.build(step.module, step.weights, "step")
    check_call(step, model, eager, squared, batch, rank)


def test_what_is_recomputed_between_start_and_wait_has_the_same_bits(ranks: Ranks):
    ranks(recomputes_in_windows)


def fits(rank: int) -> None:
    torch.manual_seed(0)
    (batch,) = batches(1)
    model = split_layers(Blocks(dropout=0.1), rank, 2)
    eager, state = copy.deepcopy(model), torch.get_rng_state()
    with wire(latency=0.01):
        step = gossamer.compile_training(model, squared, batch, memory_budget="95%", rung="mix")
    assert torch.equal(state, torch.get_rng_state())
    assert any(OF in op.attributes for op in step.module.walk())
    assert 'comm.all_reduce "0"' in step.explain()
    assert step.memory.predicted == step.memory.measured
    check_call(step, model, eager, squared, batch, rank)


def test_ranks_fit_into_a_budget_by_one_plan(ranks: Ranks):
    """Times that only one rank knew, or that differ, make no difference."""
    ranks(fits)


class InPlace(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        output = super().forward(input)
        distributed.all_reduce(output)
        return output


def refuses(rank: int, folder: str) -> None:
    batch = (torch.randn(2, 4), torch.randn(2, 4))
    with pytest.raises(UserError, match="all_reduce in place"):
        gossamer.compile_training(InPlace(4, 4), squared, batch)
    (batch,) = batches(1)
    with pytest.raises(UserError, match="ranks that train together keep all in their devices"):
        gossamer.compile_training(
            split_layers(Blocks(layers=1), rank, 2), squared, batch, memory_budget="90%", offload=folder
        )


def test_what_ranks_cannot_do_is_refused(ranks: Ranks, tmp_path: Path):
    ranks(refuses, str(tmp_path))


def disagrees(rank: int) -> None:
    torch.manual_seed(0)
    (batch,) = batches(1)
    model = split_layers(Blocks(layers=1 + rank), rank, 2)
    with pytest.raises(UserError) as raised:
        gossamer.compile_training(model, squared, batch)
    text = str(raised.value)
    assert "the ranks of group '0' run different plans: not that of rank 0 have 1" in text
    assert "on rank 0: 'aten.mse_loss.default'; on rank 1: " in text or "; on rank 1: 'aten" in text


def test_ranks_with_different_plans_are_told_so_instead_of_waiting_for_ever(ranks: Ranks):
    ranks(disagrees)


def fuses(rank: int) -> None:
    torch.manual_seed(0)
    (batch,) = batches(1)
    known = [["aten.gelu.default", "aten.mul.Tensor", "aten.add.Tensor"], ["aten.add.Tensor", "aten.mul.Tensor"]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "exact_primitives", lambda: known[rank])
        step = gossamer.compile_training(split_layers(Blocks(layers=1), rank, 2), squared, batch)
    function = find(step.module, "step")
    together.agree(function)
    assert together.in_common(function, known[rank]) == tuple(name for name in known[rank] if "gelu" not in name)


def test_ranks_fuse_what_is_exact_on_all_of_them(ranks: Ranks):
    ranks(fuses)


class Meeting(threading.Barrier):
    """A group of two threads, each of which hears what both bring."""

    def __init__(self):
        super().__init__(2, timeout=30)
        self.brought: dict[int, Any] = {}

    def gathered(self, value: Any) -> list[Any]:
        self.brought[threading.get_ident()] = value
        self.wait()
        found = list(self.brought.values())
        self.wait()
        return found


@pytest.mark.parametrize("alone", range(4))
def test_what_is_so_on_one_rank_of_a_grid_is_known_on_all(alone: int, monkeypatch: pytest.MonkeyPatch):
    """Rank 3 shares no group with rank 0, and yet must run when it does."""
    rows, columns = [Meeting(), Meeting()], [Meeting(), Meeting()]
    monkeypatch.setattr(together, "groups", lambda rank: {"row": rows[rank // 2], "column": columns[rank % 2]})
    monkeypatch.setattr(together, "gathered", lambda value, meeting: meeting.gathered(value))

    def told(rank: Any) -> bool:
        return together.on_any_rank(rank, rank == alone)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(told, range(4))) == [True] * 4


def shares(rank: int) -> None:
    torch.manual_seed(0)
    model = split_layers(Blocks(layers=1), rank, 2)
    (batch,) = batches(1)
    function = find(gossamer.compile_training(model, squared, batch).module, "step")
    assert together.least_share(function, "one", 100 + 10 * rank, 7) == 57
    assert together.least_share(function, f"{rank}", 100 + 10 * rank, 7) == 107


def test_ranks_on_one_device_divide_what_is_free(ranks: Ranks):
    ranks(shares)
