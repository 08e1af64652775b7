"""Training steps on the command line."""

import json
from pathlib import Path

import pytest
from gossamer.compiler.cli import main
from gossamer.compiler.context import parse_file

TRAIN = """
import torch
from gossamer.tests.training_zoo import STEPS

def step():
    torch.manual_seed(0)
    return STEPS["MLP"]()

def number():
    return 3

def two():
    return torch.nn.Linear(1, 1), (torch.ones(1),)
"""


@pytest.fixture
def train(tmp_path: Path) -> str:
    (tmp_path / "train.py").write_text(TRAIN)
    return f"{tmp_path}/train.py"


def test_a_step_is_compiled_for_a_budget(train, tmp_path, capsys):
    assert main(["compile", f"{train}:step", "--memory-budget", "100%", "-o", str(tmp_path / "out")]) == 0
    assert "step.mlir: peak" in capsys.readouterr().out
    assert "train.storage" in (tmp_path / "out/step.mlir").read_text()
    parse_file(tmp_path / "out/step.mlir")


def test_a_step_is_explained(train, capsys):
    assert main(["explain", f"{train}:step", "--memory-budget", "100%", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["predicted"] == found["measured"] == found["budget"] == found["keep_all"]
    assert main(["explain", f"{train}:step", "--memory-budget", "1"]) == 1
    assert "a budget of 1 bytes cannot be met" in capsys.readouterr().err


@pytest.mark.parametrize(("function", "found"), [("number", "int"), ("two", "(Linear, tuple)")])
def test_a_function_that_gives_no_step_is_told_what_one_is(train, function, found, capsys):
    assert main(["explain", f"{train}:{function}", "--memory-budget", "1GiB"]) == 1
    error = capsys.readouterr().err
    assert f"{function}() returned {found}" in error
    assert "hint: return (model, loss_fn, example)" in error


def test_a_step_without_a_budget_is_told_to_take_one(train, capsys):
    assert main(["explain", f"{train}:step"]) == 1
    assert "hint: a training step takes a budget: --memory-budget 100% keeps all" in capsys.readouterr().err


@pytest.mark.parametrize("flag", [["--exact", "bitwise"], ["--no-adapters"], ["--dont-care", "y=m"]])
def test_what_says_nothing_of_a_step_is_refused(train, flag, capsys):
    assert main(["compile", f"{train}:step", "--memory-budget", "1GiB", *flag]) == 2
    assert f"{flag[0]} says nothing of a training step" in capsys.readouterr().err


def test_storages_may_move_to_a_folder(train, tmp_path, capsys):
    command = ["explain", f"{train}:step", "--memory-budget", "95%", "--offload"]
    assert main([*command, str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["link"][0] == str(tmp_path)
    assert found["predicted"] == found["measured"] <= found["budget"]
    assert main(command) == 1
    assert "on a CPU the device is the host" in capsys.readouterr().err
    for name in ("explain", "compile"):
        assert main([name, f"{train}:step", "--offload", str(tmp_path)]) == 2
        assert "--offload is for a memory budget" in capsys.readouterr().err
