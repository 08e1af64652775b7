"""What tracing makes of composite ops: eager's own numbers, where torch has Python forms that give others.

aten.dropout        traced as native_dropout, which rounds its scale otherwise   ->   gossamer.dropout (on CUDA eager's)
aten.matmul, lstm, upsample_bilinear2d, ..   traced in Python                    ->   as C++ composes them in eager
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._C import DispatchKey
from torch.distributed.tensor import DTensor

from ...runtime.custom_ops.dropout import dropout

PYTHON = (DispatchKey.Autograd, DispatchKey.CompositeImplicitAutograd)
"""Where the tracer finds Python forms of an op that autograd would see."""

OTHERWISE = re.compile(
    r"_?upsample_.*|lstm|gru|rnn_tanh|rnn_relu|matmul|stft|istft|softshrink|hardshrink|multi_margin_loss|"
    r"multilabel_margin_loss_forward"
)
"""Ops whose Python forms compute in another order than C++ does."""


def composite_dropout(x: torch.Tensor, p: float, train: bool) -> torch.Tensor:
    """What eager does for `F.dropout`; a probability of 1 draws nothing."""
    if p == 0 or not train or x.numel() == 0:
        return x
    if p == 1:
        return x * torch.zeros((), dtype=x.dtype, device=x.device)
    if isinstance(x, DTensor):
        return x * torch.empty_like(x).bernoulli_(1 - p).div_(1 - p)
    return torch.native_dropout(x, p, train)[0] if x.device.type == "cuda" else dropout(x, p)[0]


def overloads() -> Iterator[torch._ops.OpOverload]:
    """Every op whose Python form counts otherwise."""
    for name in torch._C._dispatch_get_all_op_names():
        base, _, overload = name.removeprefix("aten::").partition(".")
        if name.startswith("aten::") and OTHERWISE.fullmatch(base):
            yield getattr(getattr(torch.ops.aten, base), overload or "default")


@contextmanager
def eager_ops() -> Iterator[None]:
    """Traced ops are eager's."""
    ops: dict[torch._ops.OpOverload, dict[Any, Any]] = {op: {} for op in overloads()}
    ops[torch.ops.aten.dropout.default] = dict.fromkeys(PYTHON, composite_dropout)
    before = {op: dict(op.py_kernels) for op in ops}
    for op, kernels in ops.items():
        others = {key: kernel for key, kernel in op.py_kernels.items() if key not in PYTHON}
        put(op, {**others, **kernels})
    try:
        yield
    finally:
        for op, kernels in before.items():
            put(op, kernels)


def put(op: torch._ops.OpOverload, kernels: dict[Any, Any]) -> None:
    """Let `op` have those Python kernels and no others."""
    op.py_kernels.clear()
    op.py_kernels.update(kernels)
    op._dispatch_cache.clear()
