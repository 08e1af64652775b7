"""Generated kernels as text."""

import pytest
import torch
from gossamer.compiler import emit
from gossamer.compiler.cli import main
from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.diagnostics import UserError
from gossamer.tests.runtime.kernels.products import product_text
from xdsl.dialects.builtin import ModuleOp

pytest.importorskip("llvmlite")

NAME = "skip_k_64x48_f32_bias_rows1"


@pytest.fixture
def module() -> ModuleOp:
    found = parse_text(product_text(1, 64, 48, torch.float32, "k", bias=True))
    run_pipeline(found, "lower-products")
    return found


def test_each_kernel_is_emitted_and_the_program_stays(module):
    before = print_module(module)
    assert "define void @" in emit.emitted(module, "llvm")[NAME]
    assert "parallel_rows_1" in emit.emitted(module, "asm")[NAME]
    assert print_module(module) == before


def test_files_go_into_a_folder(module, tmp_path):
    assert emit.emit(module, "llvm", tmp_path) == ""
    assert emit.emit(module, "asm", tmp_path) == ""
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"{NAME}.ll", f"{NAME}.s"]


def test_without_llvmlite_it_says_what_is_missing(module, monkeypatch):
    monkeypatch.setattr(emit.native, "available", lambda: False)
    with pytest.raises(UserError, match="needs llvmlite"):
        emit.emitted(module, "asm")


MODEL = """
import torch
from torch import nn


def build():
    return nn.Linear(8, 4).eval(), (torch.randn(1, 8),)
"""


@pytest.mark.parametrize("kind", ["llvm", "asm"])
def test_a_model_without_kernels_emits_nothing(kind, tmp_path, capsys):
    (tmp_path / "model.py").write_text(MODEL)
    assert main(["compile", f"{tmp_path}/model.py:build", "-p", "simplify,lower-products", "--emit", kind]) == 0
    assert capsys.readouterr().out == ""
