"""Attention and its gradients: by the kernel where it was found to have the library's bits and to be faster.

y, s = attention(meaning, q, k, v)
    another dtype or device, numbers of a head that are no neighbours, gradients   ->   meaning(q, k, v)
    a layout for which the library is as fast, or sums otherwise                   ->   meaning(q, k, v)
    a number of 2^55 or more, or NaN, which the kernel finds                       ->   meaning(q, k, v)
    else                                       ->   serial_attention(call) in this thread, or
                                                    parallel_attention(call) in each of torch's team

Working space belongs to the process. Gradients that are joined are written where they stand in the result.
"""

from collections.abc import Callable, Sequence
from ctypes import addressof, c_float
from dataclasses import dataclass
from operator import mul
from struct import Struct, pack
from typing import Any

import torch
from torch import Tensor
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp
from xdsl.ir import Attribute, SSAValue
from xdsl.traits import SymbolTable

from ...dialects.aten import CallOp, dims
from ...dialects.exact import ExactOp, FlashAttentionBackwardOp, FlashAttentionOp
from ...dialects.kernel import SCRATCH
from ..attention_trials import LONGEST, Layout, Shape, Way, found
from ..kernel_code import Entry, code_beside
from ..native import Code
from .dense_products import SPACE
from .exact import meant
from .launch import is_plain, is_traced
from .registry import kernel

FUNCTION, BACKWARD = "attention", "attention_backward"
"""The kernels' functions."""
APART = 16
"""f32 numbers in a line of memory: no two threads have one in common."""
BLOCKS = ((768, 256), (192, 64), (0, 32))
"""ATen's: from so many queries on, so many are in a block."""
Strides = tuple[int, ...]


class Attention:
    """A kernel of attention, or of its gradients: `scratch` is what it says of its working space."""

    def __init__(self, code: Code, function: str, scratch: Attribute):
        self.entry, self.digest, self.is_backward = Entry.of(code, function), code.digest, function == BACKWARD
        assert isinstance(scratch, DenseArrayBase)
        self.scratch = tuple(map(int, scratch.get_values()))

    def __call__(self, shape: Shape, tensors: Sequence[Tensor], way: Way) -> bool:
        """Fill the last tensors, the results. False where a number is too large: then they are not right."""
        run = self.prepared(shape, [tensor.stride() for tensor in tensors], way, torch.get_num_threads())
        return run(*(tensor.data_ptr() for tensor in tensors))

    def prepared(self, shape: Shape, strides: Sequence[Strides], way: Way, threads: int) -> Callable[..., bool]:
        """The same for tensors of these strides, by their addresses."""
        block, keys = block_of(shape.rows), min(shape.columns, LONGEST)
        space = sum(map(mul, self.scratch, (shape.columns * shape.width, keys, block * keys, block, 1)))
        space += -space % APART + APART
        numbers = [*shape.sizes, *(step for each in strides for step in each[:3]), space, shape.causal, way.length]
        numbers += [block, way.scaled] if self.is_backward else []
        rest, addresses = pack(f"{len(numbers)}qf4x", *numbers, shape.scale), Struct(f"{len(strides) + 2}q")
        start = self.entry.start

        def run(*tensors: int) -> bool:
            untame = (c_float * threads)()
            start(addresses.pack(*tensors, addressof(untame), SPACE.at(threads * space)) + rest, threads)
            return not any(untame)

        return run


def block_of(rows: int) -> int:
    """How many of so many queries are in a block."""
    return min(rows, next(size for least, size in BLOCKS if rows >= least))


def shape_of(call: CallOp, q: SSAValue, k: SSAValue, causal: int) -> Shape:
    """The sizes of attention, and how it looks at keys."""
    (batches, heads, rows, width), columns = map(int, dims(q.type)), int(dims(k.type)[2])
    is_causal, scale = call.template.data.get(causal, "is_causal", False), dict(call.template.data.kwargs).get("scale")
    factor = scale if isinstance(scale, float) else width**-0.5
    return Shape(batches, heads, rows, columns, width, bool(is_causal), factor)


