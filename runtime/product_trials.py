"""In which order the library sums a product, tried once on this machine, and whether the kernel is faster.

    found(kernel, Layout(512, 256, 768, ..))   ->   Way(128, False): the kernel has the library's bits with blocks of
                                                    128, and takes less time where it packs a before b
                                                    None: the library computes it

The library and the kernel compute the product of random matrices that have the sizes, strides and alignment of the
real ones, with zeros of both signs, infinities, NaN and the smallest numbers in some rows and columns. The order of a
sum does not depend on its numbers, and random numbers tell any two orders apart: they round otherwise somewhere among
thousands of sums. So blocks with which all bits are equal are the library's. NaN counts as NaN, whatever its bits.
Both are timed on plain numbers: a processor takes many times as long for subnormal ones.

Kept for each layout, number of threads, kernel, processor and build of torch, in the user's cache folder
(`products/`). A trial takes some products' time and their memory, but none of torch's.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from .bits import same_bits
from .cache import keep, kept
from .native import identity, libraries

TRIAL = 2
"""Which trials these are: what older ones found is forgotten."""
BLOCKS = (192, 128, 240, 256, 288, 320, 336, 352, 384, 448, 480, 512)
"""Lengths of blocks that are tried beside all of k and its halves: 192 is MKL's on AMD, the others are common ones."""
LONGEST = 512
"""No library has longer ones, and working space grows with them."""
MOST = 1 << 30
"""Bytes of a trial at most: larger products are left to the library."""
ROUNDS, SPOILT = 9, 12_000_000
"""How often each is timed, and bytes that are written before, as between the ops of a step: more than a second-level
cache holds."""
SPECIAL, SPARSE = (0.0, -0.0, 1e-40, float("inf"), float("-inf"), float("nan")), 4
"""Numbers that are no others' kind, and how many lines there must be for each, lest they hide all sums."""
TAME = 1e12
"""Products of numbers of this size, or that of its inverse, and sums of them are neither infinite nor subnormal."""
ALIGNED = 64
"""Bytes of a line of memory: libraries choose code by where in one a matrix begins."""


@dataclass(frozen=True)
class Layout:
    """A product of matrices of f32: sizes, strides, where in a line a and b begin, and whether there is a bias."""

    rows: int
    depth: int
    columns: int
    a: tuple[int, int]
    b: tuple[int, int]
    offsets: tuple[int, int]
    biased: bool

    @property
    def spans(self) -> tuple[int, int]:
        """Numbers from the first of a, and of b, to its last."""
        sizes = (self.rows, self.depth), (self.depth, self.columns)
        steps = zip(sizes, (self.a, self.b), strict=True)
        first, second = (1 + sum((n - 1) * step for n, step in zip(*pair, strict=True)) for pair in steps)
        return first, second

    def blocks(self) -> list[int]:
        """Lengths of blocks to try: each makes other sums."""
        return lengths_of(self.depth)


class Way(NamedTuple):
    """How the kernel computes a product: in blocks of so many k; whether it packs b before a, which changes no bit."""

    block: int
    b_first: bool


class Kernel(Protocol):
    """The kernel: c = a b, with `bias` where there is one."""

    digest: str

    def __call__(self, a: Tensor, b: Tensor, bias: Tensor | None, c: Tensor, way: Way, /) -> None: ...


