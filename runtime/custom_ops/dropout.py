"""Dropout as eager computes it, with a mask of one byte an element.

    eager       noise = empty_like(x).bernoulli_(1 - p).div_(1 - p);  x * noise          keeps 4 bytes an element
    here        mask  = the same draws as bool;  x * (mask * (1 / (1 - p)))              keeps 1

The products are the same to the bit in every dtype, NaN, Inf and signs of zeros included; so are the gradients.
"""

import torch
from torch import Tensor


@torch.library.custom_op("gossamer::dropout", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,))
def dropout(x: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """`x` with each element set to zero with probability `p`, else scaled by 1 / (1 - p); and what is kept."""
    mask = torch.empty_like(x, dtype=torch.bool).bernoulli_(1 - p)
    return noise(mask, x.dtype, p).mul_(x), mask


@torch.library.custom_op("gossamer::dropout_backward", mutates_args=())
def dropout_backward(gradient: Tensor, mask: Tensor, p: float) -> Tensor:
    """The gradient of `x`, of the gradient of the result."""
    factors = noise(mask, gradient.dtype, p)
    return factors.mul_(gradient) if factors.stride() == gradient.stride() else gradient * factors


def noise(mask: Tensor, dtype: torch.dtype, p: float) -> Tensor:
    """0 where `mask` is false, else 1 / (1 - p), rounded as `ones.div_(1 - p)` is."""
    return mask.to(dtype).mul_(torch.ones((), dtype=dtype, device=mask.device).div_(1 - p))


@dropout.register_fake
def _(x: Tensor, p: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(x, dtype=torch.bool)


@dropout_backward.register_fake
def _(gradient: Tensor, mask: Tensor, p: float) -> Tensor:
    return torch.empty_like(mask, dtype=gradient.dtype) if mask.stride() == gradient.stride() else gradient * mask


def keep(ctx, inputs: tuple[Tensor, float], output: tuple[Tensor, Tensor]) -> None:
    ctx.p = inputs[1]
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])


def backward(ctx, gradient: Tensor, _: Tensor) -> tuple[Tensor, None]:
    return dropout_backward(gradient, *ctx.saved_tensors, ctx.p), None


dropout.register_autograd(backward, setup_context=keep)
