"""`gossamer run`: inputs from files, results beside those of eager torch."""

import os

import numpy
import pytest
import torch
from safetensors.torch import save_file


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
