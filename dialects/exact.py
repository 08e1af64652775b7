"""Exact ops of the `kernel` dialect: what they mean is some calls, and their kernels have the bits of these."""

from abc import ABC
from collections.abc import Sequence

from xdsl.dialects.builtin import DenseArrayBase, SymbolRefAttr, TensorType, i64
from xdsl.ir import Attribute, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import IsolatedFromAbove, Pure
from xdsl.utils.exceptions import VerifyException

from .aten import CallOp, dims
from .meanings import NamesKernel, verify_meaning

FORMAT = "$kernel `(` $inputs `)` `:` functional-type($inputs, $outputs) $meaning attr-dict"


class ExactOp(IRDLOperation, ABC):
    """Results of `meaning`, some calls, with their bits. What a kernel cannot do when it runs (another device, strides,
    gradients), and all where none can be compiled, the region does."""

    kernel = prop_def(SymbolRefAttr)
    inputs = var_operand_def(TensorType)
    outputs = var_result_def(TensorType)
    meaning = region_def("single_block")
    traits = traits_def(Pure(), IsolatedFromAbove(), NamesKernel())

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
            name = f"%{len(lines)}"
            several = len(call.results) > 1
            names.update((value, f"{name}#{at}" if several else name) for at, value in enumerate(call.results))
            lines.append(f"{name} = {call.target.data}{shown}")
        last = self.meaning.block.last_op
        given = last.operands if last else ()
        return "; ".join([*lines, f"yield {', '.join(names[value] for value in given)}"])


@irdl_op_definition
class MapOp(ExactOp):
    """A chain of elementwise calls, for tensors of one shape."""

    name = "kernel.map"
    assembly_format = FORMAT

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
    assembly_format = FORMAT

    def verify_(self) -> None:
        super().verify_()
        verify_calls(self, ["mm"], ["addmm"])


@irdl_op_definition
class CrossEntropyBackwardOp(ExactOp):
    """The gradient of `nll_loss` of `_log_softmax`: of the loss's gradient, the scores, targets, and their number."""

    name = "kernel.cross_entropy_backward"
    assembly_format = FORMAT

    def verify_(self) -> None:
        super().verify_()
        verify_calls(self, ["nll_loss_backward", "_log_softmax_backward_data"])


@irdl_op_definition
class FlashAttentionOp(ExactOp):
    """A call of ATen's attention of f32 on CPUs: of queries, keys and values, the result and its log-sums."""

    name = "kernel.attention"
    assembly_format = FORMAT

    def verify_(self) -> None:
        super().verify_()
        verify_calls(self, ["_scaled_dot_product_flash_attention_for_cpu"])


@irdl_op_definition
class FlashAttentionBackwardOp(ExactOp):
    """The gradients of attention by queries, keys and values: three results, or one where they are joined.

    Then `joined` says in which order they stand along the last axis of the result: of each place, which of the three.
    """

    name = "kernel.attention_backward"
    joined = opt_prop_def(DenseArrayBase.constr(i64))
    assembly_format = (
        "$kernel `(` $inputs `)` (`joined` $joined^)? `:` functional-type($inputs, $outputs) $meaning attr-dict"
    )

    def verify_(self) -> None:
        super().verify_()
        if self.joined is None:
            verify_calls(self, ["_scaled_dot_product_flash_attention_for_cpu_backward"])
        elif len(self.results) != 1 or sorted(self.joined.get_values()) != [0, 1, 2]:
            raise VerifyException(f"three gradients are joined into one result, got {self.joined}")
        elif [call.target.data for call in self.calls()][-1:] != ["aten.cat.default"]:
            raise VerifyException(f"gradients are joined by aten.cat, got {self.text()}")


EXACT = (MapOp, ProductOp, CrossEntropyBackwardOp, FlashAttentionOp, FlashAttentionBackwardOp)
"""Ops whose kernels have the bits of what they mean."""
