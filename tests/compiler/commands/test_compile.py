"""`gossamer compile`: models and stages in, folders and dumps out."""

import json
import shlex
from pathlib import Path

import numpy
import pytest
import torch

from ..command_models import MODEL, headings

REAL = """
import torch
from transformers import BertConfig, BertModel


def build():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertModel(BertConfig(vocab_size=50, **sizes)).eval()
    mask = (torch.arange(8) < torch.tensor([[8], [2], [3]])).long()
    options = {"dont_care": {"last_hidden_state": "attention_mask"}, "dynamic_shapes": "auto"}
    return model, (torch.randint(0, 50, (3, 8)),), {"attention_mask": mask}, options
"""


def test_compile_saves_what_run_loads(run, saved, tmp_path):
    numpy.savez(tmp_path / "in.npz", x=torch.randn(2, 3, 8).numpy(), mask=numpy.ones((2, 3), dtype="int64"))
    code, out, _ = run("run", saved, "--inputs", tmp_path / "in.npz")
    assert code == 0
    assert "float32[2, 3, 4]" in out
    assert "pooled" in out


def test_compile_dumps_shows_checks_and_reports(run, model, tmp_path):
    shown = ["--json", "--timing", "--print-ir-after-all", "--print-diff"]
    code, out, err = run("compile", f"{model}:build", "-p", "cse,dce", "--dump", tmp_path / "dumps", "--check", *shown)
    assert code == 0
    assert (tmp_path / "dumps/00_import.mlir").exists()
    content = json.loads(out)
    assert [stage["stage"] for stage in content["stages"]] == ["import", "cse", "dce"]
    assert content["weights"] == {"count": 4, "bytes": 4 * (8 * 16 + 16 + 16 * 4 + 4)}
    assert content["checked"] is True
    assert headings(err) == ["IR dump after cse", "IR dump after dce"]
    first = (tmp_path / "dumps/pipeline.txt").read_text().splitlines()[0]
    assert first.startswith(f"gossamer compile {model}:build -p cse,dce --dump ")


def test_a_stage_of_a_dump_goes_on_from_where_it_is(run, model, saved, tmp_path):
    assert run("compile", f"{model}:build", "-p", "cse,dce", "--to", "cse", "--dump", tmp_path / "whole")[0] == 0
    text = sorted((tmp_path / "whole").glob("*.mlir"))[-1]
    outputs = ["--dump", tmp_path / "rest", "-o", tmp_path / "out"]
    weights = saved / "weights.safetensors"
    code, _, err = run("compile", text, "--weights", weights, "-p", "cse,dce", "--from", "cse", *outputs)
    assert (code, err) == (0, "")
    assert [stage["stage"] for stage in json.loads((tmp_path / "rest/timing.json").read_text())] == ["cse", "dce"]
    assert [path.name for path in (tmp_path / "rest").glob("*.mlir")] == ["01_cse.mlir"]
    assert (tmp_path / "out/model.mlir").exists()


def test_a_saved_model_is_compiled_again_from_its_import(run, saved, tmp_path):
    code, _, _ = run("compile", saved, "-p", "dce", "-o", tmp_path / "again")
    assert code == 0
    code, _, err = run("compile", saved / "import.mlir", "-p", "dce", "-o", tmp_path / "text")
    assert (code, err) == (0, "")
    assert (tmp_path / "again/import.mlir").read_text() == (saved / "import.mlir").read_text()


