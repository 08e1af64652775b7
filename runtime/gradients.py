"""Gradients into `.grad`, as autograd leaves them there.

    no .grad yet     the gradient itself, where it lies in memory as the parameter does, else a copy that does
    one is there     .grad += gradient, in place; a sparse one becomes dense by a dense one

A hook of the tensor sees the gradient first, and may change it; a post-accumulate hook is called last.
"""

from collections.abc import Container

import torch
from torch import Tensor

from .shards import part_of

is_dense = torch.ops.aten.is_non_overlapping_and_dense.default


def accumulate(parameter: Tensor, gradient: Tensor, taken: Container[int] = ()) -> None:
    """Add `gradient` to the gradient of `parameter`. Memory in `taken` (see `storage`) belongs to others."""
    for hook in list((parameter._backward_hooks or {}).values()):
        replaced = hook(gradient)
        gradient = gradient if replaced is None else replaced
    if parameter.grad is None:
        steal = gradient.layout is not torch.strided or (
            storage(gradient) not in taken and lies_as(gradient, parameter)
        )
        parameter.grad = gradient if steal else copied(gradient, parameter)
    elif parameter.grad.layout is not torch.strided is gradient.layout:
        parameter.grad = gradient + parameter.grad
    else:
        parameter.grad += gradient
    for hook in list((getattr(parameter, "_post_accumulate_grad_hooks", None) or {}).values()):
        hook(parameter)


def storage(tensor: Tensor) -> int:
    """Where the memory of a tensor begins, of a DTensor that of this rank's part; 0 for none."""
    tensor = part_of(tensor)
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else 0


def lies_as(gradient: Tensor, parameter: Tensor) -> bool:
    """Does the gradient lie in memory as the parameter does? Axes of one element do not count."""
    if not is_dense(parameter):
        return gradient.is_contiguous()
    strides = zip(parameter.shape, gradient.stride(), parameter.stride(), strict=True)
    return all(own == other for size, own, other in strides if size != 1)


def copied(gradient: Tensor, parameter: Tensor) -> Tensor:
    """A copy that lies in memory as the parameter does."""
    if not is_dense(parameter):
        return gradient.clone(memory_format=torch.contiguous_format)
    return gradient.new_empty_strided(parameter.shape, parameter.stride()).copy_(gradient)
