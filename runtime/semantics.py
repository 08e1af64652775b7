"""What the moves and attention of `sparse` mean, as plainly as it can be said.

    addresses("i a j b", full [2, 12, 3, 64], domain)   where each number of the compact form lies in the full tensor
    masked_attention(q, k, v, domain, ..)               softmax(q k^T * scale + mask) v, one sequence after the other

No kernel is used, and speed is no concern.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..dialects.layout import DOMAIN_AXES, Layout, factor_sizes
from .domain import Domain


def coordinates(domain: Domain) -> tuple[Tensor, ...]:
    """The active positions by their coordinate on each axis of the index space."""
    return torch.unravel_index(domain.rows, domain.space)


def addresses(layout: Layout, shape: Sequence[int], domain: Domain) -> Tensor:
    """Row-major positions in a full tensor of `shape` of every number of its compact form, in the latter's shape.

    Raises ValueError when the sizes do not fit.
    """
    sizes = factor_sizes(layout, shape, domain.space)
    kept = [factors for factors in layout.kept if factors is not None]
    compact = [len(domain.rows), *(math.prod(sizes[name] for name in factors) for factors in kept)]
    address = torch.zeros(compact, dtype=torch.int64, device=domain.rows.device)
    names = layout.names
    for place, name in enumerate(names):
        step = math.prod(sizes[after] for after in names[place + 1 :])
        if name in DOMAIN_AXES:
            axis, coordinate = 0, coordinates(domain)[DOMAIN_AXES.index(name)]
        else:
            axis, coordinate = 1 + kept.index((name,)), torch.arange(sizes[name], device=address.device)
        along = [1] * len(compact)
        along[axis] = compact[axis]
        address = address + coordinate.view(along) * step
    return address


def unpacked_shape(layout: Layout, compact: Sequence[int], space: Sequence[int]) -> list[int]:
    """The shape of the full tensor that a compact form, of sizes `compact` after the first, came from."""
    shape = []
    for axis, factors in enumerate(layout.axes):
        where = layout.compact_axis(axis)
        inside = [space[DOMAIN_AXES.index(name)] for name in factors if name in DOMAIN_AXES]
        shape.append(math.prod(inside) * (1 if where is None else compact[where - 1]))
    return shape


def masked_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    domain: Domain,
    *,
    table: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """[active, heads, width of value]; `table` is the mask over full sequences. Fewer key heads serve several."""
    *_, heads, width = query.shape
    key, value = (tensor.repeat_interleave(heads // tensor.shape[1], 1) for tensor in (key, value))
    *batch, columns = coordinates(domain)
    length = domain.space[-1]
    results = [value[:0]]
    for sequence in (domain.rows // max(length, 1)).unique():
        rows = (domain.rows // length == sequence).nonzero().flatten()
        at = columns[rows]
        scores = torch.einsum("qhw,khw->hqk", query[rows], key[rows]) * (width**-0.5 if scale is None else scale)
        if causal:
            scores = scores.masked_fill(at[None, :] > at[:, None], -math.inf)
        if table is not None:
            shared = table.reshape(table.shape[-len(domain.space) - 2 :])
            whole = shared.expand(*domain.space[:-1], heads, length, length)[tuple(axis[rows[0]] for axis in batch)]
            scores = mask_scores(scores, whole[:, at][:, :, at])
        results.append(torch.einsum("hqk,khw->qhw", safe_softmax(scores), value[rows]))
    return torch.cat(results)


def mask_scores(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores where a truth value of `mask` is true, or scores plus `mask`."""
    return scores.masked_fill(~mask, -math.inf) if mask.dtype is torch.bool else scores + mask


def safe_softmax(scores: Tensor) -> Tensor:
    """Softmax along keys; a query that sees none has probability 0 everywhere, as in torch's attention."""
    blind = (scores == -math.inf).all(-1, keepdim=True)
    return torch.softmax(scores, -1).masked_fill(blind, 0.0)
