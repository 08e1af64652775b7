"""Budgets of what a device has free."""

from pathlib import Path

import gossamer
import pytest
import torch
from gossamer.compiler import device_memory
from gossamer.compiler.device_memory import available, free_bytes
from gossamer.dialects.diagnostics import UserError
from gossamer.dialects.remat import BUDGET, number_of
from gossamer.passes.analysis.training_graph import training_graph
from gossamer.runtime.executor import find
from gossamer.tests.training import Perceptron, pairs, squared

MACHINE = {"proc/meminfo": "MemTotal: 900 kB\nMemAvailable:   500 kB\n", "proc/self/cgroup": "0::/job/step\n"}


def root(folder: Path, files: dict[str, str]) -> Path:
    """A file system of these files."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def group(path: str, most: str, now: int, inactive: int = 0) -> dict[str, str]:
    """A control group."""
    told = {"max": most, "current": str(now), "stat": f"anon 3\ninactive_file {inactive}\n"}
    return {f"sys/fs/cgroup/{path}/memory.{name}": content for name, content in told.items()}


def test_the_machine_counts_where_no_group_has_a_limit(tmp_path: Path):
    assert available(root(tmp_path, MACHINE | group("job/step", "max", 9))) == 500 * 1024


def test_the_tightest_of_the_groups_around_counts(tmp_path: Path):
    files = MACHINE | group("job/step", "90000", 10000, 500) | group("job", "40000", 30000)
    assert available(root(tmp_path, files)) == 10000
    assert available(root(tmp_path, files | group("job", "40000", 41000))) == 0


def test_old_groups_and_groups_seen_from_inside_count(tmp_path: Path):
    folder = "sys/fs/cgroup/memory/memory."
    files = {f"{folder}limit_in_bytes": "5000", f"{folder}usage_in_bytes": "4000"}
    stat = {f"{folder}stat": "total_inactive_file 100\n", "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/x\n"}
    assert available(root(tmp_path, MACHINE | files | stat)) == 1100


def test_a_system_that_does_not_tell_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="not known on this system"):
        available(tmp_path)
    with pytest.raises(UserError, match="free on 'meta' is not known"):
        free_bytes(torch.device("meta"))


def test_a_step_fits_into_what_is_free(monkeypatch: pytest.MonkeyPatch):
    (batch,) = pairs(1)
    model = Perceptron()
    whole = gossamer.compile_training(model, squared, batch, memory_budget="100%")
    most, static = whole.memory.predicted, training_graph(find(whole.module, "step")).graph.static
    free = int((most - static) / 0.9) + 2
    monkeypatch.setattr(device_memory, "available", lambda: free)
    step = gossamer.compile_training(model, squared, batch, memory_budget="device")
    assert number_of(find(step.module, "step"), BUDGET) == static + int(free * 0.9)
    assert step.memory.predicted == step.memory.measured == most
    monkeypatch.setattr(device_memory, "available", lambda: 100)
    with pytest.raises(UserError, match=r"a budget of .* bytes cannot be met"):
        gossamer.compile_training(model, squared, batch, memory_budget="Device")
