"""What a launch of a kernel means: a region that takes its operands, and yields its results."""

from xdsl.dialects.builtin import ModuleOp, SymbolRefAttr
from xdsl.ir import Block, Operation, SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, lazy_traits_def, var_operand_def
from xdsl.traits import HasParent, IsTerminator, OpTrait, Pure, SymbolTable, SymbolUserOpInterface
from xdsl.utils.exceptions import VerifyException


class NamesKernel(SymbolUserOpInterface):
    """A launch names a module beside its function."""

    def verify(self, op: Operation) -> None:
        kernel = op.properties["kernel"]
        assert isinstance(kernel, SymbolRefAttr)
        if not isinstance(SymbolTable.lookup_symbol(op, kernel), ModuleOp):
            raise VerifyException(f"there is no kernel {kernel}")


def traits_of_yield() -> tuple[OpTrait, ...]:
    """A yield ends the region of one of these."""
    from .exact import EXACT
    from .kernel import LaunchOp

    return (IsTerminator(), HasParent(LaunchOp, *EXACT), Pure())


@irdl_op_definition
class YieldOp(IRDLOperation):
    """The results of what a launch means."""

    name = "kernel.yield"
    values = var_operand_def()
    traits = lazy_traits_def(traits_of_yield)
    assembly_format = "$values attr-dict `:` type($values)"

    def __init__(self, *values: SSAValue):
        super().__init__(operands=[values])


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
