"""A model of all steps as the model of one, where it is a sequence of layers.

| a layer over time                                    | in one step                  |
|------------------------------------------------------|------------------------------|
| SpikingJelly's, in step mode `m`                     | the same in step mode `s`    |
| SpikingJelly's `SeqToANNContainer`, `MultiStepContainer` | `nn.Sequential`          |
| Norse's `Lift(module)`                               | the module                   |
| Norse's `LIF`, `LI`, `IAF`, `LIFRecurrent`           | their cells                  |
| `nn.Flatten(start_dim=2)`                            | `nn.Flatten(start_dim=1)`    |

Weights stay the model's own.
"""

from copy import copy
from typing import Any

from torch import nn

from ...dialects.diagnostics import UserError
from .adapters.registry import dotted, kin

CONTAINERS = ("Sequential", "SequentialState")
STEPWISE = ("SeqToANNContainer", "MultiStepContainer")
"""Containers whose layers see one step at a time."""
CELLS = {"SNN": "SNNCell", "SNNRecurrent": "SNNRecurrentCell"}


def runs_over_time(module: nn.Module) -> bool:
    """Does a module take all steps at once?"""
    names = {dotted(cls) for cls in kin(module)}
    norse = {"norse.torch.module.snn.SNN", "norse.torch.module.snn.SNNRecurrent", "norse.torch.module.lift.Lift"}
    multi = getattr(module, "step_mode", "s") == "m" or type(module).__name__ in STEPWISE
    return bool(names & norse) or multi


def one_step(model: nn.Module) -> nn.Module:
    """The model of one step; `model` itself where it is one. Raises UserError where code of its own runs over time."""
    if not any(map(runs_over_time, model.modules())):
        return model
    return converted(model, "self")


def converted(module: Any, path: str) -> nn.Module:
    """A layer over time in one step."""
    kind, names = type(module).__name__, {dotted(cls) for cls in kin(module)}
    if kind == "Lift":
        return module.lifted_module
    if found := [cell for name, cell in CELLS.items() if f"norse.torch.module.snn.{name}" in names]:
        return cell(module, found[0])
    if kind in STEPWISE:
        return nn.Sequential(*module.children())
    if kind in CONTAINERS and isinstance(module, nn.Sequential):
        layers = [converted(child, f"{path}.{name}") for name, child in module.named_children()]
        return nn.Sequential(*layers) if kind != "SequentialState" else type(module)(*layers)
    if next(module.children(), None) is not None and getattr(module, "step_mode", None) is None:
        raise UserError(
            f"`{path}` ({kind}) has code of its own around layers over time",
            hint="give its nn.Sequential of layers, or the model of one step in gossamer.snn.over_time",
        )
    if getattr(module, "step_mode", None) == "m":
        return shallow(module, _step_mode="s")
    if isinstance(module, nn.Flatten) and getattr(module, "step_mode", None) is None:
        return nn.Flatten(*(axis - 1 if axis > 0 else axis for axis in (module.start_dim, module.end_dim)))
    return module


def shallow(module: nn.Module, **changes: Any) -> nn.Module:
    """A module on the same weights, with other attributes."""
    twin = copy(module)
    vars(twin).update(changes)
    return twin


def cell(module: Any, name: str) -> nn.Module:
    """The cell of a Norse layer over time, on the same weights."""
    from norse.torch.module import snn

    twin = shallow(module)
    twin.__class__ = getattr(snn, name)
    return twin