def lengths_of(depth: int) -> list[int]:
    """How many of so many k a library may sum at once."""
    wishes = (depth, depth // 2, -(-depth // 2), *BLOCKS)
    return list(dict.fromkeys(n for n in wishes if 0 < n <= min(depth, LONGEST)))


def found(kernel: Kernel, layout: Layout) -> Way | None:
    """How the kernel computes this; None where the library does."""
    way = remembered("products", f"{kernel.digest} {layout}", lambda: tried(kernel, layout))
    return None if way is None else Way(*way)


def remembered(kind: str, what: str, trial: Callable[[], tuple[int, bool] | None]) -> tuple[int, bool] | None:
    """A length, not 0, and a choice, or None, as a trial of `what` finds them; kept for this machine."""
    key = f"{TRIAL} {what} {identity()} {libraries()} threads={torch.get_num_threads()}"
    name = f"{kind}/{hashlib.sha256(key.encode()).hexdigest()}"
    if (known := kept(name)) is not None:
        length, choice = map(int, known.split())
        return (length, bool(choice)) if length else None
    found = trial()
    keep(name, "{} {:d}".format(*(found or (0, False))).encode())
    return found


@torch.no_grad()
def tried(kernel: Kernel, layout: Layout) -> Way | None:
    """The same, found by trial."""
    if 4 * (sum(layout.spans) + 2 * layout.rows * layout.columns) > MOST:
        return None
    given = operands(layout)
    theirs, ours = (memory(layout.rows * layout.columns).view(layout.rows, -1) for _ in range(2))
    library_call(*given, theirs)()
    for block in layout.blocks():
        ways = [Way(block, b_first) for b_first in (False, True)]
        if all(gives(partial(kernel, *given, ours, way), ours, theirs) for way in ways):
            for tensor in given:
                tame(tensor)
            library, *kernels = fastest(
                library_call(*given, theirs), *(partial(kernel, *given, ours, way) for way in ways)
            )
            best = min(kernels)
            return ways[kernels.index(best)] if best < library else None
    return None


def gives(run: Callable[[], object], found: Tensor, expected: Tensor) -> bool:
    """Does a run leave what is expected?"""
    run()
    return same_bits(found, expected)


def library_call(a: Tensor, b: Tensor, bias: Tensor | None, c: Tensor) -> Callable[[], object]:
    """What torch computes into c."""
    if bias is None:
        return lambda: torch.mm(a, b, out=c)
    return lambda: torch.addmm(bias, a, b, out=c)


def fastest(*runs: Callable[[], object]) -> list[float]:
    """Seconds of the fastest of some runs of each, in turns, from no near cache."""
    found: list[list[float]] = [[] for _ in runs]
    others = np.empty(SPOILT, dtype=np.uint8)
    for turn in range(ROUNDS):
        for run, taken in zip(runs, found, strict=True):
            others.fill(turn)
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in found]


def tame(tensor: Tensor | None) -> None:
    """Let there be 1 in the place of NaN and of all numbers that are very large or small: before time is taken."""
    if tensor is not None:
        numbers = tensor.numpy()
        sizes = np.abs(numbers)
        numbers[~((sizes > 1 / TAME) & (sizes < TAME))] = 1.0


def operands(layout: Layout) -> tuple[Tensor, Tensor, Tensor | None]:
    """a, b and the bias: random, with special numbers in some rows of a and some columns of b."""
    random = np.random.default_rng(0)
    sizes = (layout.rows, layout.depth), (layout.depth, layout.columns)
    made = list[Tensor]()
    for size, strides, span, offset in zip(sizes, (layout.a, layout.b), layout.spans, layout.offsets, strict=True):
        numbers = memory(span, offset)
        numbers.numpy()[:] = random.standard_normal(span, dtype=np.float32)
        made.append(numbers.as_strided(size, strides))
    bias = memory(layout.columns).copy_(made[1][0]) if layout.biased else None
    for matrix in (made[0].numpy(), made[1].numpy().T):
        apart = len(matrix) // len(SPECIAL)
        for place, value in enumerate(SPECIAL if apart >= SPARSE else ()):
            matrix[place * apart, :: 3 if value else 1] = value
    return made[0], made[1], bias


def memory(size: int, offset: int = 0) -> Tensor:
    """Room for numbers that begins `offset` bytes into a line; numpy's, so that torch's allocator is not asked."""
    room = np.zeros(4 * size + 2 * ALIGNED, dtype=np.uint8)
    start = -room.ctypes.data % ALIGNED + offset
    return torch.from_numpy(room[start : start + 4 * size].view(np.float32))
