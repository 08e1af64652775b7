"""`gossamer simulate` as it is typed."""

import json

import numpy as np
import pytest
from gossamer.compiler.cli import main
from gossamer.compiler.commands import simulate
from gossamer.passes.solvers.core_partition import METHODS

nir = pytest.importorskip("nir")


@pytest.fixture
def net(tmp_path):
    """A NIR file: 12 inputs, 8 neurons."""
    neurons = nir.LIF(tau=np.full(8, 2e-3), r=np.full(8, 2.0), v_leak=np.zeros(8), v_threshold=np.full(8, 0.5))
    nodes = {
        "input": nir.Input(np.array([12])),
        "fc": nir.Linear(np.random.default_rng(0).normal(0.2, 0.5, (8, 12)).astype(np.float32)),
        "lif": neurons,
        "output": nir.Output(np.array([8])),
    }
    path = tmp_path / "net.nir"
    nir.write(path, nir.NIRGraph(nodes, [("input", "fc"), ("fc", "lif"), ("lif", "output")]))
    return path


@pytest.fixture
def run(capsys):
    def typed(*words):
        code = main(["simulate", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return typed


def test_a_file_is_run_mapped_and_told_of_with_all_that_is_asked_for(run, net, tmp_path):
    code, out, err = run(net, "--dt", "1e-3", "--steps", 20, "--json", tmp_path / "o.json", "--trace",
                         tmp_path / "t.json", "--dump", tmp_path / "dump", "--packets")  # fmt: skip
    assert code == 0
    assert "certified" in out
    assert "note:" in err
    found = json.loads((tmp_path / "o.json").read_text())
    assert found["steps"] == 20
    assert found["makespan_ns"] > 0
    assert json.loads((tmp_path / "t.json").read_text())
    stages = sorted(path.name for path in (tmp_path / "dump").glob("*.mlir"))
    assert stages == ["00_import.mlir", "01_partition-cores.mlir", "02_place-cores.mlir", "03_assign-dependencies.mlir"]


def test_what_cannot_be_written_is_told(run, net, tmp_path):
    (tmp_path / "taken").write_text("")
    for flag, path in (("--trace", "taken/t.json"), ("--plots", "taken/plots"), ("--json", "taken/o.json")):
        code, _, err = run(net, "--dt", "1e-3", "--steps", 3, "--cores", 2, flag, tmp_path / path)
        assert code == 1
        assert "cannot be written" in err


def test_the_partitioners_are_those_that_there_are():
    assert set(simulate.METHODS) == {"auto", *METHODS}


def test_spikes_come_from_a_file(run, net, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((7, 12)))
    code, out, _ = run(net, "--dt", "1e-3", "--spikes", tmp_path / "x.npy")
    assert code == 0
    assert "7 steps, 0 spikes" in out


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("no arrays"), "holds no arrays"),
        (lambda path: np.save(path, np.full((3, 12), 2)), r"expected 0 or 1, got 2 at [0, 0]"),
        (lambda path: np.save(path, np.zeros(3)), "expected numbers [steps, *shape]"),
        (lambda path: np.save(path, np.zeros((3, 11))), "expected [steps, 12], got [3, 11]"),
        (lambda path: np.savez(path.open("wb"), other=np.zeros((3, 12))), "no input 'other'"),
        (lambda path: None, "cannot be read"),
    ],
)
def test_spikes_that_are_none_are_refused_with_the_file(run, net, tmp_path, make, message):
    path = tmp_path / "x.npy"
    make(path)
    code, _, err = run(net, "--dt", "1e-3", "--spikes", path)
    assert code == 1
    assert message in err


def test_what_is_wrong_is_told(run, net, tmp_path):
    assert "how long is a step?" in run(net)[2]
    code, _, err = run(net, "--dt", "1e-3", "--machine", "loihi3")
    assert code == 1
    assert "did you mean 'loihi1'?" in err
    machine = tmp_path / "mine.toml"
    machine.write_text('title = "mine"\n[array]\nmesh = 3\n')
    code, _, err = run(net, "--dt", "1e-3", "--machine", machine)
    assert code == 1
    assert "mine.toml:" in err
    assert run(tmp_path / "none.nir", "--dt", "1e-3")[0] == 1
    assert run(net, "--dt", "1e-3", "--rate", "2")[0] == 2
    assert run(net, "--dt", "1e-3", "--steps", "0")[0] == 2
    assert run(net, "--dt", "1e-3", "--policy", "none")[0] == 2


def test_a_saved_network_is_mapped_without_its_file(run, net, tmp_path):
    assert main(["compile", str(net), "--dt", "1e-3", "-o", str(tmp_path / "out")]) == 0
    net.unlink()
    code, out, _ = run(tmp_path / "out", "--steps", 5)
    assert code == 0
    assert "5 steps" in out
