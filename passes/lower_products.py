"""Products that skip, of few rows, and supports get a kernel each: it is written into the program, and launched.

    %y = sparse.matmul %x, %w[%d] k : ..     ->    %y = kernel.launch @skip_k_3072x768_f32_rows1 skip_k x(%x : ..) .. {
                                                     %r = sparse.matmul ..        what it means, should it not run
                                                     kernel.yield %r
                                                   }
                                                   builtin.module @skip_k_3072x768_f32_rows1 { func.func @rows_1 .. }

| ops                                                | one launch                                          |
|----------------------------------------------------|-----------------------------------------------------|
| sparse.matmul k, sparse.matmul n, sparse.support   | of each alone                                       |
| sparse.tile, sparse.matmul k by tiles              | of each alone, of any number of rows                |
| relu(x), sparse.support of it                      | both results in one pass (a relu's square as well)  |
| sparse.matmul n over the support of h, times h     | the product is multiplied as it is made             |

For f32 and bf16 with static widths, of 1 to 16 rows: as many as are static, else functions for up to 1, 4, 8 and 16 are
written and one is chosen when it runs. Equal shapes share a kernel. REASSOC: sums run in the kernel's order, in f32.

Pays over the torch form of the same op: the active part of the weight is read once, and nothing is copied but, once
for each weight that skips along k, the weight itself (see `runtime/kernels/layouts.py`). Over a dense product it pays
at any density where the weight comes from memory; not where it stays in cache and all is active, nor where it is
tiny. Linear in the number of ops.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.dialects.scf import IfOp
from xdsl.ir import Block, Operation, OpResult, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ..dialects.aten import CallOp, dims
from ..dialects.kernel import Form, LaunchOp
from ..dialects.meanings import YieldOp
from ..dialects.sparse import EverywhereOp, MatmulOp, Skip, SupportOp
from ..dialects.template import Ref
from ..dialects.tiles import TileOp, TilesType
from .kernels.functions import product_along_k, support_of_rows
from .kernels.shapes import CLUSTERED, Shape, shape_of, tiled_shape_of
from .kernels.signature import Machine
from .kernels.skip_k_tiles import skip_k_tiles
from .kernels.skip_n import skip_n
from .kernels.support import Activation
from .kernels.tile_index import clustered_order, own_order, tile_positions

Given = Mapping[str, SSAValue]
"""Operands of a launch by name, in the order of their definition."""


@dataclass(frozen=True)
class LowerProducts(ModulePass):
    """See the head of this file. `lanes` and `registers` are the machine's: f32 in a vector, and vectors."""

    name = "lower-products"
    lanes: int = 16
    registers: int = 32

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = Machine(self.lanes, self.registers)
        functions = [function for function in op.ops if isinstance(function, FuncOp)]
        found = [o for f in functions for o in f.walk() if not isinstance(o.parent_op(), LaunchOp)]
        for target in found:
            if isinstance(target, MatmulOp):
                lower_product(op, target, machine)
        for target in found:
            if isinstance(target, SupportOp):
                lower_support(op, target, machine)
            if isinstance(target, TileOp):
                lower_tile(op, target, machine)


def lower_product(module: ModuleOp, op: MatmulOp, machine: Machine) -> None:
    """Launch a kernel for a product, and for a multiplication with the gate whose support it is computed on."""
    outputs, inputs = dims(op.weight.type)
    given = {"x": op.x, "weight": op.weight, "active": op.domain}
    if op.bias is not None:
        given["bias"] = op.bias
    ops: list[Operation] = [op]
    if op.axis.data is Skip.N and (gated := gate_of(op)) is not None:
        given["gate"], multiplication = gated
        ops.append(multiplication)
    by_tiles = isinstance(op.domain.type, TilesType)
    form = Form.SKIP_K_TILES if by_tiles else Form.SKIP_K if op.axis.data is Skip.K else Form.SKIP_N
    make = tiled_shape_of if by_tiles else shape_of
    shape = make(inputs, outputs, op.domain if by_tiles else op.x, [*given.values(), op.output])
    if shape is not None:
        flags = tuple(name for name in ("bias", "gate") if name in given)
        launch(module, shape.with_flags(flags), form, given, ops, ops[-1].results, machine)


def lower_tile(module: ModuleOp, op: TileOp, machine: Machine) -> None:
    """Launch a kernel that finds tiles."""
    width = dims(op.x.type)[-1]
    shape = tiled_shape_of(width, width, op.tiles, [op.x])
    if shape is not None:
        flags = () if op.clustered is None else (CLUSTERED,)
        launch(module, shape.with_flags(flags), Form.TILE, {"x": op.x}, [op], [op.tiles], machine)


def gate_of(op: MatmulOp) -> tuple[SSAValue, CallOp] | None:
    """h and the op, where all that is done with the product is h times it, and it is computed on the support of h."""
    uses = list(op.output.uses)
    user = uses[0].operation if len(uses) == 1 else None
    if not isinstance(user, CallOp) or user.target.data != MULTIPLY or len(user.operands) != 2:
        return None
    if user.parent_block() is not op.parent_block():
        return None
    gate = user.operands[1 - uses[0].index]
    source = source_of(op.domain)
    alike = gate.type == op.output.type == user.results[0].type
    return (gate, user) if alike and isinstance(source, SupportOp) and source.x is gate else None


