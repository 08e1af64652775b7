"""The theoretical limit: dense arithmetic over the arithmetic that is left when only active rows are computed.

    limit = dense / active

| part      | a layer's flops                      | dense            | active                     |
|-----------|--------------------------------------|------------------|----------------------------|
| products  | 2 x rows x (4 H^2 + 2 H F)           | rows = B L       | rows = sum of lengths      |
| attention | 4 x H x sum over sequences of n^2    | n = L            | n = the sequence's length  |

Moves, norms and activations are taken as free. It bounds arithmetic, not time: smaller tensors also stay in cache, and
a packed program can beat it where the dense one waits for memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Encoder:
    """A transformer encoder of `layers`, `hidden` wide, with `intermediate` channels in its feed-forward part."""

    layers: int
    hidden: int
    intermediate: int

    def flops(self, lengths: Sequence[int]) -> float:
        """Floating-point operations on sequences of `lengths`."""
        products = 2.0 * sum(lengths) * (4 * self.hidden**2 + 2 * self.hidden * self.intermediate)
        attention = 4.0 * self.hidden * sum(length**2 for length in lengths)
        return self.layers * (products + attention)

    def limit(self, lengths: Sequence[int], padded: int) -> float:
        """How many times fewer operations it takes to compute active rows only."""
        return self.flops([padded] * len(lengths)) / self.flops(lengths)
