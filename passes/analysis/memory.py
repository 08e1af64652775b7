"""Which values may share memory, and which memory leaves the function.

    %a = aten.neg(%x)               memory of its own
    %b = aten.slice(%a, 0, 0, 2)    may be memory of %a
    return %b                       so the memory of %a leaves, and that of %x does not

A table names every op of torch that may give back memory it was given; a call of anything but `aten` may do so too,
and over a domain that is everywhere a gather or a scatter is a view. What is not known to be new is taken for a view.
"""

from xdsl.dialects import arith
from xdsl.dialects.builtin import TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue

from ...dialects.aten import CallOp, Effects, ObjectType
from ...dialects.exact import ExactOp
from ...dialects.sparse import GatherOp, ScatterOp, Sparse

ONE_VIEW = (
    "_conj.default _fw_primal.default _neg_view.default _reshape_alias.default adjoint.default alias.default "
    "as_strided.default broadcast_to.default conj.default detach.default diagonal.default expand.default "
    "expand_as.default imag.default lift_fresh.default linalg_diagonal.default mH.a mH.default mT.a mT.default "
    "matrix_H.a matrix_H.default moveaxis.int moveaxis.intlist movedim.int movedim.intlist narrow.Tensor "
    "narrow.default numpy_T.a numpy_T.default permute.default positive.default real.default select.int "
    "slice.Tensor slice_inverse.default squeeze.default squeeze.dim squeeze.dims swapaxes.default "
    "swapdims.default t.default transpose.int unflatten.int unfold.default unsqueeze.default view.default "
    "view.dtype view_as.default view_as_complex.default view_as_real.default"
)
SEVERAL_VIEWS = (
    "chunk.default dsplit.array dsplit.int hsplit.array hsplit.int split.Tensor split.default split.sizes "
    "split_with_sizes.default tensor_split.indices tensor_split.sections tensor_split.tensor_indices_or_sections "
    "unbind.int vsplit.array vsplit.int"
)
AS_IT_LIES = (
    "_autocast_to_full_precision.default _autocast_to_reduced_precision.default _grad_sum_to_size.default "
    "_ncf_unsqueeze.default _ncf_view.default as_tensor.default contiguous.default cpu.default cuda.default "
    "flatten.using_ints pin_memory.default ravel.default reshape.default reshape_as.default resolve_conj.default "
    "resolve_neg.default to.device to.dtype to.dtype_layout to.other to.prim_Device to.prim_dtype to.prim_other"
)
"""The tensor, a view or a copy of it."""
PARTS = (
    "_indices.default _make_dual.default _nested_get_values.default _nested_view_from_buffer.default "
    "_nested_view_from_jagged.default _sparse_broadcast_to.default _unpack_dual.default _values.default "
    "ccol_indices.default coalesce.default col_indices.default crow_indices.default indices.default "
    "local_value.default row_indices.default to_here.default values.default "
    "_test_autograd_multiple_dispatch_view.default"
)
"""Parts of sparse, nested, dual and remote tensors."""

ALWAYS_VIEWS = frozenset(f"aten.{name}" for name in f"{ONE_VIEW} {SEVERAL_VIEWS} _unsafe_view.default".split())
"""Calls whose results are memory of their first operand, whatever that is."""

DECLARED = frozenset(f"aten.{name}" for name in f"{ONE_VIEW} {SEVERAL_VIEWS} {AS_IT_LIES} {PARTS}".split())
"""Calls whose schema says that a result may be an argument's memory."""

UNDECLARED = frozenset(
    f"aten.{name}"
    for name in (
        "_unsafe_view.default unsafe_chunk.default unsafe_split.Tensor unsafe_split_with_sizes.default "
        "atleast_1d.default atleast_2d.default atleast_3d.default atleast_1d.Sequence atleast_2d.Sequence "
        "atleast_3d.Sequence meshgrid.default meshgrid.indexing broadcast_tensors.default cartesian_prod.default "
        "flatten_dense_tensors.default unflatten_dense_tensors.default einsum.default "
        "type_as.default to_dense.default dequantize.self sum_to_size.default conj_physical.default "
        "_cast_Byte.default _cast_Char.default _cast_Short.default _cast_Int.default _cast_Long.default "
        "_cast_Half.default _cast_Float.default _cast_Double.default dropout.default feature_dropout.default "
        "alpha_dropout.default feature_alpha_dropout.default"
    ).split()
)
"""Calls that may give an argument back, or a view of it, though their schema does not say so."""

