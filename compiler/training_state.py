"""What a training step was compiled for, beside the batch, and what of it is otherwise now.

error: module 'dropout' is in evaluation mode, the step was compiled for training
error: parameter 'fc.weight' is frozen, the step was compiled to train it
error: autocast to bfloat16 is on for cpu, the step was compiled without
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..dialects.diagnostics import UserError
from ..runtime.dtypes import dtype_name
from ..runtime.shards import part_of

AGAIN = "compile the step again: gossamer.compile_training(model, loss_fn, example)"


@dataclass(frozen=True)
class Place:
    """A parameter or buffer where its module has it: `owner[key]`, called `name`. A program reads its `part`."""

    name: str
    owner: dict[str, Any]
    key: str
    tensor: torch.Tensor
    part: torch.Tensor
    layout: tuple[object, ...]

    @property
    def is_replaced(self) -> bool:
        """Is another tensor there now, or this one's part elsewhere in memory?"""
        part = part_of(self.tensor)
        moved = part is not self.part and part.data_ptr() != self.part.data_ptr()
        return self.owner.get(self.key) is not self.tensor or moved


@dataclass(frozen=True)
class Compiled:
    """The state of a model and of torch when a step was compiled."""

    modes: tuple[tuple[str, nn.Module, bool], ...]
    places: tuple[Place, ...]
    autocast: tuple[tuple[str, torch.dtype], ...]

    @classmethod
    def of(cls, *models: nn.Module) -> "Compiled":
        """As it is now. Raises UserError for hooks of the backward pass, which a step does not run."""
        modules = [item for model in models for item in model.named_modules()]
        for name, module in modules:
            refuse_hooks(name or type(module).__name__, module)
        modes = tuple((name, module, module.training) for name, module in modules)
        return cls(modes, tuple(place for model in models for place in places(model)), autocast_now())

    def check(self) -> None:
        """Raise UserError where something is otherwise now."""
        for name, module, training in self.modes:
            if module.training is not training:
                raise otherwise(f"module '{name}'" if name else "the model", module.training, training)
        for place in self.places:
            if (now := layout(place.tensor)) != place.layout:
                raise changed(place, now)
            if place.is_replaced:
                raise UserError(f"'{place.name}' has been replaced since the step was compiled", hint=AGAIN)
        if (now := autocast_now()) != self.autocast:
            raise UserError(f"autocast is {told(now)}, the step was compiled with {told(self.autocast)}", hint=AGAIN)

    def without_autocast(self) -> ExitStack:
        """A context in which nothing is cast: the program's ops are those that autocast left."""
        stack = ExitStack()
        for device, _ in self.autocast:
            stack.enter_context(torch.autocast(device, enabled=False))
        return stack


def places(model: nn.Module) -> Iterator[Place]:
    """Every parameter and buffer, wherever a module has it."""
    for prefix, module in model.named_modules(remove_duplicate=False):
        for owner in (module._parameters, module._buffers):
            for key, tensor in owner.items():
                if tensor is not None:
                    name = f"{prefix}.{key}" if prefix else key
                    yield Place(name, owner, key, tensor, part_of(tensor), layout(tensor))


def layout(tensor: torch.Tensor) -> tuple[object, ...]:
    """What a program relies on, beside the numbers."""
    return tensor.dtype, tensor.requires_grad, tensor.device, tensor.shape, tensor.stride()


def autocast_now() -> tuple[tuple[str, torch.dtype], ...]:
    """The devices for which autocast is on, each with its dtype."""
    devices = ("cpu", "cuda")
    return tuple((name, torch.get_autocast_dtype(name)) for name in devices if torch.is_autocast_enabled(name))


def told(autocast: tuple[tuple[str, torch.dtype], ...]) -> str:
    """`on for cpu (bfloat16)`"""
    return ", ".join(f"on for {device} ({dtype_name(dtype)})" for device, dtype in autocast) or "off"


def otherwise(what: str, training: bool, expected: bool) -> UserError:
    """The error for a module in the other mode."""
    names = {True: "training", False: "evaluation"}
    return UserError(
        f"{what} is in {names[training]} mode, the step was compiled for {names[expected]}",
        hint=f"call model.train({expected}) first; or {AGAIN}",
    )


def changed(place: Place, now: tuple[object, ...]) -> UserError:
    """The error for a weight that is otherwise than it was."""
    if now[1] != place.layout[1]:
        state = "trained" if now[1] else "frozen"
        then = "to train it" if place.layout[1] else "with it frozen"
        return UserError(f"parameter '{place.name}' is {state}, the step was compiled {then}", hint=AGAIN)
    names = ("dtype", "", "device", "shape", "strides")
    name, is_now, was = next(item for item in zip(names, now, place.layout, strict=True) if item[1] != item[2])
    return UserError(f"'{place.name}' has {name} {is_now}, the step was compiled for {was}", hint=AGAIN)


def refuse_hooks(name: str, module: nn.Module) -> None:
    """Raise UserError where `module` has hooks that run in the backward pass."""
    if module._backward_hooks or module._backward_pre_hooks:
        raise UserError(
            f"module '{name}' has a hook of the backward pass, which a compiled step would not call",
            hint="remove it, or hook the parameters: parameter.register_hook(..), which a step does call",
        )
