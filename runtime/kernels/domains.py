"""Domains themselves: found, widened, measured, compared."""

from collections.abc import Callable

from torch import Tensor

from ...dialects.layout import factor_sizes
from ...dialects.sparse import CoversOp, DensityOp, DomainOp, EverywhereOp, FitsOp, SizeOp
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
