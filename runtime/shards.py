"""Tensors that ranks hold parts of: a program reads and makes the parts, a DTensor says how they are one tensor.

weight         a DTensor 16x8, Shard(0) over 2 ranks    ->    %weight = aten.parameter @weight : tensor<8x8xf32>
weight.grad    a DTensor as its `Layout` tells          <-    %gradient : tensor<8x8xf32>
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.distributed._functional_collectives import AsyncCollectiveTensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.placement_types import Placement
from torch.utils import _pytree as pytree

from ..dialects.diagnostics import UserError


@dataclass(frozen=True)
class Layout:
    """How the parts on the ranks of a mesh are one tensor; `meta` is what a DTensor says of itself beside."""

    mesh: DeviceMesh
    meta: tuple[Any, ...]
    shape: torch.Size
    stride: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> "Layout | None":
        """The layout of a DTensor; None for what is none."""
        if not isinstance(tensor, DTensor):
            return None
        _, meta = tensor.__tensor_flatten__()
        return cls(tensor.device_mesh, (*meta[:-1], False), tensor.shape, tensor.stride())

    @property
    def placements(self) -> tuple[Placement, ...]:
        """What each dimension of the mesh does."""
        return self.meta[0]

    def whole(self, part: Tensor) -> Tensor:
        """The DTensor of which this rank has `part`."""
        inner = {"_local_tensor": part, "device_mesh": self.mesh}
        return DTensor.__tensor_unflatten__(inner, self.meta, self.shape, self.stride)

    def __str__(self) -> str:
        placements = ", ".join(map(str, self.placements))
        return f"a DTensor {list(self.shape)} of {placements} on the mesh {self.mesh.mesh.tolist()}"


@dataclass(frozen=True)
class Layouts:
    """What of a step is a DTensor outside: gradients and arguments by name, and the loss."""

    gradients: Mapping[str, Layout] = field(default_factory=dict)
    arguments: Mapping[str, Layout] = field(default_factory=dict)
    loss: Layout | None = None

    def parts(self, batch: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[int, Tensor]]:
        """A batch with this rank's parts of its DTensors, and these, by the identity of their parts.

        Raises UserError for as many DTensors as there were, laid out otherwise.
        """
        whole: dict[int, Tensor] = {}
        leaves, spec = pytree.tree_flatten(batch)
        for leaf in leaves:
            if isinstance(leaf, DTensor):
                whole[id(part_of(leaf))] = leaf
        if len(whole) == len(self.arguments):
            for name, tensor in zip(self.arguments, whole.values(), strict=True):
                self.check(name, tensor)
        return pytree.tree_unflatten(map(part_of, leaves), spec), whole

    def check(self, name: str, value: Any) -> None:
        """Raise UserError where an argument is laid out otherwise than the example."""
        found, expected = Layout.of(value), self.arguments.get(name)
        if found != expected:
            raise UserError(
                f"argument '{name}' is {found or 'no DTensor'}, expected {expected or 'a tensor that is no DTensor'}",
                hint="give it the placements of the example: redistribute it, or compile another step",
            )


def part_of(tensor: Tensor) -> Tensor:
    """What this rank holds of a DTensor, the tensor itself and no copy, once it is there; any other tensor."""
    if not isinstance(tensor, DTensor):
        return tensor
    part = tensor._local_tensor
    return part.wait() if isinstance(part, AsyncCollectiveTensor) else part
