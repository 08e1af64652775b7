"""Whether two tensors are the same, to the bit."""

import numpy as np
import torch
from torch import Tensor


def same_bits(one: Tensor, two: Tensor) -> bool:
    """Are these the same numbers of f32, zeros with the same sign, or truth values? NaN counts as NaN, whatever its
    bits. Takes none of torch's memory."""
    if one.dtype is torch.bool:
        return torch.equal(one, two)
    first, second = one.numpy(), two.numpy()
    alike = first.view(np.int32) == second.view(np.int32)
    return bool((alike | (np.isnan(first) & np.isnan(second))).all())
