"""Where the results of an op lie, and why it may not run twice.

    aten.split(%x, 2)                     operand 0, operand 0
    aten.native_layer_norm(%x, ..)        new 8192, new 64, new 64
    comm.wait(%p)                         operand 0
    aten.reshape(%x, ..)                  a view or a copy: known only from `train.storage`, which a run writes

What a run has written on the op goes before what tables say: a storage may be larger than its elements are.
"""

from math import prod

from xdsl.dialects import arith
from xdsl.dialects.builtin import ComplexType, IntegerType, TensorType, bf16, f16, f32, f64
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.traits import is_side_effect_free

from ...dialects.aten import CallOp, Effects, ObjectType, dims
from ...dialects.comm import PendingType, Start, WaitOp
from ...dialects.diagnostics import UserError, place_of
from ...dialects.random_calls import is_draw
from ...dialects.remat import StorageAttr, storages_of
from .memory import ALWAYS_VIEWS, ASSERTIONS, may_share, writes

FLOAT_BYTES: dict[Attribute, int] = {f64: 8, f32: 4, f16: 2, bf16: 2}
KNOWN_NAMESPACES = ("aten", "prims", "gossamer", "operator", "math", "torch", "builtins", "random", "_c10d_functional")
"""Whose ops do what their schemas say."""


def element_bytes(type: Attribute) -> int | None:
    """Bytes of one element; a truth value takes a whole one. None for a type that torch has not."""
    if isinstance(type, ComplexType):
        half = element_bytes(type.element_type)
        return half and 2 * half
    if isinstance(type, IntegerType):
        return (type.width.data + 7) // 8
    return FLOAT_BYTES.get(type)


def tensor_bytes(value: SSAValue) -> int | None:
    """Bytes of the elements of a tensor, 0 of a number; None where sizes are known only when it runs."""
    type = value.type.tensor if isinstance(value.type, PendingType) else value.type
    if not isinstance(type, TensorType):
        return None if isinstance(type, ObjectType) else 0
    sizes, each = [size for size in dims(type) if isinstance(size, int)], element_bytes(type.element_type)
    return None if each is None or len(sizes) != len(dims(type)) else prod(sizes) * each


def storages(op: Operation) -> tuple[StorageAttr, ...]:
    """Where each result of `op` lies. Raises UserError where only a run can tell."""
    written = storages_of(op)
    return written if written is not None else tuple(map(storage, op.results))


def storage(value: SSAValue) -> StorageAttr:
    """Where one result lies, by the tables."""
    op = value.owner
    assert isinstance(op, Operation)
    if isinstance(op, WaitOp) or (isinstance(op, CallOp) and op.target.data in ALWAYS_VIEWS):
        return StorageAttr.of("operand", 0)
    size = tensor_bytes(value)
    if size is None:
        raise UserError(f"the bytes of a value of type {value.type} are not known", place=place_of(op), hint=MEASURE)
    if size and may_share(op) and not isinstance(op, Start):
        what = op.target.data if isinstance(op, CallOp) else op.name
        raise UserError(f"whether {what} gives new memory shows only when it runs", place=place_of(op), hint=MEASURE)
    return StorageAttr.of("new", size)


MEASURE = "run the function once, and write what it does as `train.storage`"


ASSERTS, DRAWS = "asserts", "draws from the random stream"


def why_fixed(op: Operation) -> str:
    """Why `op` must not run a second time; empty where it may, or where there is another op that does the same.

    Collectives may, on all ranks alike (see `compiler/ranks.py`).
    """
    if is_draw(op) or isinstance(op, Start | WaitOp):
        return ""
    inner = [call for call in op.walk() if isinstance(call, CallOp)]
    if any(call.target.data in ASSERTIONS for call in inner):
        return ASSERTS
    if any(map(writes, inner)):
        return "writes in place"
    if any(call.effects is not None and call.effects.data is Effects.RANDOM for call in inner):
        return DRAWS
    if any(call.effects is not None for call in inner):
        return "has an effect"
    if unknown := [call.target.data for call in inner if is_unknown(call)]:
        return f"{unknown[0]} may do more than its schema says"
    if not inner and op.dialect_name() != arith.Arith.name and not is_side_effect_free(op):
        return "has an effect"
    return ""


def may_write(op: Operation) -> bool:
    """May `op` write what it reads? All that must run once may, but for those that only assert or draw."""
    return why_fixed(op) not in ("", ASSERTS, DRAWS)


def is_unknown(call: CallOp) -> bool:
    """A custom op?"""
    namespace, dot, _ = call.target.data.partition(".")
    return bool(dot) and namespace not in KNOWN_NAMESPACES


def overwritten(function: FuncOp) -> set[SSAValue]:
    """Values whose memory a call writes while `function` runs: reading them again gives something else."""
    found = [value for op in function.walk() if isinstance(op, CallOp) and writes(op) for value in op.operands]
    for value in found:
        owner = value.owner
        sources = owner.operands if isinstance(owner, Operation) and may_share(owner) else ()
        readers = (use.operation for use in value.uses)
        shared = [result for reader in readers if may_share(reader) for result in reader.results]
        found += [other for other in (*sources, *shared) if other not in found]
    return set(found)
