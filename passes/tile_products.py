"""Dense products of a training step become launches of one tiled kernel that has its sums in the library's order.

    %y = aten.call "aten.addmm.default"(%b, %x, %w)   ->   %y = kernel.product @product(%b, %x, %w) : .. {
                                                           ^bb0(%0: .., %1: .., %2: ..):
                                                             %r = aten.call "aten.addmm.default"(%0, %1, %2)
                                                             kernel.yield %r
                                                           }
                                                           builtin.module @product { func.func @product(..) {..} }

| call                   | becomes a launch where                                                          |
| ---------------------- | ------------------------------------------------------------------------------- |
| aten.mm(a, b)          | a and b are f32 of static sizes, and it has `least` multiplications at least    |
| aten.addmm(bias, a, b) | the same, without scales, the bias a number for each column                     |

Legal always: when it runs, the kernel computes what it was tried on and found to have the library's bits and to be
faster (`runtime/product_trials.py`), and the call the rest. Pays as far as the kernel is faster: 5 to 15 % on a
processor that the library was not written for, 2 % on one that it was. Linear in the number of ops.
"""

from dataclasses import dataclass
from math import prod

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, f32
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from ..dialects.aten import CallOp, dims, tensor_of
from ..dialects.exact import ProductOp
from ..dialects.template import Ref, Template
from .enclosing import add_kernel, enclose, put
from .kernels.product import FUNCTION, product_kernel
from .kernels.signature import Machine

CALLS = {"aten.mm.default": 2, "aten.addmm.default": 3}
"""Products, and how many operands they have: all their arguments."""


def is_static_f32(value: SSAValue, axes: int) -> bool:
    """Is this a tensor of f32 whose `axes` sizes are known?"""
    shape = dims(value.type)
    return tensor_of(value).element_type == f32 and len(shape) == axes and all(isinstance(n, int) for n in shape)


def multiplications(op: CallOp) -> int:
    """How many a product has that may be a launch; 0 for other calls."""
    operands = list(op.operands)
    plain = Template(tuple(map(Ref, range(len(operands)))))
    if CALLS.get(op.target.data) != len(operands) or op.template.data != plain:
        return 0
    *bias, a, b = operands
    if not (is_static_f32(a, 2) and is_static_f32(b, 2) and all(is_static_f32(value, 1) for value in bias)):
        return 0
    (rows, depth), (_, columns) = (tuple(map(int, dims(value.type))) for value in (a, b))
    return 0 if any(dims(value.type) != (columns,) for value in bias) else prod((rows, depth, columns))


@dataclass(frozen=True)
class TileProducts(ModulePass):
    """See the head of this file. `lanes` and `registers` are the machine's: f32 in a vector, and vectors."""

    name = "tile-products"
    least: int = 1 << 20
    lanes: int = 16
    registers: int = 32

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        functions = [function for function in op.ops if isinstance(function, FuncOp)]
        calls = [call for function in functions for call in function.body.block.ops if isinstance(call, CallOp)]
        found = [call for call in calls if multiplications(call) >= self.least]
        for call in found:
            add_kernel(op, FUNCTION, lambda: product_kernel(FUNCTION, Machine(self.lanes, self.registers)))
            put(enclose(ProductOp, [call], FUNCTION), [call])
