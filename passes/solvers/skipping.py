"""Up to which density does a product of few rows gain by skipping?

    dense(m)   = max(2 m K N / flops, K N bytes / weights)                 m rows: the weight is read once
    skip(m, x) = calls + x dense(m) + (start + x copy) K N bytes / weights      x: density of the axis
    skip(m, x) = launch + x kernel dense(m)                                     by a generated kernel

The torch form copies the active part of the weight before it multiplies; a kernel reads it in place. Of m rows that
are active at random with density d the union is 1 - (1 - d)^m: a few rows, or rows that agree.
Constants come from the machine that runs the program. Pure mathematics.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MARGIN = 0.02
"""Skipping has to win by this much, as the promise is never to be slower."""
WORTH = 0.2
"""By how much a product has to win at its measured density to be rewritten at all: prices are rough."""
STEPS = 200
KERNEL_WIDTHS = (2, 4)
"""Bytes of the elements that kernels are generated for: bf16 and f32."""
PAIRED, PAIRED_ROWS = 1.7, 4
"""A kernel takes so many times as long of bf16 as of f32, against the dense product, of more rows than that: processors
that multiply pairs of bf16 at once do so in torch (AMD EPYC with AVX512-BF16, 2026-11)."""
LAUNCH = 4
"""Small calls that a launch takes as long as."""

SORTING = 100
"""Bytes that could be moved while one integer finds its place among others."""


@dataclass(frozen=True)
class Skipper:
    """What this machine does with few rows. Defaults: torch 2.13 CPU, fp32, Xeon 2.1 GHz, 2 threads, 2026-11."""

    flops: float = 2.5e11
    """Floating-point operations a second in a large matrix product."""
    weights: float = 2.0e10
    """Bytes a second of the weight in a product of one row."""
    start_k: float = 0.4
    """Seconds of a copy along k (columns of [n, k]) before it copies anything, over those of reading the weight: a
    few columns touch every row."""
    copy_k: float = 4.0
    """What each part of a copy along k costs on top of that, over the time to read it."""
    start_n: float = 0.0
    copy_n: float = 1.5
    """The same along n: whole rows."""
    call: float = 6e-6
    """Seconds for one small call."""
    calls: int = 3
    """Small calls that a skipping product makes beyond the dense one."""
    bandwidth: float = 1.0e10
    """Bytes a second that an elementwise op reads and writes."""
    kernel: float = 0.0
    """Seconds of a generated kernel at density 1, over those of the dense product; 0 where nothing is generated. At
    worst 1.05 (AMD EPYC with AVX-512, one thread, a weight that the dense product keeps in cache, 2026-11)."""


@dataclass(frozen=True)
class SkippedProduct:
    """`rows` rows by `inputs` x `outputs` weights of `width` bytes each, skipped along k or n."""

    rows: int
    inputs: int
    outputs: int
    width: int
    along_k: bool

    @property
    def skipped_size(self) -> int:
        """Positions of the axis that is skipped."""
        return self.inputs if self.along_k else self.outputs

    def weight_seconds(self, machine: Skipper) -> float:
        """Seconds to read the weight once."""
        return self.inputs * self.outputs * self.width / machine.weights

    def dense(self, machine: Skipper) -> float:
        """Seconds of the whole product."""
        return max(2.0 * self.rows * self.inputs * self.outputs / machine.flops, self.weight_seconds(machine))

    def skipping(self, machine: Skipper, density: float) -> float:
        """Seconds of the product at `density`, its support apart."""
        if machine.kernel and self.width in KERNEL_WIDTHS:
            paired = PAIRED if self.width == 2 and self.rows > PAIRED_ROWS else 1.0
            return LAUNCH * machine.call + density * machine.kernel * paired * self.dense(machine)
        start = machine.start_k if self.along_k else machine.start_n
        copy = machine.copy_k if self.along_k else machine.copy_n
        copied = (start + density * copy) * self.weight_seconds(machine)
        return machine.call * (1 + machine.calls) + density * self.dense(machine) + copied

    def support(self, machine: Skipper) -> float:
        """Seconds to find the support of what it reads, on the axis that it skips."""
        looks = 2 if self.rows == 1 else 4
        return machine.call * looks + looks * self.rows * self.skipped_size * self.width / machine.bandwidth

    def break_even(self, machine: Skipper) -> float:
        """The largest density, in steps of 1 / STEPS, at which skipping wins by the margin; 0 where it never does."""
        limit = self.dense(machine) * (1.0 - MARGIN)
        steps = (k / STEPS for k in range(STEPS + 1) if self.skipping(machine, k / STEPS) <= limit)
        return max(steps, default=0.0)


def listing(machine: Skipper, entries: int) -> float:
    """Seconds to find the positions that so many integers name."""
    return 4 * machine.call + entries * SORTING / machine.bandwidth


def gain(products: Sequence[tuple[float, float, float]], rest: float) -> tuple[float, float]:
    """Expected and greatest speed-up of a program whose other products take `rest` seconds: Amdahl's law.

    Each product comes with its seconds when dense, its own expected speed-up, and its greatest.
    """
    dense = rest + sum(seconds for seconds, _, _ in products)
    expected = rest + sum(seconds / own for seconds, own, _ in products)
    least = rest + sum(seconds / most for seconds, _, most in products)
    return dense / expected if expected else 1.0, dense / max(least, 1e-12)


def union(density: float, rows: int) -> float:
    """Share of positions at which any of `rows` independent rows is active."""
    return 1.0 - (1.0 - density) ** rows
