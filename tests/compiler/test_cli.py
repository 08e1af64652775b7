"""The command line: what each command does, says, and exits with."""

import io
import json
import os
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy
import pytest
import torch
from gossamer.compiler import api, cli, options
from gossamer.compiler.cli import COMMANDS, main
from gossamer.compiler.commands import list as listed
from gossamer.compiler.context import parse_file, parse_text
from safetensors.torch import save_file

TEXT = """
func.func @f(%a: i32) -> i32 {
  %b = arith.addi %a, %a : i32
  %c = arith.addi %a, %a : i32
  %d = arith.muli %b, %c : i32
  func.return %d : i32
}
"""
MODEL = """
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x, mask):
        y = self.second(torch.relu(self.first(x))) * mask.unsqueeze(-1)
        return {"y": y, "pooled": y.sum(1)}


def build():
    torch.manual_seed(0)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    return Model().eval(), (torch.randn(2, 3, 8),), {"mask": mask}, {"dont_care": {"y": "mask"}}


def fails():
    value = 1 / 0
    return value


def interrupts():
    raise KeyboardInterrupt


def leaves():
    raise SystemExit(3)


def returns_nothing():
    pass


def returns_one():
    return Model()


def returns_text_as_args():
    return Model(), "x"


def returns_no_model():
    return 7, (torch.zeros(1),)


def returns_unknown_option():
    return Model(), (torch.zeros(2, 3, 8), torch.ones(2, 3)), {}, {"dont_cair": {}}


not_a_function = 3
"""


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command line; gives exit code, output and errors."""

    def run(*argv: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = main([str(word) for word in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def net(tmp_path) -> Path:
    path = tmp_path / "net.mlir"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.py"
    path.write_text(MODEL)
    return path


@pytest.fixture(scope="module")
def saved(model) -> Path:
    folder = model.parent / "saved"
    assert main(["compile", f"{model}:build", "-o", str(folder), "-p", "cse"]) == 0
    return folder


# -- the command line itself ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "examples:\n  gossamer " in out
    assert out.split("\n\n")[1].startswith(COMMANDS[command][0].upper()), "the summary and the help say the same"


def test_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(f"\n    {name} " in out for name in COMMANDS)


def test_version_names_what_gossamer_stands_on(run):
    code, out, _ = run("--version")
    assert (code, out) == (0, f"gossamer 0.1.0 (xdsl 0.74.0, torch {version('torch')})\n")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], ["which command?", "compile"]),
        (["complie"], ["no command 'complie'", "did you mean 'compile'?"]),
        (["opt", "--dmup", "x"], ["`gossamer opt` has no option '--dmup'", "did you mean '--dump'?"]),
        (["opt", "--print-ir-after-al"], ["has no option", "did you mean '--print-ir-after-all'?"]),
        (["opt", "a", "b"], ["unexpected argument 'b'"]),
        (["compile"], ["gossamer compile", "MODEL"]),
        (["list", "colours"], ["colours"]),
        (["opt", "-p"], ["expected one argument"]),
        (["run", "x.py:f", "--repeat", "often"], ["--repeat", "often"]),
        (["run", "x.py:f", "--repeat", "0"], ["--repeat 0: expected 1 or more"]),
        (["compile", "x.py:f", "-p", "csee"], ["no pass 'csee'", "did you mean 'cse'?"]),
        (["compile", "x.py:f", "-p", "cse", "--to", "cce"], ["no stage 'cce'", "did you mean 'cse'?"]),
        (["compile", "x.py:f", "-p", "cse", "--from", "cse"], ["starts at 'import'"]),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_says_why(run, argv, words):
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert all(word in err for word in words), err


class BrokenError(Exception):
    pass


def broken(arguments):
    raise BrokenError("wires crossed")


def test_a_fault_of_ours_exits_with_70_and_asks_for_no_traceback(run, net, monkeypatch):
    monkeypatch.setattr("gossamer.compiler.commands.opt.read_input", broken)
    code, _, err = run("opt", net)
    assert code == 70
    assert err == (
        "internal error: BrokenError: wires crossed\n  this is a bug in gossamer\n  hint: --debug shows the traceback\n"
    )


@pytest.mark.parametrize("how", ["flag before", "flag after", "environment"])
def test_a_traceback_is_shown_when_asked_for(run, net, monkeypatch, how):
    monkeypatch.setattr("gossamer.compiler.commands.opt.read_input", broken)
    if how == "environment":
        monkeypatch.setenv("GOSSAMER_DEBUG", "1")
    argv = {"flag before": ["--debug", "opt", net], "flag after": ["opt", net, "--debug"]}.get(how, ["opt", net])
    code, _, err = run(*argv)
    assert code == 70
    assert "Traceback" in err
    assert "in broken" in err


def test_an_interrupt_exits_with_130_and_says_nothing(run, model):
    assert run("compile", f"{model}:interrupts") == (130, "", "")


def test_nobody_reading_the_output_is_no_error(net):
    net.write_text("\n".join(TEXT.replace("@f", f"@f{i}") for i in range(500)))
    command = [sys.executable, "-m", "gossamer", "opt", str(net)]
    pipe, environment = subprocess.PIPE, {**os.environ, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == cli.BROKEN_PIPE


# -- opt --------------------------------------------------------------------------------------------------------------


def test_opt_reads_standard_input_and_writes_standard_output(run):
    code, out, _ = run("opt", "-", "-p", "cse", stdin=TEXT)
    assert code == 0
    assert 'loc("<stdin>":3:3)' in out
    assert parse_text(out).is_structurally_equivalent(parse_text(run("opt", "-p", "cse", stdin=TEXT)[1]))
    assert out.count("arith.addi") == 1


def test_opt_writes_a_file(run, net, tmp_path):
    code, out, _ = run("opt", net, "-o", tmp_path / "new/out.mlir")
    assert (code, out) == (0, "")
    assert parse_file(tmp_path / "new/out.mlir").is_structurally_equivalent(parse_text(TEXT))


def test_opt_leaves_locations_away_or_writes_generic_ops(run, net):
    assert "loc(" in run("opt", net)[1]
    assert "loc(" not in run("opt", net, "--no-locations")[1]
    assert '"arith.addi"(%a, %a)' in run("opt", net, "--print-generic")[1]


def headings(text: str) -> list[str]:
    return [line[11:-11] for line in text.splitlines() if line.startswith("// -----//")]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ([], []),
        (["--print-ir-after-all"], ["after cse", "after dce"]),
        (["--print-ir-after-change"], ["after cse"]),
        (["--print-ir-after=dce"], ["after dce"]),
        (["--print-ir-after"], ["after cse", "after dce"]),
        (["--print-ir-before=dce"], ["before dce"]),
        (["--print-ir-before", "--print-ir-after=cse"], ["before cse", "after cse", "before dce"]),
    ],
)
def test_opt_shows_the_ir_around_the_passes_that_were_asked_for(run, net, options, shown):
    code, _, err = run("opt", net, "-p", "cse,dce", *options)
    assert code == 0
    assert headings(err) == [f"IR dump {what}" for what in shown]


def test_opt_shows_what_each_pass_changed(run, net):
    _, _, err = run("opt", net, "-p", "cse,dce", "--print-diff", "--no-locations")
    assert "--- import\n+++ cse\n" in err
    assert "\n-    %c = arith.addi %a, %a" in err
    assert "+++ dce" not in err
    assert "\x1b" not in err, "no colour where there is no terminal"


def test_opt_times_passes_and_counts_ops(run, net):
    _, _, err = run("opt", net, "-p", "cse,dce", "--timing")
    lines = [line.split() for line in err.splitlines()]
    assert [line[0] for line in lines] == ["pass", "cse", "dce", "total"]
    assert lines[1][3:] == ["arith.addi", "-1"]
    assert not any(line.endswith(" ") for line in err.splitlines())


SPLIT = """func.func @a() { func.return }
// -----
func.func @b() { func.return }
"""


def test_opt_treats_the_parts_of_a_file_alone(run):
    code, out, _ = run("opt", "--split-input-file", "--no-locations", stdin=SPLIT)
    assert code == 0
    first, second = out.split("// -----\n")
    assert "@a" in first
    assert "@b" in second
    assert "@b" not in first


def test_opt_reports_the_errors_of_all_parts_at_their_lines(run):
    code, out, err = run(
        "opt", "--split-input-file", stdin="a.b\n// -----\nfunc.func @b() { func.return }\n// -----\nc.d"
    )
    assert (code, out) == (1, "")
    assert [line for line in err.splitlines() if "error" in line] == [
        "<stdin>:1:1: error: no op 'a.b'",
        "<stdin>:5:1: error: no op 'c.d'",
    ]
    assert "    5 | c.d" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.b // expected-error {{no op 'a.b'}}", ""),
        ("// expected-error @below {{no op}}\na.b", ""),
        ("a.b", "unexpected error: no op 'a.b'"),
        ("a.b // expected-error {{another}}", "unexpected error: no op 'a.b'"),
        ("func.func @f() { func.return } // expected-error {{something}}", "expected error 'something' did not come"),
        ("// expected-error {{no op}}\n\na.b", "expected error 'no op' did not come"),
    ],
)
def test_opt_checks_the_errors_that_a_file_expects(run, text, message):
    code, out, err = run("opt", "--verify-diagnostics", stdin=text)
    assert (code, out) == (int(bool(message)), "")
    assert message in err


def test_opt_accepts_unknown_dialects_when_told_to(run):
    text = '"my.op"() {a = 1 : i32} : () -> ()'
    assert run("opt", stdin=text)[0] == 1
    code, out, _ = run("opt", "--allow-unregistered-dialect", "--no-locations", stdin=text)
    assert code == 0
    assert text in out


def test_opt_dumps_stages(run, net, tmp_path):
    assert run("opt", net, "-p", "cse,dce", "--dump", tmp_path / "dumps")[0] == 0
    assert sorted(path.name for path in (tmp_path / "dumps").iterdir()) == [
        "00_import.mlir", "01_cse.mlir", "pipeline.txt", "timing.json",
    ]  # fmt: skip


# -- list -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("passes", ["simplify", "insert-gathers", "cse"]),
        ("dialects", ["aten", "sparse", "builtin"]),
        ("stages", ["import", "simplify", "guard-density"]),
        ("ops", ["aten.call", "sparse.gather"]),
        ("targets", ["cpu", "cuda"]),
        ("machines", ["loihi1", "truenorth"]),
    ],
)
def test_lists_say_what_each_thing_is(run, what, names):
    code, out, _ = run("list", what)
    assert code == 0
    described = {line.split()[0]: line.split(maxsplit=1)[1:] for line in out.splitlines()[1:]}
    assert set(names) <= set(described)
    assert all(described.values()), "everything has a description"


def test_the_targets_listed_are_those_that_a_model_can_be_compiled_for():
    assert tuple(listed.TARGETS) == options.TARGETS


# -- compile ----------------------------------------------------------------------------------------------------------


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


# -- run and explain --------------------------------------------------------------------------------------------------


def test_run_compares_with_eager_torch(run, model):
    code, out, err = run("run", f"{model}:build", "-p", "cse", "--compare", "--repeat", "2")
    assert (code, err) == (0, "")
    assert "the results are equal" in out
    assert "eager" in out


def test_run_tells_when_the_results_are_not_those_of_eager_torch(run, model, monkeypatch):
    monkeypatch.setattr(
        "gossamer.runtime.executor.Program.__call__", lambda self, args: [torch.ones(2, 3, 4), torch.ones(2, 4)]
    )
    code, _, err = run("run", f"{model}:build", "-p", "", "--compare")
    assert code == 1
    assert "the results differ from those of eager torch" in err
    assert "y: 12 of 12 numbers" in err, "rows that nobody reads are not compared"
    assert "pooled: 8 of 8 numbers" in err


@pytest.fixture(scope="module")
def inputs(model) -> dict[str, torch.Tensor]:
    tensors = {"x": torch.randn(2, 3, 8), "mask": torch.ones(2, 3, dtype=torch.int64)}
    numpy.savez(model.parent / "in.npz", x=tensors["x"].numpy(), mask=tensors["mask"].numpy())
    save_file(tensors, model.parent / "in.safetensors")
    torch.save(tensors, model.parent / "in.pt")
    torch.save([tensors["x"], tensors["mask"]], model.parent / "list.pt")
    return tensors


def test_inputs_come_from_any_of_the_formats(run, saved, inputs):
    def numbers(file: str) -> list[str]:
        code, out, err = run("run", saved, "--inputs", saved.parent / file)
        assert (code, err) == (0, "")
        return out.splitlines()[:3]

    expected = numbers("in.npz")
    assert numbers("in.safetensors") == numbers("in.pt") == numbers("list.pt") == expected


def test_inputs_from_a_file_stand_in_for_those_of_the_example(run, model, inputs, tmp_path):
    numpy.savez(tmp_path / "zero.npz", mask=numpy.zeros((2, 3), dtype="int64"))
    code, out, err = run("run", f"{model}:build", "-p", "", "--inputs", tmp_path / "zero.npz", "--compare")
    assert (code, err) == (0, "")
    assert out.splitlines()[2].split()[-5:] == ["0", "..", "0,", "mean", "0"]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, ["the model needs inputs", "x : tensor<2x3x8xf32>", "mask : tensor<2x3xi64>"]),
        ({"x": (2, 3, 8)}, ["the model needs inputs", "mask : "]),
        ({"x": (2, 3, 9), "mask": (2, 3)}, ["'x'", "[2, 3, 9]", "[2, 3, 8]"]),
        ({"x": (2, 3), "mask": (2, 3)}, ["'x'", "[2, 3]"]),
        ({"y": (2, 3, 8), "mask": (2, 3)}, ["no input 'y'"]),
    ],
)
def test_inputs_that_do_not_fit_are_named_with_what_is_needed(run, saved, tmp_path, arrays, words):
    kinds = {"mask": torch.int64}
    save_file({n: torch.ones(s, dtype=kinds.get(n)) for n, s in arrays.items()}, tmp_path / "in.safetensors")
    code, out, err = run("run", saved, *(["--inputs", tmp_path / "in.safetensors"] if arrays else []))
    assert (code, out) == (1, "")
    assert all(word in err for word in words), err


def test_inputs_of_another_dtype_are_refused(run, saved, tmp_path):
    numpy.savez(tmp_path / "in.npz", x=numpy.ones((2, 3, 8)), mask=numpy.ones((2, 3), dtype="int64"))
    code, _, err = run("run", saved, "--inputs", tmp_path / "in.npz")
    assert code == 1
    assert "float64" in err
    assert "float32" in err


class Malicious:
    def __reduce__(self):
        return (os.mkdir, ("/nonexistent/never",))


def test_a_damaged_or_dangerous_inputs_file_is_refused(run, saved, tmp_path):
    torch.save({"x": Malicious()}, tmp_path / "evil.pt")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 broken")
    (tmp_path / "broken.safetensors").write_bytes(b"broken")
    for name in ("evil.pt", "broken.npz", "broken.safetensors"):
        code, _, err = run("run", saved, "--inputs", tmp_path / name)
        assert code == 1
        assert f"{name}: cannot be read" in err
    code, _, err = run("run", saved, "--inputs", tmp_path / "none.npz")
    assert (code, err) == (1, f"error: {tmp_path}/none.npz: no such file\n")
    assert run("run", saved, "--inputs", saved / "model.mlir")[0] == 2


def test_a_saved_model_has_no_eager_model_and_runs_no_passes(run, saved):
    code, _, err = run("run", saved, "--compare")
    assert code == 2
    assert "no eager model" in err
    code, _, err = run("run", saved, "-p", "cse")
    assert code == 2
    assert "runs as it is, without --passes" in err


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


def test_explain_says_it_in_words_or_for_programs(run, model):
    code, out, _ = run("explain", f"{model}:build")
    assert code == 0
    assert out.strip()
    code, out, _ = run("explain", f"{model}:build", "--json")
    assert code == 0
    assert json.loads(out)


def test_xdsl_opt_knows_our_dialects_and_passes(net):
    net.write_text('aten.call "f"(1) : () -> ()\nfunc.func @f(%d: !sparse.domain<4>) { func.return }\n')
    program = Path(sys.executable).with_name("xdsl-opt")
    done = subprocess.run([program, net, "-p", "simplify"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "!sparse.domain<4>" in done.stdout
