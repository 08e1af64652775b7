"""Has attention the same bits wherever its keys and values lie? Tried on this machine, and kept.

Queries, keys and values that are parts of one projection, and copies of them: results, gradients and their strides, of
several numbers and lengths of sequences, heads and sizes, with and without a causal mask.
"""

from functools import cache
from itertools import product

import torch
from torch import Tensor

from .machine import holds

SIZES = ((8, 64, 4, 64), (2, 16, 1, 64), (1, 130, 3, 32), (2, 128, 12, 64), (1, 513, 2, 80), (3, 33, 2, 16),
         (1, 300, 2, 128))  # fmt: skip
"""Sequences, their length, heads, and their size."""


@cache
def exact_attention() -> bool:
    """May attention read keys and values in place of copies?"""
    return holds("attention", (str(SIZES),), is_exact)


@torch.no_grad()
def is_exact() -> bool:
    """The same, found by trial."""
    random = torch.Generator().manual_seed(0)
    return all(alike(*size, causal, random) for size, causal in product(SIZES, (True, False)))


def alike(batch: int, length: int, heads: int, size: int, causal: bool, random: torch.Generator) -> bool:
    """Are results and gradients the same for keys and values where they are, and for copies?"""
    together = torch.randn(batch, length, 3 * heads * size, generator=random).split(heads * size, 2)
    q, k, v = (part.view(batch, length, heads, size).transpose(1, 2) for part in together)
    gradient = torch.randn(batch, length, heads, size, generator=random).transpose(1, 2)
    one, two = (attention(q, *pair, gradient, causal) for pair in ((k, v), (k.contiguous(), v.contiguous())))
    return all(torch.equal(a, b) and a.stride() == b.stride() for a, b in zip(one, two, strict=True))


def attention(q: Tensor, k: Tensor, v: Tensor, gradient: Tensor, causal: bool) -> list[Tensor]:
    """The result, its log-sums, and the gradients of q, k and v."""
    forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    found = forward(q, k, v, 0.0, causal, scale=0.125)
    return [*found, *backward(gradient, q, k, v, *found, 0.0, causal, scale=0.125)]
