"""Where a program runs (`cpu`, `cuda:1`), and how exactly it repeats the model (`bitwise`, or with sums reordered)."""

import torch
from torch.utils import _pytree as pytree
from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Attribute

from ..dialects.diagnostics import UserError, did_you_mean

TARGETS = ("cpu", "cuda")
EXACT = ("bitwise",)


def exactness(exact: str | None) -> dict[str, Attribute]:
    """What tells the passes how exact to be, for the module. Raises UserError for an unknown word."""
    if exact not in (None, *EXACT):
        raise UserError(f"no exactness '{exact}'", hint=did_you_mean(exact, EXACT))
    return {"gossamer.exact": StringAttr(exact)} if exact else {}


def target_device(target: str | torch.device) -> torch.device:
    """The device that a target names, with its index. Raises UserError where it is unknown or not on this machine."""
    kind, _, index = str(target).partition(":")
    if kind not in TARGETS or (index and not index.isdecimal()):
        raise UserError(f"no target '{target}'", hint=did_you_mean(kind, (*TARGETS, "cuda:0")))
    if kind == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(index) if index else torch.cuda.current_device() if count else 0
    if number >= count:
        raise UserError(f"target '{target}' is not on this machine: torch sees {count} CUDA devices")
    return torch.device(kind, number)


def common_device(tree: object) -> torch.device | None:
    """The device that all tensors in `tree` share; None where they differ, or there is none."""
    devices = {leaf.device for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)}
    return devices.pop() if len(devices) == 1 else None
