"""Launches: a kernel's entry is called with the addresses of its arguments; see `dialects/kernel.py`.

    y = launch(meaning, x, weight=w, active=d)
        what the kernel cannot do     ->   meaning(x, w, d), the launch's region as a Python function
        little work                   ->   serial_rows_1(call) in this thread
        else                          ->   parallel_rows_1(call) in each thread of torch's team

A call costs about 7 us more than one of torch's products. Where llvmlite is missing, or the program's kernels are not
lowered to LLVM's dialect, all launches are what they mean.
"""

from collections.abc import Callable
from ctypes import c_int64
from dataclasses import dataclass
from struct import Struct
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from xdsl.dialects import llvm
from xdsl.dialects.builtin import ModuleOp
from xdsl.traits import SymbolTable

from ...dialects.aten import dims, tensor_of
from ...dialects.kernel import Form, LaunchOp
from .. import kernel_code
from ..domain import Domain
from ..dtypes import DTYPES
from ..openmp import team_runner
from .layouts import k_major
from .registry import kernel

CALL = Struct("9q")
"""x, weight, bias, gate, active, size, output, scratch, rows: see `passes/kernels/signature.py`."""
APART = 64
"""Numbers of working space for each row beyond those of its positions or outputs."""
SIZE = 5
"""Where the number of active positions stands."""
OUTPUT, SCRATCH = 6, 7
"""Where what goes out and the working space do."""
Call = c_int64 * 9
"""A call that a kernel writes to."""
PLAIN = (Tensor, Parameter)
"""Kinds of tensors whose memory is theirs."""
Meaning = Callable[..., Any]
GRAIN = 1 << 21
"""Bytes of weight, times rows, that are worth a second thread: it wins a seventh there, and may wait for its core."""


@dataclass(frozen=True)
class Entry(kernel_code.Entry):
    """A function of a kernel: for up to `rows` rows."""

    rows: int


@kernel("kernel.launch")
def meant(_: LaunchOp) -> Callable[..., Any]:
    """On devices without kernels: what the launch means."""
    return lambda meaning, x, **others: meaning(x, *others.values())


@kernel("kernel.launch", device="cpu")
def launch(op: LaunchOp) -> Callable[..., Any]:
    """The kernel, or what it means."""
    entries = entries_of(op)
    return FORMS[op.form.data](op, entries) if entries else meant(op)


def entries_of(op: LaunchOp, kind: str = "rows") -> list[Entry | None]:
    """The entry for each number of rows, 0 .. as many as there are functions for; empty where nothing compiles.

    `kind` is what the functions are called before that number.
    """
    module, code = SymbolTable.lookup_symbol(op, op.kernel), kernel_code.code_beside(op, op.kernel)
    if not isinstance(module, ModuleOp) or code is None:
        return []
    found: list[Entry | None] = [None]
    names = (function.sym_name.data for function in module.ops if isinstance(function, llvm.FuncOp))
    static = all(isinstance(size, int) for size in dims(op.x.type)[:-1])
    for rows in sorted(int(name.removeprefix(f"{kind}_")) for name in names if name.startswith(f"{kind}_")):
        both = kernel_code.Entry.of(code, f"{kind}_{rows}")
        entry = Entry(both.serial, both.parallel, rows)
        found += [None if static else entry] * (rows - len(found)) + [entry]
    return found


def is_plain(tensor: Tensor, dtype: torch.dtype = torch.float32) -> bool:
    """Has this tensor memory of its own here, with numbers of `dtype`?"""
    return tensor.dtype is dtype and tensor.is_cpu and type(tensor) in PLAIN


def ready(tensor: Tensor, dtype: torch.dtype) -> bool:
    """Can a kernel read this tensor's memory?"""
    return is_plain(tensor, dtype) and tensor.is_contiguous()


def is_traced(*tensors: Tensor | None) -> bool:
    """Are gradients asked of any of these?"""
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


def threads_for(work: int) -> int:
    """How many threads `work` bytes of weight, times rows, are worth."""
    return 1 if work < GRAIN or team_runner() is None else torch.get_num_threads()


