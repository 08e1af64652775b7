"""`kernel`: generated code that is part of the program, and calls of it.

| op                              | reads as                                                               |
|---------------------------------|------------------------------------------------------------------------|
| `kernel.launch`                 | what its region says, computed by a kernel where that can be had       |
| `kernel.map`                    | the same, element by element, to the bit                               |
| `kernel.product`                | the same, a product of two matrices, to the bit                        |
| `kernel.cross_entropy_backward` | the same, the gradient of a loss by its scores, to the bit             |
| `kernel.yield`                  | the results of that region                                             |
| `kernel.prefetch`               | inside a kernel: the line of memory at buffer[i, ..] will be read      |

A kernel is a module with a name inside the module, of functions for some numbers of rows:

    func.func @forward(..) {
      %y = kernel.launch @skip_k_3072x768_f32 skip_k x(%x : ..) weight(%w : ..) active(%d : ..) -> tensor<1x768xf32> {
      ^bb0(%a: .., %b: .., %c: ..):
        %r = sparse.matmul %a, %b[%c] k : ..
        kernel.yield %r : ..
      }
    }
    builtin.module @skip_k_3072x768_f32 { func.func @rows_1(..) {..} }
"""

from abc import ABC
from collections.abc import Sequence
from enum import auto

from xdsl.dialects.builtin import IndexType, IntegerAttr, MemRefType, ModuleOp, SymbolRefAttr, TensorType, i64
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, Block, Dialect, Operation, Region, SpacedOpaqueSyntaxAttribute, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    base,
    irdl_attr_definition,
    irdl_op_definition,
    lazy_traits_def,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import HasParent, IsolatedFromAbove, IsTerminator, Pure, SymbolTable, SymbolUserOpInterface
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

from .aten import CallOp, dims
from .sparse import DomainType
from .tiles import TilesType

ARGUMENTS = "kernel.arguments"
"""An attribute of kernels that name their own arguments: one name for each, in order, but for part and parts."""

SCRATCH = "kernel.scratch"
"""An attribute of kernels of products: [n, m] where each thread needs n + m block numbers of working space."""


class Form(StrEnum):
    """How a kernel is called: what goes in and comes out."""

    SKIP_K = auto()
    """x, weight k-major, active, bias if there is one -> output"""
    SKIP_K_TILES = auto()
    """the same, active being tiles"""
    SKIP_N = auto()
    """x, weight, active, bias and gate if there are -> output"""
    SUPPORT_SKIP_K = auto()
    """x, weight k-major, bias if there is one -> output; active is what an activation of x leaves"""
    SUPPORT = auto()
    """x, bias if there is one -> the output if it is not x itself, and its active positions"""
    TILE = auto()
    """x -> tiles of its rows"""


@irdl_attr_definition
class FormAttr(EnumAttribute[Form], SpacedOpaqueSyntaxAttribute):
    """How a kernel is called."""

    name = "kernel.form"


class LaunchNamesKernel(SymbolUserOpInterface):
    """A launch names a module beside its function."""

    def verify(self, op: Operation) -> None:
        assert isinstance(op, LaunchOp | ExactOp)
        if not isinstance(SymbolTable.lookup_symbol(op, op.kernel), ModuleOp):
            raise VerifyException(f"there is no kernel {op.kernel}")


@irdl_op_definition
class YieldOp(IRDLOperation):
    """The results of what a launch means."""

    name = "kernel.yield"
    values = var_operand_def()
    traits = lazy_traits_def(
        lambda: (IsTerminator(), HasParent(LaunchOp, MapOp, ProductOp, CrossEntropyBackwardOp), Pure())
    )
    assembly_format = "$values attr-dict `:` type($values)"

    def __init__(self, *values: SSAValue):
        super().__init__(operands=[values])


@irdl_op_definition
class LaunchOp(IRDLOperation):
    """Results of `meaning` for the operands, each of which is an argument of it.

    The kernel computes the same, sums in its own order (REASSOC). What it cannot do when it runs (another device, more
    rows than it has functions for, gradients, everything active or more than `upto` positions), and all where no kernel
    can be compiled, the region does: so a program with launches is whole without its kernels.
    """

    name = "kernel.launch"
    kernel = prop_def(SymbolRefAttr)
    form = prop_def(FormAttr)
    x = operand_def(TensorType)
    weight = opt_operand_def(TensorType)
    active = opt_operand_def(base(DomainType) | base(TilesType))
    bias = opt_operand_def(TensorType)
    gate = opt_operand_def(TensorType)
    results_ = var_result_def()
    upto = opt_prop_def(IntegerAttr)
    meaning = region_def("single_block")
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure(), LaunchNamesKernel())
    assembly_format = (
        "$kernel $form `x` `(` $x `:` type($x) `)` (`weight` `(` $weight^ `:` type($weight) `)`)? "
        "(`active` `(` $active^ `:` type($active) `)`)? (`bias` `(` $bias^ `:` type($bias) `)`)? "
        "(`gate` `(` $gate^ `:` type($gate) `)`)? (`upto` $upto^)? `->` type($results_) $meaning attr-dict"
    )

    def __init__(
        self,
        kernel: str,
        form: Form,
        x: SSAValue,
        results: Sequence[Attribute],
        meaning: Region,
        *,
        weight: SSAValue | None = None,
        active: SSAValue | None = None,
        bias: SSAValue | None = None,
        gate: SSAValue | None = None,
        upto: int | None = None,
    ):
        super().__init__(
            operands=[x, weight, active, bias, gate],
            properties={
                "kernel": SymbolRefAttr(kernel),
                "form": FormAttr(form),
                "upto": None if upto is None else IntegerAttr(upto, i64),
            },
            result_types=[results],
            regions=[meaning],
        )

    def verify_(self) -> None:
        verify_meaning(self, self.meaning.block)


