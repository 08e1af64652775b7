"""Steps whose storages move: eager's bits, the predicted peak to the byte, and only where it is faster."""

import copy
import os
import resource
from pathlib import Path

import gossamer
import pytest
import torch
from gossamer.compiler import training
from gossamer.compiler.offload import Bench, link_to, place_of_tier
from gossamer.dialects.diagnostics import UserError
from gossamer.dialects.tier import Link, link_of
from gossamer.runtime.executor import find
from gossamer.runtime.tier import folder_tier
from gossamer.tests.training import check_call, differences, same
from gossamer.tests.training_zoo import STEPS

FAST = Link("", 1e12, 1e12, 0.0, 1.0)
SLOW = Link("", 1e6, 1e6, 1e-3, 1.0)
CPU = torch.device("cpu")


@pytest.fixture
def described(monkeypatch, tmp_path):
    """Lets a machine be described in place of a measurement."""

    def describe(link: Link) -> str:
        monkeypatch.setattr(training, "link_to", lambda offload, device: offload and link._replace(place=offload))
        return str(tmp_path)

    return describe


BUDGETS = {"MLP": "90%", "CNN": "80%", "GPT-2": "45%"}


@pytest.mark.parametrize("name", BUDGETS)
def test_a_step_that_moves_trains_as_eager_does(name, described):
    torch.manual_seed(0)
    model, loss_fn, batch = STEPS[name]()
    eager, folder = copy.deepcopy(model), described(FAST)
    step = gossamer.compile_training(model, loss_fn, batch, memory_budget=BUDGETS[name], offload=folder)
    for number in range(2):
        check_call(step, model, eager, loss_fn, batch, number)
    report = step.memory
    assert report.budget is not None
    assert report.measured == report.predicted <= report.budget < report.keep_all
    assert report.moves
    assert f"{len(report.moves)} storages of {sum(move.bytes for move in report.moves):,} bytes in all move to" in str(
        report
    )
    assert os.listdir(folder) == []


def test_a_slow_tier_is_left_alone(described):
    torch.manual_seed(0)
    model, loss_fn, batch = STEPS["CNN"]()
    plain = gossamer.compile_training(model, loss_fn, batch, memory_budget="90%")
    step = gossamer.compile_training(model, loss_fn, batch, memory_budget="90%", offload=described(SLOW))
    assert not step.memory.moves
    assert "nothing moves to" in step.explain()
    assert step.memory.recomputed == plain.memory.recomputed
    step.fit(batch, "90%")
    assert step.ir() == plain.ir()


def test_where_the_disk_is_full_nothing_is_lost(described):
    torch.manual_seed(0)
    model, loss_fn, batch = STEPS["CNN"]()
    eager, folder = copy.deepcopy(model), described(FAST)
    step = gossamer.compile_training(model, loss_fn, batch, memory_budget="80%", offload=folder)
    check_call(step, model, eager, loss_fn, batch, 0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(UserError, match="bytes could not be moved to or from") as error:
            step(*batch)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "weights and gradients are as before" in error.value.hint
    assert not differences(model, eager)
    assert all(map(same, model.parameters(), eager.parameters()))
    check_call(step, model, eager, loss_fn, batch, 1)


def test_a_link_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (folder := tmp_path / "tier").mkdir()
    link = link_to(folder, CPU)
    assert link is not None
    assert link.place == str(folder)
    assert min(link.out, link.back) > 1e6
    assert 0 <= link.efficiency <= 1
    assert 0 < link.latency < 1
    monkeypatch.setattr(Bench, "rates", None)
    assert link_to(str(folder), CPU) == link
    assert folder_tier(str(folder)).folder == link.place


@pytest.mark.parametrize(
    ("offload", "device", "message"),
    [
        (True, "cpu", "on a CPU the device is the host"),
        ("/no/such/folder", "cpu", "offload names no folder: '/no/such/folder'"),
        (3, "cpu", "offload is a int, expected True or a folder"),
        ("/tmp", "cuda:0", "what a GPU holds goes to its host, not to '/tmp'"),
        (True, "meta", "there is no second tier for a device of type 'meta'"),
    ],
)
def test_what_is_no_tier_is_refused(offload, device, message):
    with pytest.raises(UserError, match=message):
        place_of_tier(offload, torch.device(device))


def test_where_storages_go_by_themselves():
    assert place_of_tier(None, CPU) is place_of_tier(False, CPU) is None
    assert place_of_tier(True, torch.device("cuda:1")) == "host"
    assert place_of_tier(Path("/tmp"), CPU) == "/tmp"


def test_offload_without_a_budget_is_refused():
    model, loss_fn, batch = STEPS["MLP"]()
    with pytest.raises(UserError, match="offload is for a memory budget"):
        gossamer.compile_training(model, loss_fn, batch, offload="/tmp")


def test_a_step_says_over_what_link_it_was_planned(described):
    torch.manual_seed(0)
    model, loss_fn, batch = STEPS["MLP"]()
    step = gossamer.compile_training(model, loss_fn, batch, memory_budget="90%", offload=described(FAST))
    link = link_of(find(step.module, "step"))
    assert link == step.memory.link
    assert step.memory.as_dict()["moves"][0]["bytes"] > 0
