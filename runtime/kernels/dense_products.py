"""Dense products: by the kernel where it was found to have the library's bits and to be faster, else by the library.

y = product(meaning, a, b)
    strides that neither axis has as neighbours, another dtype or device, gradients   ->   meaning(a, b)
    a layout for which the library is as fast, or sums otherwise                      ->   meaning(a, b)
    else                                                      ->   serial_product(call) in this thread, or
                                                                   parallel_product(call) in each of torch's team

Working space belongs to the process, as the library's own does: 2.1 MB a thread with blocks of 192, as far as it is
touched.
"""

from collections.abc import Callable
from struct import Struct
from threading import local
from typing import Any

import numpy as np
import torch
from torch import Tensor
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp
from xdsl.ir import Attribute
from xdsl.traits import SymbolTable

from ...dialects.aten import dims
from ...dialects.kernel import SCRATCH, ProductOp
from ..kernel_code import Entry, code_beside
from ..native import Code
from ..product_trials import ALIGNED, Layout, Way, found
from .exact import meant
from .launch import PLAIN, is_traced
from .registry import kernel

FUNCTION = "product"
"""The kernel's function."""
CALL = Struct("15q")
"""a, b, bias, c, scratch; strides of a and b; rows, columns, depth, block, b_first, biased: the kernel's arguments, as
`passes/kernels/product.py` has them."""


class Space(local):
    """Working space of a thread that launches kernels, and of its team."""

    def __init__(self) -> None:
        self.numbers = np.empty(0, dtype=np.float32)

    def at(self, size: int) -> int:
        """The address of room for so many numbers, at the beginning of a line of memory."""
        if len(self.numbers) < (needed := size + ALIGNED // 4):
            self.numbers = np.empty(needed, dtype=np.float32)
        address = self.numbers.ctypes.data
        return address + -address % ALIGNED


SPACE = Space()


class Product:
    """A kernel of dense products. Each thread needs [n, m] numbers of working space: n + m (block + 1)."""

    def __init__(self, code: Code, scratch: Attribute):
        self.entry, self.digest = Entry.of(code, FUNCTION), code.digest
        assert isinstance(scratch, DenseArrayBase)
        self.fixed, self.times = map(int, scratch.get_values())

    def __call__(self, a: Tensor, b: Tensor, bias: Tensor | None, c: Tensor, way: Way) -> None:
        """c = a b, with `bias` where there is one."""
        threads = torch.get_num_threads()
        (rows, depth), columns = a.shape, b.shape[1]
        call = CALL.pack(
            a.data_ptr(),
            b.data_ptr(),
            0 if bias is None else bias.data_ptr(),
            c.data_ptr(),
            SPACE.at(threads * (self.fixed + self.times * (way.block + 1))),
            *a.stride(),
            *b.stride(),
            rows,
            columns,
            depth,
            way.block,
            way.b_first,
            bias is not None,
        )
        self.entry.start(call, threads)


def readable(tensor: Tensor, axes: int) -> bool:
    """Can the kernel read this tensor's memory?"""
    plain = tensor.dtype is torch.float32 and tensor.is_cpu and type(tensor) in PLAIN
    return plain and tensor.dim() == axes and 1 in tensor.stride()


@kernel("kernel.product", device="cpu")
def product(op: ProductOp) -> Callable[..., Tensor]:
    """The kernel, or what it means."""
    module = SymbolTable.lookup_symbol(op, op.kernel)
    if not isinstance(module, ModuleOp) or (code := code_beside(op, op.kernel)) is None:
        return meant(op)
    kernel, ways = Product(code, module.attributes[SCRATCH]), dict[tuple[Any, ...], Way | None]()
    shape = tuple(int(size) for size in dims(op.results[0].type))

    def run(meaning: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        *others, a, b = inputs
        bias = others[0] if others else None
        if is_traced(*inputs) or not (readable(a, 2) and readable(b, 2) and (bias is None or readable(bias, 1))):
            return meaning(*inputs)
        offsets = a.data_ptr() % ALIGNED, b.data_ptr() % ALIGNED
        key = a.stride(), b.stride(), offsets, torch.get_num_threads()
        if key not in ways:
            strides = (a.stride(0), a.stride(1)), (b.stride(0), b.stride(1))
            ways[key] = found(kernel, Layout(shape[0], a.shape[1], shape[1], *strides, offsets, bias is not None))
        if (way := ways[key]) is None:
            return meaning(*inputs)
        c = torch.empty(shape, dtype=torch.float32)
        kernel(a, b, bias, c, way)
        return c

    return run
