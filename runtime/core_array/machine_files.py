"""Machine descriptions: `machines/*.toml`.

A key of `[limits]` may be left out: the core has no such limit. So may `[weights]`: nobody says how they are stored;
`payload_bits`: packets carry no numbers; and `tile_bandwidth`: a link passes a packet in the time of a hop.
"""

from dataclasses import fields
from pathlib import Path

from ..constant_files import find, names_in, read_constants
from ..units import (
    BITS,
    BYTES,
    ENERGY,
    NO_UNIT,
    POWER,
    RATE,
    TIME,
    Quantity,
    amount,
    band,
    choice,
    count,
    curve,
    positive,
    size,
)
from .machine import Costs, Limits, Machine
from .number_format import Sign, WeightFormat

MACHINES = Path(__file__).with_name("machines")

ARRAY = {
    "mesh": Quantity(NO_UNIT, size),
    "cores_per_tile": Quantity(NO_UNIT, count),
    "static_power": Quantity(POWER, amount),
    "barrier": Quantity(TIME, curve),
    "cheap_barrier": Quantity(TIME, curve),
    "packet_bits": Quantity(BITS, count),
    "control_bits": Quantity(BITS, count),
    "link_buffer": Quantity(NO_UNIT, count),
    "tile_bandwidth": Quantity(RATE, positive),
    "error_band": Quantity(NO_UNIT, band),
    "payload_bits": Quantity(BITS, count),
}
BITS_AND_BYTES = {"weight_bits": BITS, "synapse_bytes": BYTES}
LIMITS = {field.name: Quantity(BITS_AND_BYTES.get(field.name, NO_UNIT), count) for field in fields(Limits)}
WEIGHTS = {
    "bits": Quantity(BITS, count),
    "sign": Quantity(NO_UNIT, choice(Sign)),
    "exponents": Quantity(NO_UNIT, count),
}
SECTIONS = {
    "array": ARRAY,
    "limits": LIMITS,
    "time": {field.name: Quantity(TIME, amount) for field in fields(Costs)},
    "energy": {field.name: Quantity(ENERGY, amount) for field in fields(Costs)},
    "weights": WEIGHTS,
}
OPTIONAL = ("limits.*", "weights", "array.payload_bits", "array.tile_bandwidth")


def known_machines() -> tuple[str, ...]:
    """The names of the machines that come with us."""
    return names_in(MACHINES)


def load_machine(name_or_path: str | Path) -> Machine:
    """A machine that comes with us, by name, or the one that a .toml file describes, named as the file is."""
    path = find(name_or_path, MACHINES, "machine")
    said = read_constants(path, "machine", SECTIONS, OPTIONAL)
    return Machine(
        name=path.stem,
        title=said.title,
        limits=Limits(**said.values["limits"]),
        time=Costs(**said.values["time"]),
        energy=Costs(**said.values["energy"]),
        weights=WeightFormat(**said.values["weights"]) if "weights" in said.values else None,
        sources=said.sources,
        **said.values["array"],
    )
