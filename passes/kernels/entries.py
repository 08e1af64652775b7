"""How a kernel is entered: with the address of its arguments, alone or as one of a team of threads.

    rows_1(x, weight, .., rows, part, parts)             ->   serial_rows_1(call)     rows_1(call.., 0, 1)
                                                              parallel_rows_1(call)   rows_1(call.., thread, threads)

`call` holds nine numbers of 64 bits: the arguments of `signature.py` up to `rows`, buffers by address, and the number
of active positions itself. `parallel_rows_1` is what each thread of an OpenMP team runs. Kernels that name their own
arguments (`kernel.arguments`) are entered alike: a number for each name, buffers by address, then part and parts.
"""

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import llvm
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i32, i64
from xdsl.ir import Attribute, Block, Region, SSAValue

from ...dialects.kernel import ARGUMENTS
from .signature import NAMES

POINTER = llvm.LLVMPointerType()
TEAM = ("omp_get_thread_num", "omp_get_num_threads")
SIZE = NAMES.index("size")


def add_entries(module: ModuleOp) -> None:
    """Give each `llvm.func` of `module` that is not for itself alone its two entries."""
    functions = [op for op in module.ops if isinstance(op, llvm.FuncOp)]
    bodies = [op for op in functions if op.body.blocks and op.linkage.linkage.data == "external"]
    named = ARGUMENTS in module.attributes
    declared = [llvm.FuncOp(name, llvm.LLVMFunctionType([], i32), llvm.LinkageAttr("external")) for name in TEAM]
    entries = [entry(body, parallel, named) for body in bodies for parallel in (False, True)]
    module.body.block.add_ops([*declared, *entries])


def entry(body: llvm.FuncOp, parallel: bool, named: bool) -> llvm.FuncOp:
    """The entry of function `body`."""
    name, kinds = body.sym_name.data, body.function_type.inputs.data[:-2]
    block = Block(arg_types=[POINTER])
    call = block.args[0]
    call.name_hint = "call"
    with ImplicitBuilder(block):
        given = [
            slot(call, place) if place == SIZE and not named else read(call, place, kind)
            for place, kind in enumerate(kinds)
        ]
        team = [team_number(function) for function in TEAM] if parallel else [whole(0), whole(1)]
        llvm.CallOp(name, *given, *team)
        llvm.ReturnOp()
    kind = llvm.LLVMFunctionType([POINTER])
    title = f"{'parallel' if parallel else 'serial'}_{name}"
    return llvm.FuncOp(title, kind, llvm.LinkageAttr("external"), body=Region(block))


def slot(call: SSAValue, place: int) -> SSAValue:
    """The address of the argument at `place`."""
    return llvm.GEPOp.from_mixed_indices(call, [place], i64).result


def read(call: SSAValue, place: int, kind: Attribute) -> SSAValue:
    """The argument at `place`."""
    return llvm.LoadOp(slot(call, place), kind, alignment=8).dereferenced_value


def whole(value: int) -> SSAValue:
    """A number of 64 bits."""
    return llvm.ConstantOp(IntegerAttr(value, i64), i64).result


def team_number(function: str) -> SSAValue:
    """What OpenMP says of this thread, as a number of 64 bits."""
    found = llvm.CallOp(function, return_type=i32).returned
    assert found is not None
    return llvm.ZExtOp(found, i64).res
