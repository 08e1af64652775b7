"""Weights of projections as kernels read them: see the table of arguments in `passes/kernels/population.py`.

| form   | buffers                                                                                      |
|--------|----------------------------------------------------------------------------------------------|
| rows   | `rows` k-major, [sources, width]                                                             |
| sparse | `offsets` by split of the targets, delay and source, longest first; `targets`, `weights`, `delays` |

A scale that comes before the product is part of the weights: of a spike, 1, it makes the same numbers.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .matrices import Csr
from .network import Network, Population, Projection, Stage

Buffers = dict[str, np.ndarray]


@dataclass(frozen=True)
class Target:
    """Where a projection goes: a population whose columns, `width` with those that fill the last block, are cut at
    `starts`; and `stride`, the length of a list of the source."""

    population: Population
    width: int
    starts: np.ndarray
    stride: int


def parts(projection: Projection) -> tuple[list[Stage], Stage | None, list[Stage]]:
    """Stages before the product, the product if there is one, and stages after it."""
    stages = projection.stages
    place = next((place for place, stage in enumerate(stages) if stage.product is not None), None)
    return ([], None, list(stages)) if place is None else (
        list(stages[:place]), stages[place], list(stages[place + 1 :]))  # fmt: skip


def weights(projection: Projection, target: Target) -> Csr:
    """[targets, sources], one synapse an entry."""
    before, product, _ = parts(projection)
    dtype, size = target.population.dtype, target.population.size
    if product is None:
        return sparse.csr_array((np.ones(size, dtype), np.arange(size), np.arange(size + 1)), shape=(size, size))
    matrix: Csr = product.product
    factor: np.ndarray | None = None
    for stage in before:
        assert stage.scale is not None
        factor = stage.scale if factor is None else stage.scale * factor
    if factor is None:
        return matrix
    return sparse.csr_array((matrix.data * factor[matrix.indices], matrix.indices, matrix.indptr), shape=matrix.shape)


def packed(projection: Projection, form: str, target: Target) -> Buffers:
    """The buffers of a projection, by name."""
    if form == "given":
        return {}
    found = {"rows": dense, "sparse": by_source}[form](projection, target)
    for place, stage in enumerate(parts(projection)[2]):
        name, value = ("scale", stage.scale) if stage.scale is not None else ("bias", stage.bias)
        assert value is not None
        found[f"{name}{place}"] = padded(value, target.width)
    return found


def padded(value: np.ndarray, width: int) -> np.ndarray:
    """`value` with zeros after it."""
    return np.concatenate([value, np.zeros(width - len(value), value.dtype)])


def dense(projection: Projection, target: Target) -> Buffers:
    """A row of the k-major weight for each source."""
    assert isinstance(projection.delay, int)
    matrix = weights(projection, target)
    rows = np.zeros((matrix.shape[1], target.width), target.population.dtype)
    rows[:, : matrix.shape[0]] = matrix.toarray().T
    return {"rows": rows, "delays": np.asarray([projection.delay], np.int64)}


def by_source(projection: Projection, target: Target) -> Buffers:
    """Synapses of a source of one delay in one split of the targets lie together, targets ascending."""
    matrix, delays = weights(projection, target), np.asarray(projection.delays, np.int64)
    splits = len(target.starts) - 1
    table = np.zeros(len(matrix.data), np.int64)
    if splits > 1:
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        table += (np.searchsorted(target.starts, rows, side="right") - 1) * len(delays)
    if not isinstance(projection.delay, int):
        table += np.searchsorted(-delays, -projection.delay.astype(np.int64))
    columns = table * target.stride + matrix.indices
    shape = (matrix.shape[0], splits * len(delays) * target.stride)
    turned = sparse.csr_array((matrix.data, columns, matrix.indptr), shape=shape).tocsc()
    return {
        "offsets": turned.indptr.astype(np.int64),
        "targets": turned.indices.astype(np.int32, copy=False),
        "weights": turned.data,
        "delays": delays,
    }


def finite(network: Network) -> bool:
    """Are all weights numbers? Else a silent source would count: 0 times infinity is none."""
    stages = [stage for projection in network.projections for stage in projection.stages]
    products = [stage.product.data for stage in stages if stage.product is not None]
    return all(np.isfinite(weight).all() for weight in (*products, *(s.scale for s in stages if s.scale is not None)))
