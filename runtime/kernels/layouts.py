"""Weights as kernels read them: k-major, [k, n] row after row.

    k_major = KMajor()
    k_major(weight)          weight.t() itself where that lies k-major already, else a copy of it, made once

The copy costs as much memory again as the weight, for as long as the weight lives. It is made anew when the weight was
written (see `versions.py`). Launches that share a weight share the copy.
"""

import weakref
from typing import NamedTuple

from torch import Tensor

from ..pages import prefer_huge_pages
from ..versions import Version


class Copy(NamedTuple):
    """A k-major copy, and what it was made of."""

    of: Version
    tensor: Tensor


COPIES: dict[int, Copy] = {}
"""Copies by the identity of their weight; one goes when its weight goes."""


def k_major(weight: Tensor) -> Tensor | None:
    """`weight.t()` with its rows one after the other; None for a weight whose writes torch does not count."""
    key = id(weight)
    known = COPIES.get(key)
    if known is not None and known.of.is_of(weight):
        return known.tensor
    if weight.t().is_contiguous():
        return weight.t()

    def forget(reference: "weakref.ref[Tensor]") -> None:
        if key in COPIES and COPIES[key].of.tensor is reference:
            del COPIES[key]

    if (version := Version.of(weight, forget)) is None:
        return None
    turned = weight.detach().t()
    made = prefer_huge_pages(turned.new_empty(turned.shape)).copy_(turned)
    COPIES[key] = Copy(version, made)
    return made
