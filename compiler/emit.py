"""`--emit llvm` and `--emit asm`: the generated kernels of a program, as LLVM's text or this processor's assembly.

gossamer compile model.py:build --emit asm                    on standard output
gossamer compile model.py:build -o out --emit llvm            out/skip_k_3072x768_f32_rows1.ll
"""

from pathlib import Path

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from ..dialects.diagnostics import UserError
from ..passes.lower_kernels import LowerKernels
from ..runtime import native
from ..runtime.kernel_code import llvm_text
from .context import write_text

KINDS = {"llvm": ".ll", "asm": ".s"}
"""What can be emitted, and the ending of its files."""


def emitted(module: ModuleOp, kind: str) -> dict[str, str]:
    """The text of each kernel by its name; kernels that are not lowered yet are lowered in a copy."""
    if not native.available():
        raise UserError(f"--emit {kind} needs llvmlite", hint="pip install 'gossamer[native]'")
    copy = module.clone()
    LowerKernels().apply(Context(), copy)
    found: dict[str, str] = {}
    for op in copy.ops:
        if isinstance(op, ModuleOp) and op.sym_name is not None and (text := llvm_text(op)) is not None:
            found[op.sym_name.data] = native.assembly(text) if kind == "asm" else text
    return found


def emit(module: ModuleOp, kind: str, folder: Path | None) -> str:
    """Write one file for each kernel into `folder`; without one, all of them as one text."""
    texts = emitted(module, kind)
    if folder is not None:
        for name, text in texts.items():
            write_text(folder / f"{name}{KINDS[kind]}", text)
        return ""
    mark = ";" if kind == "llvm" else "#"
    return "".join(f"{mark} {name}\n{text}\n" for name, text in texts.items())
