"""Where a program runs. Templates name the device that the model was exported on; it may run on another.

    device<"cpu"> in an imported model, weights on cuda:0   ->   torch.device("cuda:0")

A model that names two devices was exported on the accelerator: what it keeps on the CPU stays there.
"""

from collections.abc import Iterable, Iterator, Mapping

import torch
from xdsl.ir import Operation

from ..dialects.aten import CallOp
from ..dialects.template import Argument, Name


def named_devices(function: Operation) -> set[torch.device]:
    """Every device that the templates of `function` name."""
    calls = (op for op in function.walk() if isinstance(op, CallOp))
    return {
        torch.device(leaf.argument)
        for call in calls
        for leaf in leaves((*call.template.data.args, *(value for _, value in call.template.data.kwargs)))
        if isinstance(leaf, Name) and leaf.text == "device" and leaf.argument is not None
    }


def leaves(arguments: Iterable[Argument]) -> Iterator[Argument]:
    """Every leaf of nested arguments."""
    for argument in arguments:
        if isinstance(argument, tuple):
            yield from leaves(argument)
        else:
            yield argument


def run_device(weights: Mapping[str, torch.Tensor], asked: torch.device | str | None) -> torch.device | None:
    """The device asked for, or else the one that all weights lie on; None when that is not one."""
    if asked is not None:
        return torch.device(asked)
    found = {weight.device for weight in weights.values()}
    return found.pop() if len(found) == 1 else None


def replacements(named: set[torch.device], device: torch.device | None) -> dict[torch.device, torch.device]:
    """Which device of the templates stands for which at run time."""
    accelerators = {d for d in named if d.type != "cpu"}
    exported = accelerators if accelerators else named
    return {} if device is None or len(exported) != 1 else {exported.pop(): device}


def moved(weight: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`weight` itself where it lies on `device`, else a copy there: a leaf of its own for gradients."""
    return weight if weight.device == device else weight.detach().to(device).requires_grad_(weight.requires_grad)
