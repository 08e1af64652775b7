"""`kernel`: generated code that is part of the program, and calls of it.

| op                              | reads as                                                               |
|---------------------------------|------------------------------------------------------------------------|
| `kernel.launch`                 | what its region says, computed by a kernel where that can be had       |
| `kernel.map`                    | the same, element by element, to the bit                               |
| `kernel.product`                | the same, a product of two matrices, to the bit                        |
| `kernel.cross_entropy_backward` | the same, the gradient of a loss by its scores, to the bit             |
| `kernel.attention`              | the same, attention and its log-sums, to the bit                       |
| `kernel.attention_backward`     | the same, its gradients, alone or joined, to the bit                   |
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

from collections.abc import Sequence
from enum import auto

from xdsl.dialects.builtin import (
    IndexType,
    IntegerAttr,
    MemRefType,
    SymbolRefAttr,
    TensorType,
    UnitAttr,
    i64,
)
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, Dialect, Region, SpacedOpaqueSyntaxAttribute, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    base,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import Pure
from xdsl.utils.str_enum import StrEnum

from .exact import EXACT
from .meanings import NamesKernel, YieldOp, verify_meaning
from .sparse import DomainType
from .tiles import TilesType

ARGUMENTS = "kernel.arguments"
"""An attribute of kernels that name their own arguments: one name for each, in order, but for part and parts."""

SCRATCH = "kernel.scratch"
"""An attribute of kernels: working space of each thread, in numbers. Products: [n, m] for n + m block. Attention: how
many for each number of the keys, key of a block, pair of a query and a key of a block, query of it, and in all."""


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
    traits = traits_def(Pure(), NamesKernel())
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


@irdl_op_definition
class PrefetchOp(IRDLOperation):
    """The line of memory that holds `buffer[indices]` will be read soon, or `at_once`. Changes no value."""

    name = "kernel.prefetch"
    buffer = operand_def(MemRefType)
    indices = var_operand_def(IndexType)
    at_once = opt_prop_def(UnitAttr)
    assembly_format = "$buffer `[` $indices `]` (`at_once` $at_once^)? attr-dict `:` type($buffer)"

    def __init__(self, buffer: SSAValue, indices: Sequence[SSAValue], *, at_once: bool = False):
        super().__init__(operands=[buffer, indices], properties={"at_once": UnitAttr() if at_once else None})


Kernel = Dialect("kernel", [LaunchOp, *EXACT, YieldOp, PrefetchOp], [FormAttr])
