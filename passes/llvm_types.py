"""The types that LLVM has for ours, and what they say.

memref  -> !llvm.ptr       index -> i64       bf16 -> i16, alone and in vectors
"""

from xdsl.dialects.builtin import BFloat16Type, IndexType, MemRefType, VectorType, i16, i64
from xdsl.dialects.llvm import LLVMPointerType
from xdsl.ir import Attribute, SSAValue


def lanes(value: SSAValue) -> int:
    """How many lanes a vector has."""
    assert isinstance(value.type, VectorType)
    return value.type.get_shape()[0]


def llvm_type(kind: Attribute) -> Attribute:
    """The type of a value, as LLVM has it."""
    match kind:
        case MemRefType():
            return LLVMPointerType()
        case IndexType():
            return i64
        case BFloat16Type():
            return i16
        case VectorType():
            return VectorType(llvm_type(kind.element_type), kind.shape, kind.scalable_dims)
        case _:
            return kind
