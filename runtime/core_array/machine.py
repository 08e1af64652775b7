"""A core array: how many cores, how they are joined, what one can hold, and what each event costs.

Times are nanoseconds, energies picojoules, powers watts. `sources` says of every constant where it was published.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from .number_format import WeightFormat

Cores = TypeVar("Cores", int, np.ndarray)


@dataclass(frozen=True)
class Limits:
    """What one core can hold. None: no such limit.

    `axons_in` are distinct presynaptic neurons that reach a core, `axons_out` distinct (neuron, other
    core) pairs that leave it; `fan_in` are synapses of one neuron; `delay` is the longest synaptic delay in steps;
    `weight_bits` are bits of one stored synapse, with its index.
    """

    neurons: int | None = None
    synapse_bytes: int | None = None
    axons_in: int | None = None
    axons_out: int | None = None
    fan_in: int | None = None
    delay: int | None = None
    weight_bits: int = 8


@dataclass(frozen=True)
class Costs:
    """What each event costs: nanoseconds in `Machine.time`, picojoules in `Machine.energy`.

    W(core, step) = step + updates * update + synaptic events * synapse + packets in * packet_in + spikes * spike
                    + packets out * packet_out + control messages sent * control
    `update_active` is added for a neuron that fires. A packet that goes over k links costs k times `hop_x` or `hop_y`,
    and `tile` once; a control message of `Machine.control_bits` as much as a packet of `Machine.packet_bits` per bit.
    """

    step: float = 0.0
    update: float = 0.0
    update_active: float = 0.0
    synapse: float = 0.0
    packet_in: float = 0.0
    spike: float = 0.0
    packet_out: float = 0.0
    control: float = 0.0
    hop_x: float = 0.0
    hop_y: float = 0.0
    tile: float = 0.0


@dataclass(frozen=True)
class Machine:
    """A core array. `mesh` is (width, height) in tiles, of `cores_per_tile` cores each: core c is on tile
    c // cores_per_tile, tile k at (k % width, k // width).

    `barrier` is the time of a barrier by number of active tiles, `cheap_barrier` the same of an ideal one: pairs
    ascending, straight lines between them. `static_power` is per core. `link_buffer` is packets that a link holds
    before it blocks; `tile_bandwidth` is packets a nanosecond over all links of a tile, both ways. None: a link passes
    one packet in the time of a hop.
    """

    name: str
    title: str
    mesh: tuple[int, int]
    cores_per_tile: int
    limits: Limits
    time: Costs
    energy: Costs
    static_power: float
    barrier: tuple[tuple[int, float], ...]
    cheap_barrier: tuple[tuple[int, float], ...]
    packet_bits: int = 32
    control_bits: int = 32
    link_buffer: int = 8
    tile_bandwidth: float | None = None
    error_band: tuple[float, float] = (0.0, 0.0)
    weights: WeightFormat | None = None
    payload_bits: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def cores(self) -> int:
        return self.mesh[0] * self.mesh[1] * self.cores_per_tile

    def position(self, core: Cores) -> tuple[Cores, Cores]:
        """The (x, y) of the tile of a core, or of several."""
        tile = core // self.cores_per_tile
        return tile % self.mesh[0], tile // self.mesh[0]
