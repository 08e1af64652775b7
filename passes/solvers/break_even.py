"""From which density on does packing rows no longer pay?

    time(x) = products(x R) + attention(x) + moves(x R) + calls       x: density, R: rows
    break-even = the largest x for which time(x) is under the dense time, with a margin

| term      | model                                                                                        |
|-----------|----------------------------------------------------------------------------------------------|
| products  | max(2 n K N / flops, (K N + n (K + N)) bytes / bandwidth): roofline (Williams et al., 2009)   |
| attention | 4 n L heads width / flops, L the sequence's active length; one call a sequence when packed    |
| others    | bytes in and out / bandwidth                                                                  |
| moves     | a gather reads and writes n rows; a scatter also clears all R rows                            |

Constants are measured on the machine that runs the program; the defaults are one core of a 2 GHz AVX-512 server.
Pure mathematics.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """What this machine does. Defaults: torch 2.13 CPU, fp32, Xeon 2.1 GHz, 2 threads, measured 2026-11."""

    flops: float = 2.5e11
    """Floating-point operations a second in a large matrix product."""
    bandwidth: float = 1.0e10
    """Bytes a second that an elementwise op reads and writes, out of cache."""
    call: float = 6e-6
    """Seconds for one small call."""
    sequence: float = 4e-5
    """Seconds that attention costs for each sequence, on top of its arithmetic."""


@dataclass(frozen=True)
class Product:
    """A matrix product with `inputs` x `outputs` weights."""

    inputs: int
    outputs: int

    def seconds(self, machine: Machine, rows: float, width: int) -> float:
        """Time for `rows` rows of elements of `width` bytes."""
        moved = (self.inputs * self.outputs + rows * (self.inputs + self.outputs)) * width
        return max(2.0 * rows * self.inputs * self.outputs / machine.flops, moved / machine.bandwidth)


@dataclass(frozen=True)
class Elementwise:
    """Any other op: `elements` read and written a row."""

    elements: int

    def seconds(self, machine: Machine, rows: float, width: int) -> float:
        """Time for `rows` rows."""
        return machine.call + rows * self.elements * width / machine.bandwidth


@dataclass(frozen=True)
class AttentionWork:
    """Self-attention with `channels` = heads x width."""

    channels: int

    def seconds(self, machine: Machine, rows: float, length: float) -> float:
        """Time for `rows` queries that see `length` keys each. Small products run at half the rate of large ones."""
        return 4.0 * rows * length * self.channels / (0.5 * machine.flops)


@dataclass(frozen=True)
class Move:
    """A gather or scatter of `elements` a row."""

    elements: int
    scatters: bool

    def seconds(self, machine: Machine, rows: float, all_rows: float, width: int) -> float:
        """Time to move `rows` of `all_rows` rows."""
        cleared = all_rows if self.scatters else 0.0
        return machine.call + (2.0 * rows + cleared) * self.elements * width / machine.bandwidth


@dataclass(frozen=True)
class Region:
    """The work under one domain of `rows` positions in sequences of `length`; elements have `width` bytes."""

    rows: int
    length: int
    width: int
    products: Sequence[Product] = ()
    attentions: Sequence[AttentionWork] = ()
    others: Sequence[Elementwise] = ()
    moves: Sequence[Move] = ()

    def work(self, machine: Machine, density: float) -> float:
        """Seconds of arithmetic at `density`, moves apart."""
        rows = density * self.rows
        return (
            sum(p.seconds(machine, rows, self.width) for p in self.products)
            + sum(a.seconds(machine, rows, density * self.length) for a in self.attentions)
            + sum(o.seconds(machine, rows, self.width) for o in self.others)
        )

    def dense(self, machine: Machine) -> float:
        """Seconds of the dense form."""
        return self.work(machine, 1.0)

    def packed(self, machine: Machine, density: float) -> float:
        """Seconds of the packed form at `density`."""
        sequences = self.rows / self.length if self.length else 0.0
        moves = sum(m.seconds(machine, density * self.rows, self.rows, self.width) for m in self.moves)
        return self.work(machine, density) + moves + len(self.attentions) * sequences * machine.sequence


STEPS = 200
MARGIN = 0.02
"""Packing has to win by this much, as the promise is never to be slower."""


def break_even(region: Region, machine: Machine) -> float:
    """The largest density, in steps of 1 / STEPS, at which packing wins by the margin; 0 when it never does."""
    limit = region.dense(machine) * (1.0 - MARGIN)
    return max((k / STEPS for k in range(STEPS + 1) if region.packed(machine, k / STEPS) <= limit), default=0.0)
