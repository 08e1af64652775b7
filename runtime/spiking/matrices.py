"""Linear maps as sparse matrices [out, in] of the flattened shapes, columns ascending in each row."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from scipy import sparse

from ...dialects.snn_maps import ConvOp, DenseOp, MapOp, Pooling, PoolOp, SparseOp

Csr = Any
"""scipy's csr_array, whose types do not say what its methods give."""


def matrix(op: MapOp, shape: tuple[int, ...], weights: Mapping[str, np.ndarray]) -> Csr:
    """The matrix of a map for an input of `shape`. A weight of 0 is no synapse."""
    match op:
        case DenseOp():
            return sparse.csr_array(np.asarray(weights[op.weight.root_reference.data]))
        case SparseOp():
            offsets, targets, weight = (
                np.asarray(weights[name.root_reference.data]) for name in (op.offsets, op.targets, op.weight)
            )
            by_source = sparse.csr_array((weight, targets, offsets), shape=(len(offsets) - 1, op.size.value.data))
            return ordered(sparse.csr_array(by_source.T))
        case ConvOp():
            return convolution(op, shape, np.asarray(weights[op.weight.root_reference.data]))
        case PoolOp():
            return pooling(op, shape)
        case _:
            raise TypeError(f"{op.name} has no matrix")


def ordered(matrix: Csr) -> Csr:
    """`matrix` with ascending columns in each row."""
    matrix.sort_indices()
    return matrix


def convolution(op: ConvOp, shape: tuple[int, ...], weight: np.ndarray) -> Csr:
    """Cross-correlation with zeros around."""
    groups, into = op.groups.value.data, weight.shape[1]
    out = weight.shape[0] // groups
    blocks = []
    steps, windows = (op.stride.data, op.padding.data, op.dilation.data), op.output_shape(shape)[1:]
    for offset in np.ndindex(*weight.shape[2:]):
        reach = window_entries(shape[1:], *steps, offset, windows)
        taps = weight[(..., *offset)]
        channels = sparse.block_diag([taps[g * out : (g + 1) * out, :into] for g in range(groups)], format="coo")
        blocks.append(sparse.kron(channels, reach, format="csr"))
    return ordered(sparse.csr_array(sum(blocks[1:], blocks[0])))


def pooling(op: PoolOp, shape: tuple[int, ...]) -> Csr:
    """Sums of windows, or averages that count the zeros around."""
    kernel = op.kernel.data
    out = op.output_shape(shape)[1:]
    ones = (1,) * len(kernel)
    entries = [window_entries(shape[1:], op.stride.data, op.padding.data, ones, o, out) for o in np.ndindex(*kernel)]
    reach = sum(entries[1:], entries[0]) * (1.0 / prod(kernel) if op.kind.data is Pooling.AVERAGE else 1.0)
    return ordered(sparse.csr_array(sparse.kron(sparse.eye_array(shape[0]), reach, format="csr")).astype(np.float32))


def window_entries(size, stride, padding, dilation, offset, out) -> Csr:
    """Which element one offset of the kernel meets in each window: [windows, elements], ones."""
    axes = [np.arange(n) * s - p + o * d for n, s, p, o, d in zip(out, stride, padding, offset, dilation, strict=True)]
    inside = [(axis >= 0) & (axis < n) for axis, n in zip(axes, size, strict=True)]
    places = np.meshgrid(*axes, indexing="ij")
    valid = np.logical_and.reduce(np.meshgrid(*inside, indexing="ij")).reshape(-1)
    rows = np.flatnonzero(valid)
    columns = np.ravel_multi_index([place.reshape(-1)[valid] for place in places], size)
    return sparse.csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=(prod(out), prod(size)))
