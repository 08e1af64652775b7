"""Kernels become LLVM's; the program around them stays."""

from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.pipeline import run_pipeline
from gossamer.passes.lower_kernels import kernels
from xdsl.dialects import llvm
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

TEXT = """
func.func @forward(%x: f32) -> f32 {
  %c = arith.constant true
  %y = scf.if %c -> (f32) {
    scf.yield %x : f32
  } else {
    scf.yield %x : f32
  }
  func.return %y : f32
}
builtin.module @double {
  func.func @rows_1(%x: memref<?x4xf32>, %weight: memref<4x4xf32>, %bias: memref<4xf32>, %gate: memref<?x4xf32>,
      %active: memref<?xi64>, %size: memref<1xi64>, %output: memref<?x4xf32>, %scratch: memref<?xf32>,
      %rows: index, %part: index, %parts: index) {
    %zero = arith.constant 0 : index
    %four = arith.constant 4 : index
    %one = arith.constant 1 : index
    scf.for %i = %zero to %four step %one {
      %v = memref.load %x[%zero, %i] : memref<?x4xf32>
      %w = arith.addf %v, %v : f32
      memref.store %w, %output[%zero, %i] : memref<?x4xf32>
    }
    func.return
  }
}"""


def test_only_kernels_are_lowered():
    module = parse_text(TEXT)
    run_pipeline(module, "lower-kernels")
    function, kernel = module.ops
    assert isinstance(function, FuncOp)
    assert [op.name for op in function.body.block.ops] == ["arith.constant", "scf.if", "func.return"]
    assert isinstance(kernel, ModuleOp)
    assert all(op.name.startswith("llvm.") for op in kernel.walk() if op is not kernel)
    assert not kernels(module)


def test_a_kernel_has_an_entry_for_one_thread_and_one_for_a_team():
    module = parse_text(TEXT)
    run_pipeline(module, "lower-kernels")
    names = [op.sym_name.data for op in module.walk() if isinstance(op, llvm.FuncOp)]
    assert names == ["rows_1", "omp_get_thread_num", "omp_get_num_threads", "serial_rows_1", "parallel_rows_1"]


def test_the_text_is_a_program_again():
    module = parse_text(TEXT)
    run_pipeline(module, "lower-kernels")
    text = print_module(module)
    assert print_module(parse_text(text)) == text
