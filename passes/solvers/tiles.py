"""In tiles of how many rows does a product along k gain most, and up to which density?

    dense            = 2 m K N / flops + weight / read                     weight: K N bytes; read: bytes a second
    tiled(h, x, u)   = launches + scan + x 2 m K N / rate(h) + u weight / read

m rows in tiles of h. x: density of the tiles, the share of products that they make; u: that of the union of all rows.
A weight that fits the last cache is read from there; else from memory, and once: all tiles pass over a few outputs
before the next ones are looked at, so what one tile has read the next one finds in cache. `scan` finds the active
positions of each tile; clustered, every leader is compared with all rows.

Of m rows that are active at random with density d a tile has 1 - (1 - d)^h: high tiles multiply zeros, low ones run at
a lower rate. Rates come from the machine that runs the program. Pure mathematics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HEIGHTS = (1, 2, 4, 8, 16)
MARGIN = 0.02
"""Tiles have to win by this much, as the promise is never to be slower."""
WORTH = 0.35
"""By how much tiles have to win over the dense product, to be taken at all: prices are rough."""
BETTER = 0.1
"""By how much over the union of all rows."""
STEPS = 200
LAUNCHES = 20
"""Small calls that finding tiles, asking for their density and launching the product take as long as."""
UNION_LAUNCHES = 10
"""The same for a support and its product."""
WIDTHS = (2, 4)
"""Bytes of the elements that kernels are generated for: bf16 and f32."""
SCAN, LIST = 0.6e-10, 4.0e-10
"""Seconds to look at a number, and to pass by a position of a tile (AMD EPYC, one thread, 2026-11)."""
PAIR, SEARCH, SAMPLE = 1.0e-8, 2.5e-9, 4.0e-7
"""Seconds to compare a leader with a row, to pass by a row in search of the nearest, to take a row's sample (same)."""


@dataclass(frozen=True)
class Tiler:
    """What this machine does. Defaults: AMD EPYC with AVX-512, torch 2.13 CPU, fp32, 2 threads, 2026-11."""

    flops: float = 1.9e11
    """Floating-point operations a second in a large matrix product."""
    weights: float = 2.2e10
    """Bytes a second of a weight that comes from memory."""
    cached: float = 8.0e10
    """The same of one that is in cache."""
    cache: float = 3.2e7
    """Bytes of the last cache."""
    call: float = 1.0e-6
    """Seconds for one small call."""
    rates: tuple[float, ...] = (0.7e11, 1.3e11, 1.9e11, 1.9e11, 1.9e11)
    """Operations a second of the kernel, by the height of its tiles. Empty where none is generated."""
    half_flops: float = 4.9e11
    half_rates: tuple[float, ...] = (0.5e11, 0.8e11, 1.1e11, 1.3e11, 1.0e11)
    """The same of bf16: the kernel computes in f32, the library need not."""


@dataclass(frozen=True)
class Candidate:
    """Tiles of `height` rows: as they come, or brought together by what they are active at."""

    height: int
    clustered: bool = False


@dataclass(frozen=True)
class Choice:
    """What to do with a product: `candidate`, up to `threshold`; None where it stays as it is."""

    candidate: Candidate | None
    density: float = 1.0
    threshold: float = 0.0
    gain: float = 1.0
    """Expected, over the dense product."""


@dataclass(frozen=True)
class TiledProduct:
    """`rows` rows by `inputs` x `outputs` weights of `width` bytes each."""

    rows: int
    inputs: int
    outputs: int
    width: int

    def flops(self, machine: Tiler) -> float:
        """Operations a second of a dense product of these numbers."""
        return machine.half_flops if self.width == 2 else machine.flops

    def rate(self, machine: Tiler, height: int) -> float:
        """The same of the kernel."""
        rates = machine.half_rates if self.width == 2 else machine.rates
        return rates[HEIGHTS.index(height)]

    def work(self, rate: float) -> float:
        """Seconds to multiply everything at `rate`."""
        return 2.0 * self.rows * self.inputs * self.outputs / rate

    def reading(self, machine: Tiler) -> float:
        """Seconds to read the whole weight once."""
        size = self.inputs * self.outputs * self.width
        return size / (machine.cached if size <= machine.cache else machine.weights)

    def dense(self, machine: Tiler) -> float:
        """Seconds of the whole product."""
        return self.work(self.flops(machine)) + self.reading(machine)

    def finding(self, candidate: Candidate) -> float:
        """Seconds to find the tiles."""
        rows, height = self.rows, candidate.height
        scan = rows * self.inputs * (SCAN + LIST / height)
        return scan + (rows * (SAMPLE + rows * (SEARCH + PAIR / height)) if candidate.clustered else 0.0)

    def tiled(self, machine: Tiler, candidate: Candidate, density: float, union: float = 1.0) -> float:
        """Seconds of the product by tiles, finding them included."""
        product = density * self.work(self.rate(machine, candidate.height)) + union * self.reading(machine)
        return LAUNCHES * machine.call + self.finding(candidate) + product

    def united(self, machine: Tiler, union: float) -> float:
        """Seconds of the product over the union of all rows by a kernel; the dense product's where there is none."""
        if self.rows > HEIGHTS[-1]:
            return self.dense(machine)
        height = next(height for height in HEIGHTS if height >= self.rows)
        rate = self.rate(machine, height)
        scan = self.rows * self.inputs * (SCAN + LIST / self.rows)
        return UNION_LAUNCHES * machine.call + scan + union * (self.work(rate) + self.reading(machine))

    def break_even(self, machine: Tiler, candidate: Candidate) -> float:
        """The largest density, in steps of 1 / STEPS, at which tiles win by the margin; 0 where they never do."""
        limit = self.dense(machine) * (1.0 - MARGIN)
        steps = (k / STEPS for k in range(STEPS + 1) if self.tiled(machine, candidate, k / STEPS) <= limit)
        return max(steps, default=0.0)


def candidates(rows: int) -> list[Candidate]:
    """Tiles that are lower than all rows together; there is nothing to bring together in tiles of one row."""
    heights = [height for height in HEIGHTS if height < rows]
    return [
        Candidate(height, clustered) for height in heights for clustered in (False, True) if height > 1 or not clustered
    ]


def choose(
    product: TiledProduct, densities: Mapping[Candidate, float], union: float, machine: Tiler, *, skips: bool = False
) -> Choice:
    """The best of the candidates of known density; none where the dense product is, or the union, if it `skips`."""
    known = [candidate for candidate in candidates(product.rows) if candidate in densities]
    if not known or min(map(len, (machine.rates, machine.half_rates))) < len(HEIGHTS) or product.width not in WIDTHS:
        return Choice(None)

    def seconds(candidate: Candidate) -> float:
        return product.tiled(machine, candidate, densities[candidate], union)

    best = min(known, key=seconds)
    gain, threshold = product.dense(machine) / seconds(best), product.break_even(machine, best)
    better = seconds(best) <= (1.0 - BETTER) * product.united(machine, union) if skips else True
    if gain * (1.0 - WORTH) < 1.0 or densities[best] > threshold or not better:
        return Choice(None, densities[best], threshold, gain)
    return Choice(best, densities[best], threshold, gain)


def by_candidate(own: Sequence[float], clustered: Sequence[float]) -> dict[Candidate, float]:
    """Densities by candidate, from those of every height in the rows' own order and clustered."""
    pairs = zip(HEIGHTS, own, clustered, strict=True)
    return {Candidate(h, kind): found for h, *both in pairs for kind, found in zip((False, True), both, strict=True)}
