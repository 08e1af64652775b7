"""Products that skip, of few rows, get a kernel each: it is written into the program, and launched.

    %y = sparse.matmul %x, %w[%d] k : ..     ->    %y = kernel.launch @skip_k_3072x768_f32 skip_k x(%x : ..) .. {
                                                     %r = sparse.matmul ..        what it means, should it not run
                                                     kernel.yield %r
                                                   }
                                                   builtin.module @skip_k_3072x768_f32 { func.func @rows_1(..) .. }

For f32 and bf16 with static widths, of 1 to 16 rows: as many as are static, else functions for up to 1, 4, 8 and 16 are
written and one is chosen when it runs. Equal shapes share a kernel. REASSOC: sums run in the kernel's order, in f32.

Pays at any density: it reads the active part of the weight once, and nothing is copied but, once for each weight that
skips along k, the weight itself (see `runtime/kernels/layouts.py`). Linear in the number of ops.
"""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import BFloat16Type, Float32Type, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ..dialects.aten import dims, tensor_of
from ..dialects.kernel import Form, LaunchOp, YieldOp
from ..dialects.sparse import MatmulOp, Skip
from .kernels.signature import BLOCKS, Element, Machine
from .kernels.skip_k import skip_k

MOST_ROWS = BLOCKS[-1]


@dataclass(frozen=True)
class Shape:
    """What a kernel is written for. `rows` is None where it is known only when it runs."""

    inputs: int
    outputs: int
    rows: int | None
    element: Element
    bias: bool = False
    gate: bool = False

    @property
    def counts(self) -> tuple[int, ...]:
        """The row counts that functions are written for."""
        return BLOCKS if self.rows is None else (self.rows,)

    def name(self, form: Form) -> str:
        """`skip_k_3072x768_f32_bias`, with the number of rows if that is static."""
        parts = [form.value, f"{self.inputs}x{self.outputs}", str(self.element)]
        parts += ["bias"] * self.bias + ["gate"] * self.gate
        return "_".join(parts if self.rows is None else [*parts, f"rows{self.rows}"])


def number_of_rows(x: SSAValue) -> int | None:
    """Rows of `x`, all axes but the last; None where that is known only when it runs."""
    count = 1
    for size in dims(x.type)[:-1]:
        if not isinstance(size, int):
            return None
        count *= size
    return count


def element_of(values: list[SSAValue]) -> Element | None:
    """The one type of all numbers; None where they differ or there is no kernel for it."""
    found = {tensor_of(value).element_type for value in values}
    element = found.pop()
    return element if not found and isinstance(element, Float32Type | BFloat16Type) else None


def shape_of(op: MatmulOp) -> Shape | None:
    """What kernel `op` needs; None where there is none."""
    outputs, inputs = dims(op.weight.type)
    values = [op.x, op.weight, op.output, *([op.bias] if op.bias is not None else [])]
    element, rows = element_of(values), number_of_rows(op.x)
    if element is None or not isinstance(inputs, int) or not isinstance(outputs, int):
        return None
    if not inputs or not outputs or (rows is not None and not 1 <= rows <= MOST_ROWS):
        return None
    return Shape(inputs, outputs, rows, element, bias=op.bias is not None)


@dataclass(frozen=True)
class LowerProducts(ModulePass):
    """See the head of this file. `lanes` and `registers` are the machine's: f32 in a vector, and vectors."""

    name = "lower-products"
    lanes: int = 16
    registers: int = 32

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        functions = [function for function in op.ops if isinstance(function, FuncOp)]
        for product in [p for f in functions for p in f.walk() if isinstance(p, MatmulOp)]:
            if not isinstance(product.parent_op(), LaunchOp) and (shape := shape_of(product)) is not None:
                self.lower_product(op, product, shape)

    @property
    def machine(self) -> Machine:
        """What kernels are shaped by."""
        return Machine(self.lanes, self.registers)

    def lower_product(self, module: ModuleOp, op: MatmulOp, shape: Shape) -> None:
        """Launch a kernel for one product."""
        if op.axis.data is not Skip.K:
            return
        given = {"x": op.x, "weight": op.weight, "active": op.domain}
        if op.bias is not None:
            given["bias"] = op.bias
        launch(module, shape, Form.SKIP_K, given, [op], self.machine)


def launch(
    module: ModuleOp, shape: Shape, form: Form, given: dict[str, SSAValue], ops: list[Operation], machine: Machine
) -> None:
    """Replace `ops`, neighbours in effect, by a launch of their kernel; the last one's results are the launch's."""
    name = shape.name(form)
    if not any(isinstance(op, ModuleOp) and op.sym_name == StringAttr(name) for op in module.ops):
        module.body.block.add_op(write(name, form, shape, machine))
    last = ops[-1]
    block = Block(arg_types=[value.type for value in given.values()])
    inside: dict[SSAValue, SSAValue] = {}
    inside.update(zip(given.values(), block.args, strict=True))
    for op in ops:
        copy = op.clone(inside)
        block.add_op(copy)
    block.add_op(YieldOp(*(inside[result] for result in last.results)))
    call = LaunchOp(name, form, results=[result.type for result in last.results], meaning=Region(block), **given)
    call.location = last.location
    for old, new in zip(last.results, call.results, strict=True):
        new.name_hint = old.name_hint
    Rewriter.insert_op(call, InsertPoint.before(last))
    Rewriter.replace_op(last, [], call.results)
    for op in reversed(ops[:-1]):
        Rewriter.erase_op(op)


def write(name: str, form: Form, shape: Shape, machine: Machine) -> ModuleOp:
    """The kernel `name`."""
    exact = shape.rows is not None
    functions = [
        skip_k(rows, shape.inputs, shape.outputs, shape.element, bias=shape.bias, exact=exact, machine=machine)
        for rows in shape.counts
    ]
    return ModuleOp(functions, sym_name=StringAttr(name))
