"""Kernels become LLVM's dialect, and get the entries that they are called by. The rest of the program stays.

    builtin.module @skip_k {                          builtin.module @skip_k {
      func.func @rows_1(%x: memref<..>, ..) {           llvm.func @rows_1(%x: !llvm.ptr {llvm.noalias}, ..) { .. }
        scf.for ..                              ->      llvm.func @serial_rows_1(%call: !llvm.ptr) { .. }
      }                                                 llvm.func @parallel_rows_1(%call: !llvm.ptr) { .. }
    }                                                 }

Loops become jumps, then each dialect its own (`convert-*-to-llvm`). Linear in the kernel's ops, 0.2 ms each; a kernel
that is as the last of its name was is a copy of what that became.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.transforms.convert_scf_to_cf import ConvertScfToCf

from .convert_arith_to_llvm import ConvertArithToLLVM
from .convert_cf_to_llvm import ConvertCfToLLVM
from .convert_func_to_llvm import ConvertFuncToLLVM
from .convert_memref_to_llvm import ConvertMemrefToLLVM
from .convert_vector_to_llvm import ConvertVectorToLLVM
from .kernels.entries import add_entries

STEPS: tuple[ModulePass, ...] = (
    ConvertScfToCf(),
    ConvertMemrefToLLVM(),
    ConvertVectorToLLVM(),
    ConvertArithToLLVM(),
    ConvertCfToLLVM(),
    ConvertFuncToLLVM(),
)
"""What makes a kernel LLVM's, in order."""


def kernels(module: ModuleOp) -> list[ModuleOp]:
    """The kernels of `module` that are not lowered yet."""
    named = [op for op in module.ops if isinstance(op, ModuleOp) and op.sym_name is not None]
    return [kernel for kernel in named if any(isinstance(op, func.FuncOp) for op in kernel.ops)]


LOWERED: dict[str, tuple[ModuleOp, ModuleOp]] = {}
"""By name, the last kernel that was lowered, and what it became: programs of one process have many in common."""


def lower(ctx: Context, kernel: ModuleOp) -> None:
    """Make one kernel LLVM's."""
    name = str(kernel.sym_name)
    if name in LOWERED and kernel.is_structurally_equivalent(LOWERED[name][0]):
        kernel.body.erase_block(kernel.body.block)
        LOWERED[name][1].clone().body.move_blocks(kernel.body)
        return
    before = kernel.clone()
    for step in STEPS:
        step.apply(ctx, kernel)
    add_entries(kernel)
    LOWERED[name] = before, kernel.clone()


@dataclass(frozen=True)
class LowerKernels(ModulePass):
    """See the head of this file."""

    name = "lower-kernels"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for kernel in kernels(op):
            lower(ctx, kernel)
