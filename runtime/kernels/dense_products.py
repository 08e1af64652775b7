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
from ...dialects.exact import ProductOp
from ...dialects.kernel import SCRATCH
from ..kernel_code import Entry, code_beside
from ..native import Code
from ..product_trials import ALIGNED, Layout, Way, found
from .exact import meant
from .launch import is_plain, is_traced
from .registry import kernel

FUNCTION = "product"
"""The kernel's function."""
ADDRESSES, NUMBERS = Struct("5q"), Struct("10q")
"""a, b, bias, c, scratch; strides of a and b, rows, columns, depth, block, b_first, biased: the kernel's arguments, as
`passes/kernels/product.py` has them."""


class Space(local):
    """Working space of a thread that launches kernels, and of its team."""

    def __init__(self) -> None:
        self.size = self.address = 0
        self.numbers: Any = None

    def at(self, size: int) -> int:
        """The address of room for so many numbers, at the beginning of a line of memory."""
        if size > self.size:
            self.numbers = np.empty(size + ALIGNED // 4, dtype=np.float32)
            address = self.numbers.ctypes.data
            self.size, self.address = size, address + -address % ALIGNED
        return self.address


SPACE = Space()


class Product:
    """A kernel of dense products. Each thread needs [n, m] numbers of working space: n + m (block + 1)."""

    def __init__(self, code: Code, scratch: Attribute):
        self.entry, self.digest = Entry.of(code, FUNCTION), code.digest
        assert isinstance(scratch, DenseArrayBase)
        self.fixed, self.times = map(int, scratch.get_values())

    def __call__(self, a: Tensor, b: Tensor, bias: Tensor | None, c: Tensor, way: Way) -> None:
        """c = a b, with `bias` where there is one."""
        strides = (a.stride(0), a.stride(1)), (b.stride(0), b.stride(1))
        layout = Layout(a.shape[0], a.shape[1], b.shape[1], *strides, (0, 0), bias is not None)
        start = 0 if bias is None else bias.data_ptr()
        self.prepared(layout, way, torch.get_num_threads())(a.data_ptr(), b.data_ptr(), start, c.data_ptr())

    def prepared(self, layout: Layout, way: Way, threads: int) -> Callable[[int, int, int, int], None]:
        """The kernel for matrices of one layout, by the addresses of a, b, bias and c."""
        numbers = *layout.a, *layout.b, layout.rows, layout.columns, layout.depth, *way, layout.biased
        rest, start = NUMBERS.pack(*numbers), self.entry.start
        space = threads * (self.fixed + self.times * (way.block + 1))

        def run(a: int, b: int, bias: int, c: int) -> None:
            start(ADDRESSES.pack(a, b, bias, c, SPACE.at(space)) + rest, threads)

        return run


def readable(tensor: Tensor, axes: int) -> bool:
    """Can the kernel read this tensor's memory?"""
    return is_plain(tensor) and tensor.dim() == axes and 1 in tensor.stride()


@kernel("kernel.product", device="cpu")
def product(op: ProductOp) -> Callable[..., Tensor]:
    """The kernel, or what it means. What torch is asked of each call is as little as can be: other work has pushed it
    out of the caches."""
    module = SymbolTable.lookup_symbol(op, op.kernel)
    if not isinstance(module, ModuleOp) or (code := code_beside(op, op.kernel)) is None:
        return meant(op)
    kernel, known = Product(code, module.attributes[SCRATCH]), dict[tuple[Any, ...], Callable[..., None] | None]()
    (_, depth), (rows, columns) = (tuple(map(int, dims(value.type))) for value in (op.operands[-2], op.results[0]))
    biased = len(op.operands) > 2

    def chosen(a: Tensor, b: Tensor, offsets: tuple[int, int], threads: int) -> Callable[..., None] | None:
        strides = (a.stride(0), a.stride(1)), (b.stride(0), b.stride(1))
        layout = Layout(rows, depth, columns, *strides, offsets, biased)
        way = found(kernel, layout)
        return None if way is None else kernel.prepared(layout, way, threads)

    def run(meaning: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        a, b = inputs[-2:]
        if is_traced(*inputs) or not (readable(a, 2) and readable(b, 2) and (not biased or readable(inputs[0], 1))):
            return meaning(*inputs)
        first, second, threads = a.data_ptr(), b.data_ptr(), torch.get_num_threads()
        key = a.stride(), b.stride(), first % ALIGNED, second % ALIGNED, threads
        if key not in known:
            known[key] = chosen(a, b, key[2:4], threads)
        if (prepared := known[key]) is None:
            return meaning(*inputs)
        c = torch.empty((rows, columns), dtype=torch.float32)
        prepared(first, second, inputs[0].data_ptr() if biased else 0, c.data_ptr())
        return c

    return run
