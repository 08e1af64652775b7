"""What one accelerator does in a second, and what joins it to others. Read from `accelerators/*.toml`.

gossamer list accelerators
load_accelerator("a100-nvlink").send(16e6)  ->  0.00082
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..constant_files import find, names_in, read_constants
from ..units import BANDWIDTH, BYTES, FLOPS, NO_UNIT, SECONDS, Quantity, amount, count, positive, share

ACCELERATORS = Path(__file__).with_name("accelerators")

SECTIONS = {
    "compute": {
        "peak": Quantity(FLOPS, positive),
        "product_efficiency": Quantity(NO_UNIT, share),
        "attention_efficiency": Quantity(NO_UNIT, share),
    },
    "memory": {
        "capacity": Quantity(BYTES, count),
        "usable": Quantity(NO_UNIT, share),
        "bandwidth": Quantity(BANDWIDTH, positive),
        "bandwidth_efficiency": Quantity(NO_UNIT, share),
    },
    "tensor_parallel": {
        "bus_bandwidth": Quantity(BANDWIDTH, positive),
        "latency": Quantity(SECONDS, amount),
        "window_efficiency": Quantity(NO_UNIT, share),
    },
    "pipeline": {"link_bandwidth": Quantity(BANDWIDTH, positive), "link_latency": Quantity(SECONDS, amount)},
}


@dataclass(frozen=True)
class Accelerator:
    """Seconds, bytes, operations a second. `sources` says of every constant where it is from.

    `product_efficiency` is the share of `peak` that matrix products reach, `attention_efficiency` that of fused
    attention. `window_efficiency` is the share of a collective during which other kernels run at full speed.
    """

    name: str
    title: str
    peak: float
    product_efficiency: float
    attention_efficiency: float
    capacity: int
    usable: float
    bandwidth: float
    bandwidth_efficiency: float
    bus_bandwidth: float
    latency: float
    window_efficiency: float
    link_bandwidth: float
    link_latency: float
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def budget(self) -> int:
        """Bytes that a training step can count on."""
        return int(self.capacity * self.usable)

    def send(self, size: float) -> float:
        """Seconds until `size` bytes are at the next stage."""
        return self.link_latency + size / self.link_bandwidth

    def with_windows(self, efficiency: float) -> "Accelerator":
        """The same with another share of collectives to hide work in."""
        return replace(self, window_efficiency=efficiency)


def known_accelerators() -> tuple[str, ...]:
    """The names of the accelerators that come with us."""
    return names_in(ACCELERATORS)


def load_accelerator(name_or_path: str | Path) -> Accelerator:
    """An accelerator that comes with us, by name, or the one that a .toml file describes."""
    path = find(name_or_path, ACCELERATORS, "accelerator")
    said = read_constants(path, "accelerator", SECTIONS)
    values = {key: value for section in said.values.values() for key, value in section.items()}
    return Accelerator(name=path.stem, title=said.title, sources=said.sources, **values)
