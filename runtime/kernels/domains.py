"""Domains themselves: found, widened, measured, compared."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...dialects.layout import factor_sizes
from ...dialects.sparse import CoversOp, DensityOp, DomainOp, EverywhereOp, FitsOp, ListedOp, SizeOp
from ..domain import Domain
from ..tiles import Tiles
from .registry import kernel


@kernel("sparse.domain")
def domain(op: DomainOp) -> Callable[[Tensor], Domain]:
    """The positions where a mask is not zero, as many as `multiple` asks for."""
    if op.multiple is None:
        return Domain.of
    multiple = op.multiple.value.data
    return lambda mask: Domain.of(mask).padded(multiple)


@kernel("sparse.listed")
def listed(op: ListedOp) -> Callable[..., Domain]:
    """One list is read where it lies; several are put together first, and single positions alone found once."""
    size, positions = op.size, torch.tensor(op.single, dtype=torch.int64)
    if not op.lists:
        found = Domain.listed(positions, size)
        return lambda: found
    if len(op.lists) == 1 and not len(positions):
        return lambda entries: Domain.listed(entries, size)

    def run(*lists: Tensor) -> Domain:
        entries = [*map(torch.flatten, lists), positions.to(lists[0].device)]
        return Domain.listed(torch.cat(entries), size)

    return run


@kernel("sparse.listed", device="cuda")
def listed_on_cuda(op: ListedOp) -> Callable[..., Domain]:
    """Single positions go where the weights are."""
    if op.lists:
        return listed(op)
    found = Domain.listed(torch.tensor(op.single, dtype=torch.int64, device="cuda"), op.size)
    return lambda: found


@kernel("sparse.everywhere")
def everywhere(_: EverywhereOp) -> Callable[[Domain | Tiles], Domain | Tiles]:
    """All positions of the same index space."""
    return lambda like: like.whole()


@kernel("sparse.size")
def size(_: SizeOp) -> Callable[[Domain], int]:
    """A Python int, as every size."""
    return lambda domain: domain.size


@kernel("sparse.density")
def density(_: DensityOp) -> Callable[[Domain | Tiles], float]:
    """A Python float; on CUDA it waits for nothing, the number of rows is known on the host."""
    return lambda domain: domain.density


@kernel("sparse.covers")
def covers(_: CoversOp) -> Callable[[Tensor, Domain], bool]:
    """False, too, where `mask` is not over the domain's index space."""

    def run(mask: Tensor, domain: Domain) -> bool:
        if tuple(mask.shape) != domain.space:
            return False
        flags = mask.reshape(-1)
        return bool((flags if domain.everywhere else flags.index_select(0, domain.rows)).all())

    return run


@kernel("sparse.fits")
def fits(op: FitsOp) -> Callable[[Tensor, Domain], bool]:
    """Whether a gather in this layout would find the domain's axes."""
    layout = op.layout.data

    def run(full: Tensor, domain: Domain) -> bool:
        try:
            factor_sizes(layout, full.shape, domain.space)
        except ValueError:
            return False
        return True

    return run