def test_compile_without_a_folder_saves_nothing(run, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("compile", f"{model}:build", "-p", "")[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_rows_that_nobody_reads_are_named_on_the_command_line(run, model, tmp_path):
    assert run("compile", f"{model}:build", "-p", "", "--dont-care", "y=mask", "--dump", tmp_path)[0] == 0
    assert 'sparse.dont_care = "mask"' in (tmp_path / "00_import.mlir").read_text()
    code, _, err = run("compile", f"{model}:build", "-p", "", "--dont-care", "y")
    assert (code, err.splitlines()[0]) == (2, "error: --dont-care y: expected RESULT=ARGUMENT")
    code, _, err = run("compile", f"{model}:build", "-p", "", "--dont-care", "z=mask")
    assert code == 1
    assert "'z'" in err


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("missing.py:build", 1, ["missing.py: no such file"]),
        ("model.py:bild", 1, ["model.py: no function 'bild'", "did you mean 'build'?"]),
        ("model.py:not_a_function", 1, ["no function 'not_a_function'"]),
        ("model.py", 2, ["which function?", "model.py:build"]),
        ("model.py:fails", 1, ["model.py:23:13: error: fails() raised ZeroDivisionError", "value = 1 / 0"]),
        ("model.py:leaves", 1, ["model.py:32:5: error: leaves() raised SystemExit: 3"]),
        ("model.py:returns_nothing", 1, ["model.py:35: error: returns_nothing() returned NoneType", "(model, args)"]),
        ("model.py:returns_one", 1, ["model.py:39: error: returns_one() returned Model"]),
        ("model.py:returns_text_as_args", 1, ["returned (Model, str)"]),
        ("model.py:returns_no_model", 1, ["a model that cannot be called: int"]),
        ("model.py:returns_unknown_option", 1, ["option 'dont_cair'", "did you mean 'dont_care'?"]),
        ("syntax.py:build", 1, ["syntax.py:2:12: error:", "    return (", "    2 |"]),
        (
            "raises.py:build",
            1,
            ["raises.py:2:1: error: this file raised ModuleNotFoundError: No module named 'no_such'"],
        ),
        ("missing.mlir", 1, ["missing.mlir: no such file"]),
        ("notes.txt", 2, ["notes.txt", "FILE.py:FUNCTION"]),
        ("empty", 1, ["empty"]),
    ],
)
def test_a_model_that_cannot_be_had_is_a_located_error(run, model, monkeypatch, name, code, words):
    monkeypatch.chdir(model.parent)
    Path("syntax.py").write_text("def build():\n    return (\n")
    Path("raises.py").write_text("import os\nimport no_such\n")
    Path("notes.txt").write_text("notes")
    Path("empty").mkdir(exist_ok=True)
    found, out, err = run("compile", name)
    assert (found, out) == (code, ""), err
    assert all(word in err for word in words), err
    assert "Traceback" not in err


def test_a_models_own_neighbours_can_be_imported(run, tmp_path):
    (tmp_path / "neighbour_of_model.py").write_text(MODEL)
    (tmp_path / "model.py").write_text("from neighbour_of_model import build\n")
    assert run("compile", f"{tmp_path}/model.py:build", "-p", "")[0] == 0


def test_every_stage_of_a_real_model_is_checked_and_made_again_from_the_one_before(run, tmp_path, monkeypatch):
    (tmp_path / "bert.py").write_text(REAL)
    monkeypatch.chdir(tmp_path)
    for folder in ("first", "second"):
        code, out, err = run("compile", "bert.py:build", "--dump", folder, "--check")
        assert (code, err) == (0, "")
        assert "every pass checked" in out
    stages = sorted(path.name for path in Path("first").glob("*.mlir"))
    assert len(stages) > 3
    assert "guard-density{flops=" in Path("first/pipeline.txt").read_text(), "passes know what this machine can do"
    (tmp_path / "again").mkdir()
    (tmp_path / "again/00_import.mlir").write_bytes(Path("first/00_import.mlir").read_bytes())
    monkeypatch.chdir(tmp_path / "again")
    for line in Path("../first/pipeline.txt").read_text().splitlines()[2:]:
        assert run(*shlex.split(line)[1:])[0] == 0
    for name in stages:
        assert Path(name).read_bytes() == Path("../first", name).read_bytes() == Path("../second", name).read_bytes()
