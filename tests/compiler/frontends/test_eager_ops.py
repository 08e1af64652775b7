"""Tracing records the ops that eager runs."""

from typing import Any

import pytest
import torch
from gossamer.compiler.frontends.eager_ops import composite_dropout
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode


class Seen(TorchDispatchMode):
    """Notes what is called."""

    def __init__(self):
        super().__init__()
        self.ops: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.ops.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("device", "p", "train", "ops"),
    [
        ("cpu", 0.3, True, ["gossamer.dropout.default"]),
        ("cuda", 0.3, True, ["aten.native_dropout.default"]),
        ("cuda", 1.0, True, ["aten.zeros.default", "aten.mul.Tensor"]),
        ("cuda", 0.0, True, []),
        ("cuda", 0.3, False, []),
    ],
)
def test_dropout_is_the_op_of_its_device(device: str, p: float, train: bool, ops: list[str]):
    """On CUDA eager draws and scales in one kernel of its own, on the CPU by a tensor of noise."""
    with FakeTensorMode():
        x = torch.empty(3, 4, device=device)
        with Seen() as seen:
            composite_dropout(x, p, train)
    assert seen.ops == ops
