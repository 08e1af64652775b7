"""Every generated product at densities from 1 % to 100 %, of f32 and bf16, in one thread and two: x dense.

As in `kernels.py` weights come from memory. Above the density up to which `insert-skips` lets a product skip, the
program is the dense one, and so it is here: what is measured is the kernel under its guard.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product as combinations

import torch
from gossamer.compiler.machine import KERNEL, skip_rates
from gossamer.passes.insert_skips import InsertSkips
from gossamer.passes.solvers.skipping import SkippedProduct, Skipper
from gossamer.runtime.domain import Domain
from gossamer.runtime.kernels.layouts import k_major
from gossamer.runtime.kernels.products import skip_k, skip_n
from torch import Tensor
from torch.nn.functional import linear

from .kernels import DTYPES, FLOOR, SETS, Case, copies_of, pair, product, skipped, threads_of_torch

DENSITIES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
SHAPES = (("k", 3072, 768), ("k", 8192, 2048), ("n", 768, 3072), ("n", 2048, 8192))
ROWS, THREADS = (1, 4, 16), (1, 2)
COLUMNS = ("kernel", "shape", "rows", "type", "threads", "skips up to", *(f"{density:.0%}" for density in DENSITIES))


@dataclass(frozen=True)
class Sweep:
    """Ratios to the dense product by density, and the density above which it runs itself."""

    case: Case
    threshold: float
    ratios: tuple[float, ...]

    @property
    def row(self) -> tuple[str, ...]:
        """In the table."""
        return (*self.case.title, f"{self.threshold:.2f}", *(f"{ratio:.2f}" for ratio in self.ratios))

    @property
    def misses(self) -> list[str]:
        """Where it was slower than promised."""
        pairs = zip(DENSITIES, self.ratios, strict=True)
        return [f"{' '.join(self.case.title)} at {d:.0%}: goal {FLOOR} MISSED ({r:.2f})" for d, r in pairs if r < FLOOR]


def cases(quick: bool) -> list[Case]:
    """All kinds of kernels."""
    shapes = (("k", 64, 48), ("n", 48, 64)) if quick else SHAPES
    every = combinations(shapes, ROWS[: 1 if quick else None], DTYPES, THREADS)
    return [Case(*shape, rows=rows, dtype=dtype, threads=threads) for shape, rows, dtype, threads in every]


def machine() -> Skipper:
    """What `gossamer.compile` reckons with here."""
    return replace(InsertSkips(kernel=KERNEL), **skip_rates()).machine


@torch.no_grad()
def measure(case: Case, rounds: int) -> Sweep:
    """All densities of a case."""
    dtype = DTYPES[case.dtype]
    work = SkippedProduct(case.rows, case.inputs, case.outputs, dtype.itemsize, case.axis == "k")
    threshold = work.break_even(machine())
    with threads_of_torch(case.threads):
        run, weights = product(case), copies_of(torch.randn(case.outputs, case.inputs).to(dtype))
        if case.axis == "k":
            list(map(k_major, weights))
        ratios = tuple(ratio(case, run, weights, density, threshold, rounds) for density in DENSITIES)
    return Sweep(case, threshold, ratios)


def ratio(
    case: Case, run: Callable[..., Tensor], weights: Sequence[Tensor], density: float, threshold: float, rounds: int
) -> float:
    """Dense over the kernel; over the dense product as the kernel's launch calls it where the guard says so."""
    size, meaning = skipped(case), skip_k if case.axis == "k" else skip_n
    masks = [torch.rand(size).argsort() < max(1, round(size * density)) for _ in range(SETS)]
    zeroed = [mask if case.axis == "k" else torch.ones(case.inputs) for mask in masks]
    xs = [(torch.randn(case.rows, case.inputs) * some).to(DTYPES[case.dtype]) for some in zeroed]
    domains = [Domain.of(mask) if density <= threshold else Domain.all((size,)) for mask in masks]

    def dense(i: int) -> Tensor:
        return linear(xs[i], weights[i % len(weights)])

    def peer(i: int) -> Tensor:
        return run(meaning, xs[i], weight=weights[i % len(weights)], active=domains[i])

    return pair(dense, peer, rounds, budget=0.5).ratio("peer", to="dense")