def verify_meaning(op: Operation, block: Block) -> None:
    """Raise VerifyException where `block` does not take the operands of `op`, or not yield its results."""
    given, taken = [value.type for value in op.operands], [value.type for value in block.args]
    if given != taken:
        raise VerifyException(f"a launch gives its operands to its region: {given} to {taken}")
    if not isinstance(last := block.last_op, YieldOp):
        raise VerifyException("what a launch means ends with kernel.yield")
    made, wanted = [value.type for value in last.values], [value.type for value in op.results]
    if made != wanted:
        raise VerifyException(f"a launch gives what its region yields: {made}, not {wanted}")


class ExactOp(IRDLOperation, ABC):
    """Results of `meaning`, some calls, with their bits. What a kernel cannot do when it runs (another device, strides,
    gradients), and all where none can be compiled, the region does."""

    kernel = prop_def(SymbolRefAttr)
    inputs = var_operand_def(TensorType)
    outputs = var_result_def(TensorType)
    meaning = region_def("single_block")
    traits = traits_def(Pure(), IsolatedFromAbove(), LaunchNamesKernel())

    def __init__(self, kernel: str, inputs: Sequence[SSAValue], results: Sequence[Attribute], meaning: Region):
        super().__init__(
            operands=[inputs],
            properties={"kernel": SymbolRefAttr(kernel)},
            result_types=[results],
            regions=[meaning],
        )

    def verify_(self) -> None:
        verify_meaning(self, self.meaning.block)

    def calls(self) -> list[CallOp]:
        """The calls that are one now, in order."""
        return [op for op in self.meaning.block.ops if isinstance(op, CallOp)]

    def text(self) -> str:
        """What is computed of the operands: `%0 = aten.mul.Tensor(%x0, 0.5); yield %0`."""
        names: dict[SSAValue, str] = {}
        names.update((value, f"%x{index}") for index, value in enumerate(self.meaning.block.args))
        lines = list[str]()
        for call in self.calls():
            shown = call.template.data.show(lambda index, call=call: names[call.operands[index]])
            names[call.results[0]] = f"%{len(lines)}"
            lines.append(f"{names[call.results[0]]} = {call.target.data}{shown}")
        last = self.meaning.block.last_op
        given = last.operands if last else ()
        return "; ".join([*lines, f"yield {', '.join(names[value] for value in given)}"])


@irdl_op_definition
class MapOp(ExactOp):
    """A chain of elementwise calls, for tensors of one shape."""

    name = "kernel.map"
    assembly_format = "$kernel `(` $inputs `)` `:` functional-type($inputs, $outputs) $meaning attr-dict"

    def verify_(self) -> None:
        super().verify_()
        shapes = [dims(value.type) for value in (*self.operands, *self.results)]
        if not self.results or any(shape != shapes[0] for shape in shapes):
            raise VerifyException(f"a map has tensors of one shape, and a result: {shapes}")


def verify_calls(op: ExactOp, *known: Sequence[str]) -> None:
    """Raise VerifyException where `op` is not made of one of these lists of calls."""
    called = [call.target.data.removeprefix("aten.").removesuffix(".default") for call in op.calls()]
    if called not in map(list, known):
        raise VerifyException(f"{op.name} is {' or '.join(' and '.join(names) for names in known)}, got {called}")


@irdl_op_definition
class ProductOp(ExactOp):
    """A call of `aten.mm` or, with a bias for each column, `aten.addmm`."""

    name = "kernel.product"
    assembly_format = "$kernel `(` $inputs `)` `:` functional-type($inputs, $outputs) $meaning attr-dict"

    def verify_(self) -> None:
        super().verify_()
        verify_calls(self, ["mm"], ["addmm"])


@irdl_op_definition
class CrossEntropyBackwardOp(ExactOp):
    """The gradient of `nll_loss` of `_log_softmax`: of the loss's gradient, the scores, targets, and their number."""

    name = "kernel.cross_entropy_backward"
    assembly_format = "$kernel `(` $inputs `)` `:` functional-type($inputs, $outputs) $meaning attr-dict"

    def verify_(self) -> None:
        super().verify_()
        verify_calls(self, ["nll_loss_backward", "_log_softmax_backward_data"])


@irdl_op_definition
class PrefetchOp(IRDLOperation):
    """The line of memory that holds `buffer[indices]` will be read soon. Changes no value."""

    name = "kernel.prefetch"
    buffer = operand_def(MemRefType)
    indices = var_operand_def(IndexType)
    assembly_format = "$buffer `[` $indices `]` attr-dict `:` type($buffer)"

    def __init__(self, buffer: SSAValue, indices: Sequence[SSAValue]):
        super().__init__(operands=[buffer, indices])


EXACT = (MapOp, ProductOp, CrossEntropyBackwardOp)
"""Ops whose kernels have the bits of what they mean."""

Kernel = Dialect("kernel", [LaunchOp, *EXACT, YieldOp, PrefetchOp], [FormAttr])
