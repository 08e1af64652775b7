"""Rows in tiles, and products that go by them: the torch calls that stand in where no kernel was generated.

for each tile:    y[rows] = linear(x[rows][:, active], w[:, active], bias)
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear

from ...dialects.sparse import TileOp
from ...dialects.tiles import probe_step
from ..tiles import Tiles
from .registry import kernel


@kernel("sparse.tile")
def tile(op: TileOp) -> Callable[[Tensor], Tiles]:
    """As the op says it."""
    height, clustered, gives_up = op.tiles.type.height.data, op.clustered is not None, giving_up(op)

    def run(x: Tensor) -> Tiles:
        return Tiles.all(x.shape, x.device) if gives_up(x) else Tiles.of(x, height, clustered=clustered)

    return run


def giving_up(op: TileOp) -> Callable[[Tensor], bool]:
    """Whether a tensor is to be left as it is, without a look for tiles."""
    rows = None if op.rows is None else op.rows.value.data
    upto = None if op.upto is None else op.upto.value.data
    return lambda x: is_given_up(x, rows) or (upto is not None and is_denser(x, upto))


def is_given_up(x: Tensor, most: int | None) -> bool:
    """Has `x` too many rows to look, or gradients that what is zero may have too?"""
    many = most is not None and x.numel() > most * x.shape[-1]
    return many or (x.requires_grad and torch.is_grad_enabled())


def is_denser(x: Tensor, share: float) -> bool:
    """Is more than that of a sample of `x` active? A few microseconds."""
    if not x.numel():
        return False
    probes = x.reshape(-1)[:: probe_step(x.numel())]
    return int(probes.count_nonzero()) > share * len(probes)


def skip_k_tiles(x: Tensor, weight: Tensor, tiles: Tiles, bias: Tensor | None = None) -> Tensor:
    """Each row summed over the active positions of its tile."""
    if tiles.everywhere or not tiles.rows:
        return linear(x, weight, bias)
    rows, order = x.reshape(-1, x.shape[-1]), tiles.order.reshape(-1, tiles.height)
    parts = [
        linear(rows[own][:, tiles.columns(at)], weight[:, tiles.columns(at)], bias) for at, own in enumerate(order)
    ]
    full = x.new_empty(len(rows), weight.shape[0]).index_copy(0, order.flatten(), torch.cat(parts))
    return full.reshape(*x.shape[:-1], -1)
