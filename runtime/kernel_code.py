"""Kernels, which are modules of the program, as functions in memory."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from xdsl.dialects import llvm
from xdsl.dialects.builtin import ModuleOp, SymbolRefAttr
from xdsl.ir import Operation
from xdsl.traits import SymbolTable

from .native import Code, available, callable_names, load, target
from .openmp import team_runner

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


def code_beside(op: Operation, kernel: SymbolRefAttr) -> Code | None:
    """The code of the kernel that stands beside the function of `op`; None where nothing compiles."""
    module = SymbolTable.lookup_symbol(op, kernel) if available() else None
    return code_of(module) if isinstance(module, ModuleOp) else None


@dataclass(frozen=True)
class Entry:
    """A function of a kernel, as it is entered by one thread, and by each of a team."""

    serial: Callable[[Any], None]
    parallel: int

    @classmethod
    def of(cls, code: Code, name: str) -> "Entry":
        """That of the function of this name."""
        return cls(launch_function(code[f"serial_{name}"]), code[f"parallel_{name}"])

    def start(self, call: Any, threads: int) -> None:
        """Run it, in this thread or by torch's team."""
        if threads == 1 or (team := team_runner()) is None:
            self.serial(call)
        else:
            team(self.parallel, call, threads, 0)
