"""What the attributes of modules carry from one call to the next, beside parameters and buffers.

    def forward(self, x):
        self.calls += 1                 changed, and read: the second call computes something else, a step would not
        self.last = x.relu()            changed, and never read: the step is the same
        return self.last * self.calls

Which is which shows when the step is traced a second time, from what the first call left.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ...dialects.diagnostics import UserError

KINDS = (int, float, str, type(None), torch.Tensor)
"""What counts as state; of containers nothing is known."""

Key = tuple[str, str]
"""The path of a module, and the name of an attribute."""


def attributes(model: nn.Module) -> dict[Key, Any]:
    """The state of every module; not its mode, which a step is compiled for."""
    return {
        (path, name): value
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, KINDS) and name != "training"
    }


def changes(before: Mapping[Key, Any], after: Mapping[Key, Any]) -> dict[Key, Any]:
    """What is otherwise `after`."""
    return {key: value for key, value in after.items() if key not in before or not same(before[key], value)}


def same(one: Any, other: Any) -> bool:
    """The same tensor, or equal numbers."""
    return one is other or (not isinstance(one, torch.Tensor) and type(one) is type(other) and one == other)


def put(model: nn.Module, values: Mapping[Key, Any]) -> None:
    """Let attributes have these values; tensors of a trace that is over are zeros."""
    modules = dict(model.named_modules())
    for (path, name), value in values.items():
        is_traced = isinstance(value, torch.Tensor) and type(value) is not torch.Tensor
        vars(modules[path])[name] = torch.zeros(value.shape, dtype=value.dtype) if is_traced else value


def take(model: nn.Module, before: Mapping[Key, Any]) -> dict[Key, Any]:
    """What differs from `before` now; the model is again as it was."""
    left, modules = changes(before, attributes(model)), dict(model.named_modules())
    for path, name in left.keys() - before.keys():
        del vars(modules[path])[name]
    for path, name in left.keys() & before.keys():
        vars(modules[path])[name] = before[path, name]
    return left


def carried(left: Mapping[Key, Any]) -> UserError:
    """The error for a step that is another one after a call that left this."""
    names = [f"'{path.removeprefix('model').strip('.')}.{name}'".replace("'.", "'") for path, name in left]
    return UserError(
        f"the loss depends on what its last call left in {', '.join(names[:3])}, which a step does not keep",
        hint="keep it in a buffer (register_buffer), or pass it in the batch",
    )
