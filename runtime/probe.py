"""Do products over fewer rows give the same bits? Tried on this machine, for the very shapes that will run.

    linear(x, w, b)[rows] == linear(x[rows], w, b)        for every number of rows that is a multiple of m

A BLAS chooses its kernel, its blocks and its threads by the sizes, never by the data: fp32 products with 16 rows or
more agreed for K = 768, but at K = 3072 and two threads only from about 400 rows on, and bf16 hardly ever (MKL 2025,
torch 2.13). So nothing is taken for granted: the numbers of rows that can occur are few, and each is tried.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.nn.functional import linear

PARTS = (8, 4, 2)
"""Into how many pieces the rows are cut; the finest that is stable wins."""


@dataclass(frozen=True)
class ProductShape:
    """`inputs` x `outputs` weights in `dtype`, with a bias or without."""

    inputs: int
    outputs: int
    dtype: torch.dtype
    bias: bool


@torch.no_grad()
def stable_multiple(shapes: Iterable[ProductShape], rows: int, device: torch.device | str = "cpu") -> int:
    """The smallest tried m so that every product agrees bit for bit over each multiple of m rows; 0 if none does."""
    wanted = set(shapes)
    for parts in PARTS:
        multiple = -(-rows // parts // 16) * 16
        if 0 < multiple < rows and all(agrees(shape, rows, multiple, device) for shape in wanted):
            return multiple
    return 0


def agrees(shape: ProductShape, rows: int, multiple: int, device: torch.device | str) -> bool:
    """Whether one product agrees over every multiple of `multiple` below `rows`."""
    generator = torch.Generator().manual_seed(0)

    def random(*sizes: int) -> torch.Tensor:
        return torch.randn(sizes, generator=generator).to(device, shape.dtype)

    x, weight = random(1, rows, shape.inputs), random(shape.outputs, shape.inputs)
    bias = random(shape.outputs) if shape.bias else None
    whole = linear(x, weight, bias)[0]
    for size in range(multiple, rows, multiple):
        index = torch.randperm(rows, generator=generator)[:size].sort().values.to(device)
        if not torch.equal(linear(x[0][index], weight, bias), whole[index]):
            return False
    return True