def product(op: LaunchOp, entries: list[Entry | None]) -> Callable[..., Tensor]:
    """Products that skip: see `passes/kernels/skip_k.py` and `skip_n.py`."""
    assert op.weight is not None
    outputs, inputs = (int(size) for size in dims(op.weight.type))
    dtype = DTYPES[tensor_of(op.x).element_type]
    along_k = op.form.data is Form.SKIP_K
    line = (outputs if along_k else inputs) * dtype.itemsize

    def run(
        meaning: Meaning,
        x: Tensor,
        weight: Tensor,
        active: Domain,
        bias: Tensor | None = None,
        gate: Tensor | None = None,
    ) -> Tensor:
        rows, positions = x.numel() // inputs, active.rows
        entry = entries[rows] if rows < len(entries) and not active.everywhere else None
        read = None if entry is None else k_major(weight) if along_k else weight
        if (
            entry is None
            or read is None
            or not (ready(x, dtype) and ready(read, dtype))
            or not (bias is None or ready(bias, dtype))
            or not (gate is None or ready(gate, dtype))
            or is_traced(x, weight, bias, gate)
        ):
            return meaning(x, weight, active, *(tensor for tensor in (bias, gate) if tensor is not None))
        size = len(positions)
        threads = threads_for(size * line * rows)
        output = x.new_empty((*x.shape[:-1], outputs))
        scratch = None
        if along_k and (entry.rows > 1 or dtype is not torch.float32):
            scratch = torch.empty(threads * entry.rows * (APART + max(size, outputs)), dtype=torch.float32)
        call = CALL.pack(
            x.data_ptr(),
            read.data_ptr(),
            0 if bias is None else bias.data_ptr(),
            0 if gate is None else gate.data_ptr(),
            positions.data_ptr(),
            size,
            output.data_ptr(),
            0 if scratch is None else scratch.data_ptr(),
            rows,
        )
        entry.start(call, threads)
        return output

    return run


def support(op: LaunchOp, entries: list[Entry | None]) -> Callable[..., Any]:
    """Activations and supports: see `passes/kernels/support.py`."""
    width = int(dims(op.x.type)[-1])
    dtype = DTYPES[tensor_of(op.x).element_type]
    activates = len(op.results) > 1

    def run(meaning: Meaning, x: Tensor) -> Any:
        rows = x.numel() // width
        entry = entries[rows] if rows < len(entries) else None
        if entry is None or not ready(x, dtype) or is_traced(x):
            return meaning(x)
        output = torch.empty_like(x) if activates else x
        found = torch.empty(width, dtype=torch.int64)
        scratch = torch.empty(width if rows > 1 else 0, dtype=torch.float32)
        addresses = x.data_ptr(), 0, 0, 0, found.data_ptr(), 0, output.data_ptr(), scratch.data_ptr(), rows
        call = Call(*addresses)
        entry.serial(call)
        domain = Domain((width,), found.resize_(call[SIZE]))
        return (output, domain) if activates else domain

    return run


def activated_product(op: LaunchOp, entries: list[Entry | None]) -> Callable[..., Tensor]:
    """Products that skip by what an activation leaves: first that is found, then summed over."""
    assert op.weight is not None
    assert op.upto is not None
    outputs, inputs = (int(size) for size in dims(op.weight.type))
    dtype, most = DTYPES[tensor_of(op.x).element_type], op.upto.value.data
    finds, line = entries_of(op, "find"), outputs * dtype.itemsize

    def run(meaning: Meaning, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        rows = x.numel() // inputs
        entry = entries[rows] if rows < len(entries) else None
        find = finds[rows] if rows < len(finds) else None
        if (
            entry is None
            or find is None
            or (read := k_major(weight)) is None
            or not (ready(x, dtype) and ready(read, dtype) and (bias is None or ready(bias, dtype)))
            or is_traced(x, weight, bias)
        ):
            return meaning(x, weight) if bias is None else meaning(x, weight, bias)
        space = torch.empty(2 * inputs, dtype=torch.int64)
        active, flags = space.data_ptr(), space.data_ptr() + 8 * inputs
        offset = 0 if bias is None else bias.data_ptr()
        call = Call(x.data_ptr(), read.data_ptr(), offset, 0, active, 0, 0, flags, rows)
        find.serial(call)
        size = call[SIZE]
        if size > most:
            return meaning(x, weight) if bias is None else meaning(x, weight, bias)
        threads = threads_for(size * line * rows)
        output = x.new_empty((*x.shape[:-1], outputs))
        call[OUTPUT] = output.data_ptr()
        if rows > 1 or dtype is not torch.float32:
            scratch = torch.empty(threads * entry.rows * (APART + max(size, outputs)), dtype=torch.float32)
            call[SCRATCH] = scratch.data_ptr()
        entry.start(call, threads)
        return output

    return run


FORMS: dict[Form, Callable[[LaunchOp, list[Entry | None]], Callable[..., Any]]] = {
    Form.SKIP_K: product,
    Form.SKIP_N: product,
    Form.SUPPORT_SKIP_K: activated_product,
    Form.SUPPORT: support,
}
"""How the kernels of each form are called; `launch_tiles.py` adds those of tiles."""
