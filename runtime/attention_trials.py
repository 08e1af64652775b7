"""Has the kernel of attention the library's bits, and is it faster? Tried once on this machine for each layout.

    found(kernel, Layout(Shape(8, 4, 64, 64, 64, True, 0.125), strides))   ->   Way(64, False): the kernel has the
                        library's bits with sums over 64 keys, scores scaled, and takes less time
                        None: the library computes it

Random queries, keys and values that have the sizes and strides of the real ones: as they begin in training, and so far
apart that most of a softmax is nothing; gradients with rows of zeros, and with numbers so small that products of them
are subnormal or nothing, but where time is taken. The order of a sum does not depend on its numbers. What is too large
for the kernel it tells when it runs.

Kept for each layout, number of threads, kernel, processor and build of torch, in the user's cache folder
(`attention/`). A trial takes some calls' time, and memory.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from .bits import same_bits
from .product_trials import MOST, fastest, lengths_of, memory, remembered, tame

FORWARD, LONGEST = 3, 512
"""Tensors that attention is of; keys in a block of the library's."""
SIZES = (1.0, 12.0)
"""Of numbers."""
TINY, APART = 1e-32, 5
"""What every fifth row of a gradient is multiplied with; the row before is zero."""


@dataclass(frozen=True)
class Shape:
    """Attention of so many heads, queries (`rows`), keys (`columns`), and numbers of each of them."""

    batches: int
    heads: int
    rows: int
    columns: int
    width: int
    causal: bool
    scale: float

    @property
    def sizes(self) -> tuple[int, ...]:
        """Those that are counts."""
        return astuple(self)[:5]


class Way(NamedTuple):
    """How the kernel computes it: with sums over so many keys; whether it scales keys before, or scores."""

    length: int
    scaled: bool


@dataclass(frozen=True)
class Layout:
    """And the strides of queries, keys and values; or of a gradient, these, the output and its log-sums."""

    shape: Shape
    strides: tuple[tuple[int, ...], ...]

    @property
    def given(self) -> list[tuple[int, ...]]:
        """The shapes of these tensors."""
        batches, heads, rows, columns, width = self.shape.sizes
        queries, keys = (batches, heads, rows, width), (batches, heads, columns, width)
        backward = [queries, queries, keys, keys, queries, queries[:3]]
        return backward if self.is_backward else [queries, keys, keys]

    @property
    def is_backward(self) -> bool:
        """Are gradients computed?"""
        return len(self.strides) > FORWARD

    def is_plain(self) -> bool:
        """Are numbers of a row neighbours, and is no number in two places of a tensor?"""
        tensors = [*zip(self.given, self.strides, strict=True)]
        apart = all(step for shape, strides in tensors for size, step in zip(shape, strides, strict=True) if size > 1)
        return apart and all(strides[-1] == 1 for shape, strides in tensors if len(shape) == 4)

    def ways(self) -> list[Way]:
        """What is tried: each makes other sums, or scales other numbers."""
        lengths = lengths_of(min(self.shape.columns, LONGEST))
        return [Way(length, scaled) for length in lengths for scaled in (False, True)[: 1 + self.is_backward]]


class Kernel(Protocol):
    """The kernel: fills the results, which are the last tensors; tells whether it could."""

    digest: str

    def __call__(self, shape: Shape, tensors: Sequence[Tensor], way: Way, /) -> bool: ...


def found(kernel: Kernel, layout: Layout) -> Way | None:
    """How the kernel computes this; None where the library does."""
    way = remembered("attention", f"{kernel.digest} {layout}", lambda: tried(kernel, layout))
    return None if way is None else Way(*way)


@torch.no_grad()
def tried(kernel: Kernel, layout: Layout) -> Way | None:
    """The same, found by trial."""
    if 8 * sum(span(*pair) for pair in zip(layout.given, layout.strides, strict=True)) > MOST:
        return None
    random, shape = np.random.default_rng(0), layout.shape
    trials = [(given, library(shape, given)) for given in (operands(layout, size, random) for size in SIZES)]
    way = next((way for way in layout.ways() if all(gives(kernel, shape, way, *trial) for trial in trials)), None)
    if way is None:
        return None
    given, results = trials[0]
    for tensor in given:
        tame(tensor)
    theirs, own = fastest(lambda: library(shape, given), lambda: kernel(shape, (*given, *results), way))
    return way if own < theirs else None


def gives(kernel: Kernel, shape: Shape, way: Way, given: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Does the kernel compute what is expected?"""
    results = [torch.full_like(each, float("nan")) for each in expected]
    return kernel(shape, (*given, *results), way) and all(map(same_bits, results, expected))


def library(shape: Shape, given: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What torch computes of these."""
    aten = torch.ops.aten
    if len(given) == FORWARD:
        return aten._scaled_dot_product_flash_attention_for_cpu(*given, 0.0, shape.causal, scale=shape.scale)
    return aten._scaled_dot_product_flash_attention_for_cpu_backward(*given, 0.0, shape.causal, scale=shape.scale)


def operands(layout: Layout, size: float, random: np.random.Generator) -> list[Tensor]:
    """Random tensors of a layout, with numbers about so large; the output and its log-sums are what attention gives."""
    made = list[Tensor]()
    for shape, strides in zip(layout.given, layout.strides, strict=True):
        numbers = memory(span(shape, strides))
        numbers.numpy()[:] = size * random.standard_normal(len(numbers), dtype=np.float32)
        made.append(numbers.as_strided(shape, strides))
    if not layout.is_backward:
        return made
    gradient, q, k, v, *results = made
    gradient[:, :, ::APART] *= TINY
    gradient[:, :, APART - 1 :: APART] = 0.0
    for result, computed in zip(results, library(layout.shape, (q, k, v)), strict=True):
        result.copy_(computed)
    return made


def span(shape: Sequence[int], strides: Sequence[int]) -> int:
    """Numbers from the first of a tensor to its last."""
    return 1 + sum((count - 1) * step for count, step in zip(shape, strides, strict=True))
