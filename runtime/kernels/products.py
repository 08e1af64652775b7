"""Products that skip: the torch calls that stand in where no kernel was generated.

    k    linear(x[.., active], w[:, active], bias)
    n    zeros; [.., active] = linear(x, w[active], bias[active])

Both copy the active part of the weight first: whole rows along n, and along k where the weight lies k-major, as
`weight.t().contiguous().t()` does; else single numbers of every row, which costs several times as much.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear

from ...dialects.sparse import MatmulOp, Skip, SupportOp
from ...dialects.tiles import TilesType
from ..domain import Domain
from .registry import kernel
from .tiles import is_given_up, skip_k_tiles


@kernel("sparse.support")
def support(op: SupportOp) -> Callable[[Tensor], Domain]:
    """One row is its own mask; of several rows the union counts."""
    most = None if op.rows is None else op.rows.value.data

    def run(x: Tensor) -> Domain:
        width = x.shape[-1]
        if is_given_up(x, most):
            return Domain.all((width,), x.device)
        if x.numel() == width:
            return Domain.of(x.reshape(width))
        return Domain.of((x != 0).reshape(-1, width).any(0))

    return run


def skip_k(x: Tensor, weight: Tensor, domain: Domain, bias: Tensor | None = None) -> Tensor:
    """The sum over active positions of k."""
    if domain.everywhere:
        return linear(x, weight, bias)
    k_major = weight.t().is_contiguous()
    active = weight.t().index_select(0, domain.rows).t() if k_major else weight.index_select(1, domain.rows)
    return linear(x.index_select(-1, domain.rows), active, bias)


def skip_n(x: Tensor, weight: Tensor, domain: Domain, bias: Tensor | None = None) -> Tensor:
    """Active outputs, and zeros."""
    if domain.everywhere:
        return linear(x, weight, bias)
    rows = domain.rows
    active = linear(x, weight.index_select(0, rows), None if bias is None else bias.index_select(0, rows))
    full = active.new_zeros(*x.shape[:-1], weight.shape[0])
    if torch.is_grad_enabled() and active.requires_grad:
        return full.index_copy(-1, rows, active)
    return full.index_copy_(-1, rows, active)


@kernel("sparse.matmul")
def matmul(op: MatmulOp) -> Callable[..., Tensor]:
    """x w^T + bias along the axis that the op skips"""
    if isinstance(op.domain.type, TilesType):
        return skip_k_tiles
    return skip_k if op.axis.data is Skip.K else skip_n