@dataclass(frozen=True)
class Results:
    """What a kernel makes: tensors by shape and strides, and of each that it fills, in which it lies and where, in
    bytes, and its strides."""

    made: Sequence[tuple[Strides, Strides]]
    filled: Sequence[tuple[int, int, Strides]]

    @classmethod
    def apart(cls, *made: tuple[Strides, Strides]) -> "Results":
        """Each alone."""
        return cls(made, [(at, 0, own) for at, (_, own) in enumerate(made)])

    @classmethod
    def joined(cls, shape: Shape, order: Sequence[int]) -> "Results":
        """Three gradients side by side along the last axis; `order` says which stands in each place."""
        size = shape.heads * shape.width
        made = (shape.batches, shape.rows, 3 * size), (shape.rows * 3 * size, 3 * size, 1)
        own = shape.rows * 3 * size, shape.width, 3 * size, 1
        return cls([made], [(0, 4 * size * order.index(which), own) for which in range(3)])


def laid_like(shape: Strides, strides: Strides) -> tuple[Strides, Strides]:
    """The shape and strides of `empty_like` of such a tensor."""
    return shape, torch.empty_like(torch.empty_strided(shape, strides, device="meta")).stride()


def launched(
    op: ExactOp, function: str, shape: Shape, results: Callable[[Sequence[Strides]], Results]
) -> Callable[..., Any]:
    """The kernel, or what the op means. `results` are of tensors of these strides."""
    module = SymbolTable.lookup_symbol(op, op.kernel)
    if not isinstance(module, ModuleOp) or (code := code_beside(op, op.kernel)) is None:
        return meant(op)
    kernel = Attention(code, function, module.attributes[SCRATCH])
    known = dict[tuple[Any, ...], tuple[Callable[..., bool], Results] | None]()

    def chosen(threads: int, *strides: Strides) -> tuple[Callable[..., bool], Results] | None:
        layout = Layout(shape, strides)
        if not layout.is_plain() or (way := found(kernel, layout)) is None:
            return None
        made = results(strides)
        return kernel.prepared(shape, [*strides, *(own for *_, own in made.filled)], way, threads), made

    def run(meaning: Callable[..., Any], *inputs: Tensor) -> Any:
        if is_traced(*inputs) or not all(map(is_plain, inputs)):
            return meaning(*inputs)
        key = (torch.get_num_threads(), *(tensor.stride() for tensor in inputs))
        if key not in known:
            known[key] = chosen(*key)
        if (choice := known[key]) is None:
            return meaning(*inputs)
        compute, layout = choice
        made = [torch.empty_strided(*each, dtype=torch.float32) for each in layout.made]
        starts = [tensor.data_ptr() for tensor in made]
        places = (starts[which] + offset for which, offset, _ in layout.filled)
        if not compute(*(tensor.data_ptr() for tensor in inputs), *places):
            del made
            return meaning(*inputs)
        return made[0] if len(made) == 1 else tuple(made)

    return run


@kernel("kernel.attention", device="cpu")
def attention(op: FlashAttentionOp) -> Callable[..., Any]:
    """Attention, which ATen lays as queries lie, and its log-sums."""
    shape = shape_of(op.calls()[0], op.operands[0], op.operands[1], 4)
    batches, heads, rows, _, width = shape.sizes
    output, sums = (batches, heads, rows, width), ((batches, heads, rows), (rows * heads, 1, heads))
    return launched(op, FUNCTION, shape, lambda given: Results.apart(laid_like(output, given[0]), sums))


@kernel("kernel.attention_backward", device="cpu")
def attention_backward(op: FlashAttentionBackwardOp) -> Callable[..., Any]:
    """Gradients by queries, keys and values, which ATen leaves with heads behind rows."""
    shape = shape_of(op.calls()[0], op.operands[1], op.operands[2], 7)
    if op.joined is not None:
        joined = Results.joined(shape, list(map(int, op.joined.get_values())))
        return launched(op, BACKWARD, shape, lambda _: joined)
    batches, heads, rows, columns, width = shape.sizes
    sizes = ((batches, heads, count, width) for count in (rows, columns, columns))
    gradients = Results.apart(*((size, (size[2] * heads * width, width, heads * width, 1)) for size in sizes))
    return launched(op, BACKWARD, shape, lambda _: gradients)
