"""Weights as kernels read them: k-major, [k, n] row after row.

    k_major = KMajor()
    k_major(weight)          weight.t() itself where that lies k-major already, else a copy of it, made once

The copy costs as much memory again as the weight, for as long as the weight lives. It is made anew when the weight was
written (its version), lies elsewhere (`weight.data = ..`) or is another tensor. A write that torch does not count, as
`weight.data.copy_(..)`, goes unseen. Launches that share a weight share the copy.
"""

import weakref
from typing import NamedTuple

from torch import Tensor

from ..pages import prefer_huge_pages


class Copy(NamedTuple):
    """A k-major copy, and the weight and state that it was made of."""

    weight: "weakref.ref[Tensor]"
    version: int
    address: int
    tensor: Tensor

    def is_of(self, weight: Tensor) -> bool:
        """Is this what `weight` is now?"""
        return self.weight() is weight and self.version == weight._version and self.address == weight.data_ptr()


COPIES: dict[int, Copy] = {}
"""Copies by the identity of their weight; one goes when its weight goes."""


def k_major(weight: Tensor) -> Tensor | None:
    """`weight.t()` with its rows one after the other; None for a weight whose writes torch does not count."""
    key = id(weight)
    known = COPIES.get(key)
    if known is not None and known.is_of(weight):
        return known.tensor
    if weight.t().is_contiguous():
        return weight.t()
    if weight.is_inference():
        return None

    def forget(reference: "weakref.ref[Tensor]") -> None:
        if key in COPIES and COPIES[key].weight is reference:
            del COPIES[key]

    turned = weight.detach().t()
    made = prefer_huge_pages(turned.new_empty(turned.shape)).copy_(turned)
    COPIES[key] = Copy(weakref.ref(weight, forget), weight._version, weight.data_ptr(), made)
    return made
