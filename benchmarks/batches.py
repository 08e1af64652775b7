"""Batches as they come: many short sequences, a few long ones, padded to the same length.

lengths = clip(lognormal(median = density x longest, sigma), 3, longest), scaled to the density that is asked for
"""

import numpy as np
import torch
from torch import Tensor

SIGMA = 0.35
"""Spread of the logarithm of lengths."""
SHORTEST = 3


def lognormal_lengths(batch: int, longest: int, density: float, seed: int = 0) -> list[int]:
    """`batch` lengths of 3 .. `longest`, their mean about `density` x `longest`."""
    if density >= 1.0:
        return [longest] * batch
    drawn = np.random.default_rng(seed).lognormal(np.log(longest * density), SIGMA, batch)
    for _ in range(8):
        drawn = np.clip(drawn * (longest * density * batch / drawn.sum()), SHORTEST, longest)
    return [int(length) for length in drawn.round()]


def prefix_mask(lengths: list[int], longest: int) -> Tensor:
    """int64 [batch, longest]: 1 on the first `length` positions of each row."""
    return (torch.arange(longest)[None] < torch.tensor(lengths)[:, None]).long()


def patch_mask(batch: int, patches: int, density: float, seed: int = 0) -> Tensor:
    """int64 [batch, 1 + patches]: 1 on the class token and on a random share of patches, as masked autoencoders do."""
    generator = torch.Generator().manual_seed(seed)
    kept = torch.rand(batch, patches, generator=generator) < density
    return torch.cat([torch.ones(batch, 1), kept], dim=1).long()


def token_ids(batch: int, length: int, vocabulary: int, seed: int = 0) -> Tensor:
    """int64 [batch, length] of random tokens, none of them special."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(min(5, vocabulary - 1), vocabulary, (batch, length), generator=generator)
