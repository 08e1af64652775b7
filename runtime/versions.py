"""Has a tensor been written since it was looked at? By torch's count of writes, its place, and who it is.

    seen = Version.of(weight)
    seen.is_of(weight)          until it is written, lies elsewhere (`weight.data = ..`) or is another tensor

A write that torch does not count, as `weight.data.copy_(..)`, goes unseen. Looking takes about 0.3 us.
"""

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor


class Version(NamedTuple):
    """A tensor as it was."""

    tensor: "weakref.ref[Tensor]"
    writes: int
    address: int

    @classmethod
    def of(cls, tensor: Tensor, forget: Callable[[Any], None] | None = None) -> "Version | None":
        """As it is now; None where torch does not count writes. `forget` is called with the reference when it goes."""
        if tensor.is_inference():
            return None
        return cls(weakref.ref(tensor, forget), tensor._version, tensor.data_ptr())

    def is_of(self, tensor: Tensor) -> bool:
        """Is this what `tensor` is now?"""
        return self.tensor() is tensor and self.writes == tensor._version and self.address == tensor.data_ptr()
