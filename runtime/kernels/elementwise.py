"""Maps: a loop over all elements, in this thread or by torch's team.

y = map(meaning, x, t)
    strides, another dtype or device, gradients    ->   meaning(x, t), the map's region as a Python function
    few elements                                   ->   serial_map(call) in this thread
    else                                           ->   parallel_map(call) in each thread of torch's team
"""

from collections.abc import Callable
from math import prod
from struct import Struct
from typing import Any

import torch
from torch import Tensor

from ...dialects.aten import dims, tensor_of
from ...dialects.exact import MapOp
from ..dtypes import DTYPES
from ..kernel_code import Entry, code_beside
from .exact import meant
from .launch import is_traced, ready
from .registry import kernel

FUNCTION = "map"
"""The kernel's function."""
GRAIN = 1 << 15
"""Elements that are worth a second thread: as many as ATen gives one."""


@kernel("kernel.map", device="cpu")
def elementwise(op: MapOp) -> Callable[..., Any]:
    """The kernel, or what it means."""
    if (code := code_beside(op, op.kernel)) is None:
        return meant(op)
    entry = Entry.of(code, FUNCTION)
    kinds = [DTYPES[tensor_of(value).element_type] for value in op.operands]
    made = [DTYPES[tensor_of(value).element_type] for value in op.results]
    shape = tuple(int(size) for size in dims(op.results[0].type))
    size, pack = prod(shape), Struct(f"{1 + len(kinds) + len(made)}q").pack

    def run(meaning: Callable[..., Any], *inputs: Tensor) -> Any:
        if is_traced(*inputs) or not all(map(ready, inputs, kinds)):
            return meaning(*inputs)
        outputs = [torch.empty(shape, dtype=dtype) for dtype in made]
        call = pack(size, *(tensor.data_ptr() for tensor in (*inputs, *outputs)))
        entry.start(call, torch.get_num_threads() if size >= GRAIN else 1)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    return run