VIEWS = DECLARED | UNDECLARED
"""Calls whose result may share memory with an operand."""

OVERLAPPING = frozenset(
    f"aten.{name}.default"
    for name in "expand expand_as broadcast_to as_strided unfold broadcast_tensors _sparse_broadcast_to".split()
) | {"aten.meshgrid.default", "aten.meshgrid.indexing"}
"""Views in which two elements may be the same memory."""

STRIDE_READERS = frozenset(
    f"aten.{name}"
    for name in (
        "as_strided.default as_strided_copy.default as_strided_scatter.default view.dtype view_copy.dtype "
        "view_as_complex.default view_as_complex_copy.default "
        "stride.default stride.int sym_stride.default sym_stride.int storage_offset.default "
        "sym_storage_offset.default is_contiguous.default is_contiguous.memory_format is_strides_like_format.default "
        "is_non_overlapping_and_dense.default is_set_to.default _reshape_alias.default _nested_tensor_strides.default "
        "_nested_tensor_storage_offsets.default _nested_view_from_buffer.default"
    ).split()
)
"""Calls whose result depends on how an operand lies in memory."""


ASSERTIONS = frozenset({"aten._assert_async.default", "aten._assert_async.msg", "aten._functional_assert_async.msg"})
"""Calls that read a tensor, and fail or do nothing."""


def calls(function: FuncOp) -> list[CallOp]:
    """All calls of `function`, those in regions included."""
    return [op for op in function.walk() if isinstance(op, CallOp)]


def is_functional(function: FuncOp) -> bool:
    """No call writes an operand in place. An assertion writes none: it has an effect, so as not to be removed."""
    return not any(map(writes, calls(function)))


def writes(op: CallOp) -> bool:
    """Does `op` write an operand in place?"""
    if op.effects is None or op.effects.data is not Effects.MUTATES or op.target.data in ASSERTIONS:
        return False
    return any(map(has_memory, op.operands))


def reads_strides(function: FuncOp) -> bool:
    """Does a call ask how a tensor lies in memory?"""
    return any(op.target.data in STRIDE_READERS for op in calls(function))


def has_memory(value: SSAValue) -> bool:
    """Is this a tensor, or an object that may hold one?"""
    return isinstance(value.type, TensorType | ObjectType)


def is_opaque(op: CallOp) -> bool:
    """Is this a call of something that no table knows: a custom op, a higher-order op?"""
    return not op.target.data.startswith("aten.") or bool(op.regions)


def may_share(op: Operation) -> bool:
    """May a result of `op` be memory of an operand?"""
    if not any(map(has_memory, op.results)):
        return False
    if isinstance(op, CallOp):
        return op.target.data in VIEWS or is_opaque(op)
    return isinstance(op, GatherOp | ScatterOp) or not is_known(op)


def is_known(op: Operation) -> bool:
    """Does `op` read its operands, write nothing and pass nothing on but by its results?"""
    if isinstance(op, CallOp):
        return not is_opaque(op) or not any(map(has_memory, op.results))
    return isinstance(op, ExactOp) or type(op) in Sparse.operations or op.dialect_name() == arith.Arith.name


def leaves(value: SSAValue) -> bool:
    """Does the memory of `value` leave the function: returned, stored, or passed to a region or a custom op?"""
    values = [value]
    for shared in values:
        for reader in (use.operation for use in shared.uses):
            if not is_known(reader):
                return True
            if may_share(reader):
                values += [result for result in reader.results if result not in values]
    return False


def is_new(value: SSAValue) -> bool:
    """Was `value` computed here, into memory of its own?"""
    op = value.owner
    return isinstance(op, CallOp) and not may_share(op) and len(op.results) == 1


def is_dense(value: SSAValue) -> bool:
    """Can no two elements share memory? Expanded tensors do, and their clone does not keep strides."""
    op = value.owner
    if not isinstance(op, CallOp) or not may_share(op):
        return True
    return op.target.data not in OVERLAPPING and not is_opaque(op) and all(map(is_dense, op.operands))
