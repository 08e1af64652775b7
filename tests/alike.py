"""A module against its adapted form: results, gradients and random streams, on fresh inputs."""

from collections.abc import Mapping
from typing import Any

import torch
from gossamer.compiler.frontends.adapters import adapted
from gossamer.tests.zoo import difference
from torch import nn
from torch.utils import _pytree as pytree


def outcome(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    """Results of one call, and the gradients of all inputs and weights: zero where nothing depends on them."""
    args, kwargs = pytree.tree_map_only(torch.Tensor, fresh, (args, dict(kwargs)))
    torch.manual_seed(7)
    results = module(*args, **kwargs)
    tensors = [t for t in pytree.tree_leaves(results) if isinstance(t, torch.Tensor) and t.requires_grad]
    torch.manual_seed(8)
    loss = sum((t * torch.randn_like(t)).sum() for t in tensors)
    wanted = [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor) and t.requires_grad]
    wanted += [p for p in module.parameters() if p.requires_grad]
    given = (
        torch.autograd.grad(loss, wanted, allow_unused=True) if isinstance(loss, torch.Tensor) else [None] * len(wanted)
    )
    return results, [torch.zeros_like(t) if g is None else g for t, g in zip(wanted, given, strict=True)]


def fresh(tensor: torch.Tensor) -> torch.Tensor:
    """A leaf with the values of `tensor`; numbers get gradients."""
    return tensor.detach().clone().requires_grad_(tensor.is_floating_point())


def apart(module: nn.Module, *args: Any, forms: int = 1, **kwargs: Any) -> tuple[float, float]:
    """How far results and gradients of the adapted form are from the module's own; `forms` modules must be adapted."""
    with adapted(module) as notes:
        assert len(notes) == forms, notes
        given = outcome(module, args, kwargs)
    own = outcome(module, args, kwargs)
    gradients = [theirs.to(ours.dtype) for ours, theirs in zip(given[1], own[1], strict=True)]
    return difference(given[0], own[0]), difference(given[1], gradients)
