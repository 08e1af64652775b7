"""The command line in this process, and what it is given."""

import io
import sys
from pathlib import Path

import pytest
from gossamer.compiler.cli import main
from gossamer.tests.compiler.command_models import MODEL, TEXT


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
