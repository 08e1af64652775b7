"""Options that several commands share, and `gossamer explain`, where most are seen."""

import json
from pathlib import Path

import pytest
from gossamer.compiler import api

SMOOTH = """
import torch
from torch import nn


class Smooth(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(64, 256), nn.Linear(256, 64)

    def forward(self, x):
        return self.down(nn.functional.silu(self.up(x)))


def build():
    torch.manual_seed(0)
    return Smooth().eval(), (torch.randn(1, 64),)


def cut():
    return *build(), {}, {"approximate": "25%", "strict_nan": True, "calibrate": [((torch.zeros(1, 64),), {})]}
"""


@pytest.fixture(scope="module")
def smooth(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("smooth") / "smooth.py"
    path.write_text(SMOOTH)
    return path


def test_small_activations_count_as_zero_where_the_command_line_says_so(run, smooth):
    code, out, _ = run("explain", f"{smooth}:build", "--approximate", "25%")
    assert code == 0
    assert "approximate: 1 activations" in out
    error = float(out.partition("error ")[2].split()[0])
    assert 0.0 < error < 1.0
    code, out, _ = run("run", f"{smooth}:build", "--approximate", "25%", "--compare")
    assert code == 0
    assert f"the results differ as was asked for: error {error:.2g}" in out
    assert "approximate" not in run("explain", f"{smooth}:build")[1]


def test_options_of_the_function_count_and_the_command_line_comes_first(run, smooth, tmp_path):
    assert "approximate: 1 activations" in run("explain", f"{smooth}:cut")[1]
    assert "up to 10 count as 0" in run("explain", f"{smooth}:cut", "--approximate", "10")[1]
    assert run("compile", f"{smooth}:cut", "--dump", tmp_path, "--to", "simplify")[0] == 0
    assert "gossamer.strict_nan" in (tmp_path / "00_import.mlir").read_text()
    assert "approximation_error" not in (tmp_path / "00_import.mlir").read_text()


def test_nan_is_kept_where_the_command_line_says_so(run, model, saved, tmp_path):
    for number, name in enumerate((f"{model}:build", saved)):
        folder = tmp_path / str(number)
        assert run("compile", name, "-p", "", "--strict-nan", "--dump", folder)[0] == 0
        assert "gossamer.strict_nan" in (folder / "00_import.mlir").read_text()


def test_modules_are_read_as_they_are_without_adapters(run, smooth, monkeypatch):
    seen = []
    original = api.import_model
    monkeypatch.setattr(api, "import_model", lambda *args: (seen.append(args[-1]), original(*args))[1])
    assert run("explain", f"{smooth}:build")[0] == run("explain", f"{smooth}:build", "--no-adapters")[0] == 0
    assert seen == [True, False]


@pytest.mark.parametrize("amount", ["some", "-1", "120%", "nan", "%", ""])
def test_an_amount_that_is_none_is_refused(run, smooth, amount):
    code, _, err = run("compile", f"{smooth}:build", f"--approximate={amount}")
    assert code == 2
    assert f"error: --approximate {amount}: expected a threshold or a share" in err
    assert "--approximate 25% keeps the largest quarter" in err


def test_exact_and_approximate_contradict_each_other(run, smooth):
    code, _, err = run("run", f"{smooth}:build", "--exact", "bitwise", "--approximate", "25%")
    assert code == 1
    assert "contradict each other" in err


@pytest.mark.parametrize("flags", [["--approximate", "25%"], ["--approximate", "0"], ["--no-adapters"]])
def test_what_is_imported_already_takes_no_options_of_the_import(run, saved, flags):
    code, _, err = run("compile", saved, *flags)
    assert code == 2
    assert f"is imported already, {flags[0]} comes too late" in err
    code, _, err = run("run", saved, "--strict-nan")
    assert (code, "runs as it is, without --strict-nan" in err) == (2, True)


def test_explain_says_it_in_words_or_for_programs(run, model):
    code, out, _ = run("explain", f"{model}:build")
    assert code == 0
    assert out.strip()
    code, out, _ = run("explain", f"{model}:build", "--json")
    assert code == 0
    assert json.loads(out)
