"""What every kernel takes: one list of arguments for all, so that one way to call serves all.

| argument  | type            | is                                                                 |
|-----------|-----------------|--------------------------------------------------------------------|
| x         | memref<?xKxT>   | rows that come in                                                  |
| weight    | memref<?x?xT>   | of a product; [k, n] where it skips along k, [n, k] along n        |
| bias      | memref<?xT>     | one number for each output                                         |
| gate      | memref<?xNxT>   | what the result is multiplied with                                 |
| active    | memref<?xi64>   | active positions, ascending: read by products, written by supports |
| size      | memref<1xi64>   | how many of them                                                   |
| output    | memref<?xNxT>   | rows that go out                                                   |
| scratch   | memref<?xf32>   | working space: `parts * rows * (64 + size or N)` numbers           |
| rows      | index           | how many rows, 1 up to as many as the function is for              |
| part      | index           | the part of the work that this call does                           |
| parts     | index           | into how many it is cut                                            |

A kernel is a module of functions `@rows_1`, `@rows_4`, .., each for up to so many rows. What a kernel does not need is
null. No two of the buffers overlap, but for those that are only read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import func
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    ArrayAttr,
    BFloat16Type,
    Float32Type,
    FunctionType,
    MemRefType,
    ModuleOp,
    StringAttr,
    f32,
    i64,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ...dialects.kernel import ARGUMENTS
from .writing import INDEX

Element = Float32Type | BFloat16Type

BLOCKS = (1, 4, 8, 16)
"""The row counts that functions are written for where the number of rows is known only when it runs."""
APART = 64
"""Numbers of working space for each row beyond those that are summed: no two threads have neighbouring lines."""
NAMES = ("x", "weight", "bias", "gate", "active", "size", "output", "scratch", "rows", "part", "parts")


@dataclass(frozen=True)
class Machine:
    """What kernels are shaped by: f32 numbers in a vector register, and how many of those there are."""

    lanes: int = 16
    registers: int = 32


MACHINE = Machine()
"""One with AVX-512."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of a kernel's function."""

    x: SSAValue
    weight: SSAValue
    bias: SSAValue
    gate: SSAValue
    active: SSAValue
    size: SSAValue
    output: SSAValue
    scratch: SSAValue
    rows: SSAValue
    part: SSAValue
    parts: SSAValue


def kernel_function(
    rows: int,
    inputs: int,
    outputs: int,
    weight: tuple[int, int],
    element: Element,
    body: Callable[[Arguments], None],
    *,
    name: str = "",
) -> func.FuncOp:
    """The function for up to `rows` rows: `inputs` numbers each come in, `outputs` go out."""
    some = DYNAMIC_INDEX
    types = [
        MemRefType(element, (some, inputs)),
        MemRefType(element, weight),
        MemRefType(element, (outputs,)),
        MemRefType(element, (some, outputs)),
        MemRefType(i64, (some,)),
        MemRefType(i64, (1,)),
        MemRefType(element, (some, outputs)),
        MemRefType(f32, (some,)),
        *[INDEX] * 3,
    ]
    block = Block(arg_types=types)
    for value, hint in zip(block.args, NAMES, strict=True):
        value.name_hint = hint
    with ImplicitBuilder(block):
        body(Arguments(*block.args))
        func.ReturnOp()
    return func.FuncOp(name or f"rows_{rows}", FunctionType.from_lists(types, []), Region(block))


def named_kernel(
    function: str,
    arguments: Mapping[str, Attribute],
    write: Callable[[dict[str, SSAValue]], None],
    *,
    name: str | None = None,
    attributes: Mapping[str, Attribute] | None = None,
    beside: Sequence[Operation] = (),
) -> ModuleOp:
    """A kernel of one function that names its own arguments. `write` is given them by name, with `part` and `parts`;
    `beside` are functions that it calls."""
    kinds = {**arguments, "part": INDEX, "parts": INDEX}
    block = Block(arg_types=[*kinds.values()])
    given = dict[str, SSAValue](zip(kinds, block.args, strict=True))
    for argument, value in given.items():
        hint = argument.replace(".", "_")
        value.name_hint = hint if hint.isidentifier() else f"of_{hint}"  # populations are named as files name them
    with ImplicitBuilder(block):
        write(given)
        func.ReturnOp()
    made = func.FuncOp(function, FunctionType.from_lists([*kinds.values()], []), Region(block))
    names = ArrayAttr([StringAttr(argument) for argument in arguments])
    title = None if name is None else StringAttr(name)
    return ModuleOp([made, *beside], {ARGUMENTS: names, **(attributes or {})}, title)
