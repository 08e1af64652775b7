"""Machine descriptions: `machines/*.toml`. A key of `[limits]` may be left out: the core has no such limit."""

from dataclasses import fields
from pathlib import Path

from ..constant_files import find, names_in, read_constants
from ..units import BITS, BYTES, ENERGY, NO_UNIT, POWER, TIME, Quantity, amount, band, count, curve, size
from .machine import Costs, Limits, Machine

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
    "error_band": Quantity(NO_UNIT, band),
}
BITS_AND_BYTES = {"weight_bits": BITS, "synapse_bytes": BYTES}
LIMITS = {field.name: Quantity(BITS_AND_BYTES.get(field.name, NO_UNIT), count) for field in fields(Limits)}
SECTIONS = {
    "array": ARRAY,
    "limits": LIMITS,
    "time": {field.name: Quantity(TIME, amount) for field in fields(Costs)},
    "energy": {field.name: Quantity(ENERGY, amount) for field in fields(Costs)},
}


def known_machines() -> tuple[str, ...]:
    """The names of the machines that come with us."""
    return names_in(MACHINES)


def load_machine(name_or_path: str | Path) -> Machine:
    """A machine that comes with us, by name, or the one that a .toml file describes, named as the file is."""
    path = find(name_or_path, MACHINES, "machine")
    said = read_constants(path, "machine", SECTIONS, optional=("limits",))
    return Machine(
        name=path.stem,
        title=said.title,
        limits=Limits(**said.values["limits"]),
        time=Costs(**said.values["time"]),
        energy=Costs(**said.values["energy"]),
        sources=said.sources,
        **said.values["array"],
    )
