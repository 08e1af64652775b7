"""Kernels, which are modules of the program, as functions in memory."""

import ctypes
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from xdsl.dialects import llvm
from xdsl.dialects.builtin import ModuleOp

from .native import Code, callable_names, load, target

PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
"""Of a kernel's entry."""


def llvm_text(module: ModuleOp) -> str | None:
    """A kernel as LLVM's own text; None where it is not lowered yet, or calls what is not here."""
    from xdsl.backend.llvm.convert import convert_module

    functions = [op for op in module.ops if isinstance(op, llvm.FuncOp)]
    called = {function.sym_name.data for function in functions if not function.body.blocks}
    if len(functions) < len(list(module.ops)) or not called <= callable_names():
        return None
    machine = target()
    return str(convert_module(module, fallback_target_triple=machine.triple, data_layout=str(machine.target_data)))


CODE: "WeakKeyDictionary[ModuleOp, Code]" = WeakKeyDictionary()
"""What kernels became: many launches of a program share one."""


def code_of(module: ModuleOp) -> Code | None:
    """A kernel's code; None where it has no text."""
    if module not in CODE and (text := llvm_text(module)) is not None:
        CODE[module] = load(text)
    return CODE.get(module)


def launch_function(address: int) -> Callable[[Any], None]:
    """The function at an address, that takes a call."""
    return PROTOTYPE(address)
