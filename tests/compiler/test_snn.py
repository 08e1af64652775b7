"""The Python face and the command line of spiking networks."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from gossamer import snn
from gossamer.compiler.cli import main
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime.kernels import registry

nir = pytest.importorskip("nir")
DT = 1e-3


def full(size, value):
    return np.full(size, value, np.float32)


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    lif = nir.LIF(full(5, 0.01), full(5, 2), full(5, 0), full(5, 0.4), full(5, 0))
    nir.write(tmp_path / "net.nir", nir.NIRGraph.from_list(nir.Linear(rng.normal(size=(5, 3)).astype("f")), lif))
    return tmp_path / "net.nir"


@pytest.fixture
def executable(monkeypatch):
    """Programs with a run of a network can be made."""
    if ("snn.run", registry.ANY) not in registry.KERNELS:
        monkeypatch.setitem(registry.KERNELS, ("snn.run", registry.ANY), lambda op: lambda *inputs: None)


def test_a_network_is_read_run_told_and_written(path, tmp_path):
    net = snn.load(path, dt=DT)
    x = (np.random.default_rng(1).random((30, 2, 3)) < 0.5).astype(np.float32)
    spikes = net(x)
    assert 0 < spikes.mean() < 1
    np.testing.assert_array_equal(net(input=torch.tensor(x)).numpy(), spikes)
    summary = net.summary()
    assert "8 neurons, 15 synapses, a step is 0.001 s" in summary
    assert "input -> lif: dense, delay 0" in summary
    assert "note: NIR does not say how time is cut into steps" in summary
    assert snn.save(net, tmp_path / "new" / "copy.nir") == ()
    np.testing.assert_array_equal(snn.load(tmp_path / "new" / "copy.nir")(x), spikes)


def test_weights_are_read_when_a_network_first_runs(path):
    net = snn.load(path, dt=DT)
    net.weights["linear.weight"].zero_()
    assert not net(np.ones((5, 1, 3))).any()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [((), "missing"), ((np.ones((2, 3)),), "has shape"), ((np.ones((2, 1, 4)),), "has shape")],
)
def test_inputs_that_do_not_fit_are_refused(path, inputs, message):
    with pytest.raises(UserError, match=message):
        snn.load(path, dt=DT)(*inputs)


def test_importing_gossamer_does_not_import_torch():
    code = "import gossamer, sys; assert 'torch' not in sys.modules; gossamer.snn.load; assert 'torch' in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_compile_takes_a_nir_file_and_says_what_it_assumed(path, tmp_path, capsys, executable):
    assert main(["compile", str(path), "--dt", "1e-3", "-o", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert "1 weights" in out
    assert "note: NIR does not say how time is cut into steps" in err
    assert "snn.run @network" in (tmp_path / "out" / "model.mlir").read_text()
    assert main(["explain", str(tmp_path / "out")]) == 0
    assert "note: 'lif': reset to 0" in capsys.readouterr().out
    assert (
        main(["compile", str(path), "--dt", "1e-3", "--discretisation", "euler", "--reset", "subtract", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["notes"] == []


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 1, "how long is a step?"),
        (["--dt", "0"], 1, "dt is 0.0"),
        (["--dt", "soon"], 2, "invalid float value"),
        (["--dt", "1e-3", "--reset", "never"], 1, "no reset 'never'"),
        (["--dt", "1e-3", "--discretisation", "eular"], 1, "did you mean 'euler'"),
        (["--dt", "1e-3", "--dont-care", "a=b"], 2, "is a NIR file: --dont-care says nothing of it"),
        (["--dt", "1e-3", "--from", "simplify"], 2, "starts at 'import'"),
    ],
)
def test_a_wrong_command_line_is_refused(path, options, code, message, capsys):
    assert main(["compile", str(path), *options]) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--dt", "1"], ["--reset", "zero"], ["--round-delays"]])
def test_options_of_nir_files_are_refused_for_others(option, tmp_path, capsys):
    (tmp_path / "model.py").write_text("")
    assert main(["run", f"{tmp_path / 'model.py'}:build", *option]) == 2
    assert f"is no NIR file: {option[0]}" in capsys.readouterr().err
    assert main(["run", str(tmp_path), *option]) == 2
    assert f"is no NIR file: {option[0]}" in capsys.readouterr().err


def test_several_outputs_come_by_name():
    shape = np.array([2])
    tree = nir.NIRGraph(
        {"x": nir.Input(shape), "a": nir.Output(shape), "s": nir.Scale(full(2, 3)), "b": nir.Output(shape)},
        [("x", "a"), ("x", "s"), ("s", "b")],
    )
    found = snn.load(tree, dt=DT)(np.ones((1, 1, 2)))
    assert {name: value.tolist() for name, value in found.items()} == {"a": [[[1, 1]]], "b": [[[3, 3]]]}
