"""The gradient of a cross entropy, in this thread or by torch's team.

h = cross_entropy_backward(meaning, d, s, t, n)
    strides, another dtype or device, gradients    ->   meaning(d, s, t, n)
    few scores                                     ->   serial_cross_entropy_backward(call) in this thread
    else                                           ->   parallel_.. in each thread of torch's team
"""

from collections.abc import Callable
from struct import Struct
from typing import Any

import torch
from torch import Tensor

from ...dialects.aten import dims
from ...dialects.exact import CrossEntropyBackwardOp
from ..kernel_code import Entry, code_beside
from .elementwise import GRAIN
from .exact import meant
from .launch import is_traced, ready
from .registry import kernel

FUNCTION = "cross_entropy_backward"
"""The kernel's function."""
CALL = Struct("9q")
"""gradient, total, scores, target, output, rows, columns, ignored, mean: see `passes/kernels/cross_entropy.py`."""
MEAN = 1
"""The reduction that is a mean."""
KINDS = (torch.float32, torch.float32, torch.int64, torch.float32)


@kernel("kernel.cross_entropy_backward", device="cpu")
def cross_entropy_backward(op: CrossEntropyBackwardOp) -> Callable[..., Any]:
    """The kernel, or what it means."""
    if (code := code_beside(op, op.kernel)) is None:
        return meant(op)
    entry = Entry.of(code, FUNCTION)
    rows, columns = (int(size) for size in dims(op.results[0].type))
    reduction, ignored = op.calls()[0].template.data.args[4:6]

    def run(meaning: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        if is_traced(*inputs) or not all(map(ready, inputs, KINDS)):
            return meaning(*inputs)
        gradient, scores, target, total = (tensor.data_ptr() for tensor in inputs)
        output = torch.empty((rows, columns), dtype=torch.float32)
        addresses = gradient, total, scores, target, output.data_ptr()
        call = CALL.pack(*addresses, rows, columns, ignored, reduction == MEAN)
        entry.start(call, torch.get_num_threads() if rows * columns >= GRAIN else 1)
        return output

    return run
