"""The bytes of a model beside its text: one safetensors file, mapped into memory, never copied.

    aten.weight parameter @fc.w : tensor<64x64xf32> digest "9f2c.."      module.mlir
    "fc.w": F32 [64, 64] at 0..16384                                     weights.safetensors

Loading 400 MB takes 3 ms: pages are read when they are touched. What is written to a loaded tensor stays in memory and
never reaches the file. A digest is the SHA-256 of a tensor's bytes in row-major order; checking it reads all bytes.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from xdsl.dialects.builtin import ModuleOp, TensorType

from ..dialects.aten import WeightOp
from ..dialects.diagnostics import UserError, did_you_mean, place_of
from .dtypes import DTYPES, describe, dtype_name

UNSTORED = frozenset({torch.complex32, torch.complex128})
"""Dtypes that safetensors has no name for."""


def row_major(tensor: Tensor) -> Tensor:
    """`tensor` on the CPU, dense, its numbers in row-major order."""
    dense = tensor if tensor.layout is torch.strided else tensor.to_dense()
    return dense.detach().cpu().resolve_conj().resolve_neg().contiguous()


def digest(tensor: Tensor) -> str:
    """SHA-256, in hexadecimal, of the bytes of `tensor` in row-major order."""
    return hashlib.sha256(row_major(tensor).reshape(-1).view(torch.uint8).numpy().data).hexdigest()


def save_weights(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """Write all tensors to one file; tensors that share memory are written once each.

    The file appears complete or not at all. Raises UserError when a tensor cannot be stored or the file not be written.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(dict(storable(tensors)), draft)
        os.replace(draft, path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: the weights cannot be written: {error}") from None
    finally:
        draft.unlink(missing_ok=True)


def storable(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Each tensor with memory of its own. Raises UserError naming one that safetensors has no form for."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.dtype in UNSTORED:
            layout = "" if tensor.layout is torch.strided else f", {str(tensor.layout).removeprefix('torch.')}"
            raise UserError(
                f"the weight '{name}' cannot be saved: safetensors has no {dtype_name(tensor.dtype)}{layout}"
            )
        stored = row_major(tensor)
        memory = stored.untyped_storage().data_ptr()
        yield name, stored.clone() if memory in seen else stored
        seen.add(memory)


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a file, mapped into memory. Raises UserError when there is no such file or it is damaged."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file", hint="the weights of a program lie beside its text")
    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{path}: not a complete safetensors file: {error}") from None


def check(module: ModuleOp, weights: Mapping[str, Tensor], *, digests: bool = True) -> None:
    """Raise one UserError naming every weight of `module` that is missing, or differs in dtype, shape or (if `digests`)
    bytes, and every tensor that the module does not know."""
    declared = {op.sym_name.data: op for op in module.ops if isinstance(op, WeightOp)}
    faults = {name: difference(op, weights.get(name), digests) for name, op in declared.items()}
    faults |= {name: "not in the module" for name in weights if name not in declared}
    faults = {name: text for name, text in faults.items() if text}
    if not faults:
        return
    first = next(iter(faults))
    place = place_of(declared[first]) if first in declared else None
    missing = first in declared and first not in weights
    raise UserError(
        f"{len(faults)} of {len(declared)} weights do not fit the module",
        place=place,
        details=[f"{name}: {text}" for name, text in faults.items()],
        hint=did_you_mean(first, set(weights) - set(declared)) if missing and set(weights) - set(declared) else "",
    )


def difference(op: WeightOp, weight: Tensor | None, digests: bool) -> str:
    """How `weight` is not what `op` declares; empty when it is."""
    if weight is None:
        return "missing"
    if not isinstance(op.type, TensorType):
        return ""
    dtype, shape = DTYPES.get(op.type.get_element_type()), list(op.type.get_shape())
    if weight.dtype is not dtype or list(weight.shape) != shape:
        return f"{describe(weight)}, expected {dtype and dtype_name(dtype)} {shape}"
    if digests and (found := digest(weight)) != op.digest.data:
        return f"other bytes: SHA-256 is {found[:12]}.., expected {op.digest.data[:12]}.."
    return ""
