"""Products of few rows become launches; their kernels stand in the program."""

import pytest
import torch
from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.kernel import LaunchOp
from gossamer.tests.runtime.kernels.products import product_text
from xdsl.dialects import llvm
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

F32, BF16 = torch.float32, torch.bfloat16


def after(text: str, passes: str = "lower-products") -> ModuleOp:
    module = parse_text(text)
    run_pipeline(module, passes)
    return module


def launches(module: ModuleOp) -> list[LaunchOp]:
    return [op for op in module.walk() if isinstance(op, LaunchOp)]


def kernels(module: ModuleOp) -> dict[str, ModuleOp]:
    return {op.sym_name.data: op for op in module.ops if isinstance(op, ModuleOp) and op.sym_name is not None}


def test_a_product_becomes_a_launch_that_says_what_it_means():
    module = after(product_text(1, 64, 48, F32, "k", bias=True))
    (launch,) = launches(module)
    assert [op.name for op in launch.meaning.block.ops] == ["sparse.matmul", "kernel.yield"]
    assert list(kernels(module)) == [launch.kernel.string_value()] == ["skip_k_64x48_f32_bias_rows1"]


def test_the_text_of_every_stage_is_a_program():
    module = parse_text(product_text(2, 64, 48, BF16, "k", bias=True))
    for step in ("lower-products", "lower-kernels"):
        run_pipeline(module, step)
        text = print_module(module)
        again = parse_text(text)
        assert print_module(again) == text


def test_the_same_program_gives_the_same_text():
    text = product_text("s0", 64, 48, F32, "k", bias=False)
    passes = "lower-products,lower-kernels"
    assert print_module(after(text, passes)) == print_module(after(text, passes))


def test_where_the_number_of_rows_is_not_known_there_are_functions_for_several():
    module = after(product_text("s0", 64, 48, F32, "k", bias=False))
    (kernel,) = kernels(module).values()
    assert [op.sym_name.data for op in kernel.ops if isinstance(op, FuncOp)] == [
        "rows_1",
        "rows_4",
        "rows_8",
        "rows_16",
    ]


@pytest.mark.parametrize("rows", [0, 17, 512])
def test_other_numbers_of_rows_stay(rows):
    assert not launches(after(product_text(rows, 64, 48, F32, "k", bias=False)))


def test_other_numbers_stay():
    text = product_text(1, 64, 48, F32, "k", bias=False).replace("f32", "f64")
    assert not launches(after(text))


def test_equal_shapes_share_a_kernel():
    text = product_text(1, 48, 48, F32, "k", bias=True)
    line = next(line for line in text.splitlines() if "sparse.matmul" in line)
    twice = text.replace(line, f"{line}\n{line.replace('%y =', '%z =').replace('matmul %x', 'matmul %y')}")
    module = after(twice.replace("return %y", "return %z"))
    assert len(launches(module)) == 2
    assert len(kernels(module)) == 1


def test_a_second_run_changes_nothing():
    module = after(product_text(1, 64, 48, F32, "k", bias=True))
    before = module.clone()
    run_pipeline(module, "lower-products")
    assert module.is_structurally_equivalent(before)


def test_lowered_kernels_are_llvm_s_with_entries():
    module = after(product_text(1, 64, 48, F32, "k", bias=True), "lower-products,lower-kernels")
    (kernel,) = kernels(module).values()
    assert all(isinstance(op, llvm.FuncOp) for op in kernel.ops)
    names = {op.sym_name.data for op in kernel.ops if isinstance(op, llvm.FuncOp)}
    assert {"rows_1", "serial_rows_1", "parallel_rows_1"} <= names
    before = module.clone()
    run_pipeline(module, "lower-kernels")
    assert module.is_structurally_equivalent(before)
