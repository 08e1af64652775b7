"""What a run costs in energy: events, links, control messages, barriers, and leakage while it lasts.

    E = events * cost each + (x links * hop_x + y links * hop_y) + control + barrier tree + static power * cores * time

Picojoules. A control message costs what a packet does, per bit. A barrier is charged as a tree over the cores: one
message up and one down for each core but the root, over one link each; what chips spend on it was never published.
"""

from dataclasses import dataclass

from .machine import Machine
from .mapping import Mapping, hops
from .traffic import Traffic


@dataclass(frozen=True)
class Energy:
    """Picojoules of a run by cause."""

    neurons: float
    synapses: float
    spikes: float
    network: float
    control: float
    barrier: float
    static: float

    @property
    def total(self) -> float:
        causes = self.neurons, self.synapses, self.spikes, self.network, self.control, self.barrier, self.static
        return float(sum(causes))


def energy_of(
    mapping: Mapping,
    machine: Machine,
    traffic: Traffic,
    makespan: float,
    *,
    messages: int = 0,
    links: tuple[int, int] = (0, 0),
    rounds: int = 0,
) -> Energy:
    """The energy of `makespan` nanoseconds with so many control messages over so many links, and `rounds` barriers."""
    cost, cores, steps = machine.energy, mapping.cores, len(traffic.active)
    edges = mapping.edges
    x, y = hops(machine, mapping.place[edges.source], mapping.place[edges.target])
    sent = traffic.sent.sum(axis=0)
    packets = int(sent.sum())
    network = float(sent @ x) * cost.hop_x + float(sent @ y) * cost.hop_y + packets * cost.tile
    active, updates = int(traffic.active.sum()), int(traffic.updates.sum()) * steps
    share = machine.control_bits / machine.packet_bits
    tree = 2 * max(0, cores - 1) * ((cost.hop_x + cost.hop_y) / 2 + cost.tile) * share + cores * cost.control
    return Energy(
        neurons=cost.step * cores * steps + cost.update * updates + cost.update_active * active,
        synapses=cost.synapse * int(traffic.events.sum()),
        spikes=cost.spike * active + cost.packet_out * packets + cost.packet_in * int(traffic.packets_in.sum()),
        network=network,
        control=messages * (cost.control + cost.tile * share) + (links[0] * cost.hop_x + links[1] * cost.hop_y) * share,
        barrier=rounds * tree,
        static=machine.static_power * 1000.0 * cores * makespan,
    )
