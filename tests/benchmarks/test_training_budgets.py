"""The table of schedules at equal peaks: what torch keeps becomes a schedule, and no row breaks its own claim."""

import pytest
import torch
from gossamer.benchmarks.training_budgets import (
    SHARES,
    gpt2,
    profiled,
    saved_by_torch,
    selective,
    torchs,
    training_frontier,
)
from gossamer.compiler.frontends.graphs import value_name
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_memory import keep_all, peak


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    model = gpt2(64, 2, 32, 16, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    return profiled(model, torch.randint(64, (2, 16)), 1)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_what_torch_keeps_is_a_schedule_that_does_not_compute_it_again(small, share):
    step, captured = small
    schedule = torchs(step, captured, share)
    again = {step.graph.ops[each.op].name for each in schedule.steps if each.life}
    forward = {op.name for op in step.graph.ops if op.phase == "forward" and op.time}
    kept = {value_name(node.name) for node in saved_by_torch(captured, share)}
    assert again & forward
    assert not kept & again
    if not share:
        assert forward - again <= {"nll_loss_forward"}
    assert check(step.graph, schedule).peak == step.measured(schedule)


def test_selective_runs_attention_again_and_nothing_else(small):
    step, _ = small
    schedule = selective(step)
    names = [step.graph.ops[each.op].name for each in schedule.steps if each.life and step.judge.ops[each.op].time]
    assert names
    assert not any("addmm" in name or "native_layer_norm" in name for name in names)
    assert peak(step.graph, schedule) <= peak(step.graph, keep_all(step.graph))


def test_no_row_takes_more_memory_than_it_may():
    section = training_frontier("training-frontier", True, lambda what: None)
    assert [row[0] for row in section.rows].count("keep all") == 1
    assert {f"torch, {share:g}" for share in SHARES[::4]} < {row[0] for row in section.rows}
    assert len(section.rows) == 6
    for name, most, again, ours, *_ in section.rows:
        assert float(ours) <= float(most), name
        assert (float(again) == 0) <= (name == "keep all"), name