def source_of(domain: SSAValue) -> Operation | None:
    """The op that found a domain, through the guard that may make it everywhere, and through its launch's region."""
    owner, index = domain.owner, domain.index if isinstance(domain, OpResult) else 0
    if isinstance(owner, IfOp):
        branches = [region.block.last_op for region in (owner.true_region, owner.false_region)]
        values = [branch.operands[index] for branch in branches if branch is not None]
        owners = [value.owner for value in values]
        plain = [v for v, o in zip(values, owners, strict=True) if not isinstance(o, EverywhereOp)]
        return source_of(plain[0]) if len(plain) == 1 else None
    return owner if isinstance(owner, Operation) else None


def lower_support(module: ModuleOp, op: SupportOp, machine: Machine) -> None:
    """Launch a kernel for a support, and for the activation that it is taken of."""
    width = dims(op.x.type)[-1]
    ops, flag = activation_of(op)
    x = ops[0].operands[0]
    shape = shape_of(width, width, x, [x, op.x])
    if shape is not None:
        results = [op.domain] if len(ops) == 1 else [op.x, op.domain]
        launch(
            module,
            shape.with_flags(() if flag is Activation.NONE else (flag,)),
            Form.SUPPORT,
            {"x": x},
            ops,
            results,
            machine,
        )


def activation_of(op: SupportOp) -> tuple[list[Operation], Activation]:
    """The ops from the activation to `op`, in order, and what activation that is."""
    owner = op.x.owner
    if is_call(owner, RELU):
        return [owner, op], Activation.RELU
    if is_square(owner):
        inner = owner.operands[0].owner
        if is_call(inner, RELU) and len(list(inner.results[0].uses)) == len(owner.operands):
            return [inner, owner, op], Activation.SQUARED_RELU
    return [op], Activation.NONE


RELU, MULTIPLY = "aten.relu.default", "aten.mul.Tensor"


def is_call(op: Operation | Block, target: str) -> TypeGuard[CallOp]:
    """Is `op` a call of `target`?"""
    return isinstance(op, CallOp) and op.target.data == target


def is_square(op: Operation | Block) -> TypeGuard[CallOp]:
    """Is `op` the square of its operand?"""
    if is_call(op, MULTIPLY):
        return op.template.data.args == (Ref(0), Ref(0))
    if is_call(op, "aten.pow.Tensor_Scalar"):
        return op.template.data.args[1:] == (2,) and not op.template.data.kwargs
    return is_call(op, "aten.square.default")


def launch(
    module: ModuleOp,
    shape: Shape,
    form: Form,
    given: Given,
    ops: Sequence[Operation],
    results: Sequence[SSAValue],
    machine: Machine,
    upto: int | None = None,
) -> None:
    """Replace `ops` by a launch of their kernel, at the place of the last product or the first activation.

    What is read elsewhere, too, stays.
    """
    name = shape.name(form)
    if not any(isinstance(op, ModuleOp) and op.sym_name == StringAttr(name) for op in module.ops):
        module.body.block.add_op(write(name, form, shape, machine))
    block = Block(arg_types=[value.type for value in given.values()])
    inside: dict[SSAValue, SSAValue] = {}
    inside.update(zip(given.values(), block.args, strict=True))
    for op in ops:
        block.add_op(op.clone(inside))
    block.add_op(YieldOp(*(inside[result] for result in results)))
    types, meaning = [result.type for result in results], Region(block)
    call = LaunchOp(name, form, results=types, meaning=meaning, upto=upto, **given)
    at = ops[0] if form is Form.SUPPORT else ops[-1]
    call.location = at.location
    Rewriter.insert_op(call, InsertPoint.before(at))
    for old, new in zip(results, call.results, strict=True):
        new.name_hint = old.name_hint
        old.replace_all_uses_with(new)
    for op in reversed(ops):
        if not any(result.first_use for result in op.results):
            Rewriter.erase_op(op)


def write(name: str, form: Form, shape: Shape, machine: Machine) -> ModuleOp:
    """The kernel `name`."""
    exact, inputs, outputs, element = shape.rows is not None, shape.inputs, shape.outputs, shape.element
    bias, gate = "bias" in shape.flags, "gate" in shape.flags
    functions: list[Operation] = []
    for rows in shape.counts:
        match form:
            case Form.SKIP_K:
                made = product_along_k(rows, shape, machine)
            case Form.SKIP_N:
                made = skip_n(rows, inputs, outputs, element, bias=bias, gate=gate, exact=exact, machine=machine)
            case Form.SUPPORT:
                made = support_of_rows(rows, shape)
            case Form.SUPPORT_SKIP_K:
                functions.append(support_of_rows(rows, shape, keep=False, name=f"find_{rows}"))
                made = product_along_k(rows, shape, machine)
            case Form.SKIP_K_TILES:
                made = skip_k_tiles(rows, inputs, outputs, element, bias=bias, machine=machine)
            case Form.TILE:
                made = tile_positions(rows, inputs, element)
                functions.append(
                    clustered_order(rows, inputs, element, machine=machine)
                    if CLUSTERED in shape.flags
                    else own_order(rows, inputs, element)
                )
        functions.append(made)
    return ModuleOp(functions, sym_name=StringAttr(name))
