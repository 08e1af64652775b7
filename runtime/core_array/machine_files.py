"""Machine descriptions in TOML: every constant with its unit and where it was published.

    title = "Intel Loihi 1"                      Machine(name="loihi1", title="Intel Loihi 1", ...
    [time]                                  ->           time=Costs(synapse=3.5, ...
    synapse = {value = 3.5, unit = "ns",                 sources={"time.synapse": "Davies 2018, Table 2", ...})
               source = "Davies 2018, Table 2"}

A key of `[limits]` may be left out: the core has no such limit. So may `[weights]`: nobody says how they are stored;
`payload_bits`: packets carry no numbers; and `tile_bandwidth`: a link passes a packet in the time of a hop.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...dialects.diagnostics import Place, UserError, did_you_mean
from .machine import Costs, Limits, Machine
from .number_format import Sign, WeightFormat
from .units import (
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
    rate,
    read_quantity,
    size,
)

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
    "tile_bandwidth": Quantity(RATE, rate),
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
OPTIONAL = {"weights", "payload_bits", "tile_bandwidth"}
"""Sections and keys that may be left out."""


def known_machines() -> tuple[str, ...]:
    """The names of the machines that come with us."""
    return tuple(sorted(path.stem for path in MACHINES.glob("*.toml")))


def load_machine(name_or_path: str | Path) -> Machine:
    """A machine that comes with us, by name, or the one that a .toml file describes."""
    if str(name_or_path) in known_machines():
        return read_machine(MACHINES / f"{name_or_path}.toml")
    if Path(name_or_path).suffix != ".toml":
        hint = f"{did_you_mean(str(name_or_path), known_machines())} Or name a .toml file."
        raise UserError(f"no machine is called '{name_or_path}'", hint=hint)
    return read_machine(Path(name_or_path))


def read_machine(path: Path) -> Machine:
    """The machine that a file describes, named as the file is."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise UserError(f"cannot read the machine file '{path}': {fault}") from fault
    return MachineFile(str(path), text).machine(path.stem)


@dataclass(frozen=True)
class MachineFile:
    """The text of a machine file; faults name the line of the entry."""

    path: str
    text: str

    def machine(self, name: str) -> Machine:
        """Everything read and checked."""
        tables = self.parse()
        self.check_keys("", tables, {"title": None, **SECTIONS})
        title = tables["title"]
        if not isinstance(title, str) or not title.strip():
            raise self.fault("", "title", f"expected a text, found {title!r}")
        values: dict[str, dict[str, Any]] = {}
        sources: dict[str, str] = {}
        for section in (each for each in SECTIONS if each in tables):
            values[section] = {}
            for key, value, source in self.entries(section, tables[section]):
                values[section][key] = value
                sources[f"{section}.{key}"] = source
        return Machine(
            name=name,
            title=title,
            limits=Limits(**values["limits"]),
            time=Costs(**values["time"]),
            energy=Costs(**values["energy"]),
            weights=WeightFormat(**values["weights"]) if "weights" in values else None,
            sources=sources,
            **values["array"],
        )

    def parse(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as fault:
            found = re.search(r"\(at line (\d+), column (\d+)\)", str(fault))
            line, column = map(int, found.groups()) if found else (self.text.count("\n") + 1, 0)
            message = str(fault).partition(" (at ")[0]
            raise UserError(f"not TOML: {message}", place=Place(self.path, line, column)) from fault

    def entries(self, section: str, table: Any) -> Iterator[tuple[str, Any, str]]:
        """The key, value and source of each entry of a section."""
        if not isinstance(table, dict):
            raise self.fault("", section, f"expected a table, found {table!r}")
        self.check_keys(section, table, SECTIONS[section])
        for key, entry in table.items():
            try:
                yield key, *read_quantity(entry, SECTIONS[section][key])
            except ValueError as fault:
                raise self.fault(section, key, str(fault)) from fault

    def check_keys(self, section: str, found: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        """No key that nobody knows, and none that is missing; a limit need not be given."""
        where = f" of [{section}]" if section else ""
        for key in found:
            if key not in known:
                raise self.fault(section, key, f"unknown key{where}", hint=did_you_mean(key, known))
        if section == "limits":
            return
        missing = [key for key in known if key not in found and key not in OPTIONAL]
        if missing:
            place = Place(self.path, self.line(section, ""))
            raise UserError(f"missing{where}: {', '.join(missing)}", place=place)

    def fault(self, section: str, key: str, message: str, hint: str = "") -> UserError:
        """An error at the line of a key."""
        name = f"{section}.{key}" if section else key
        return UserError(f"`{name}`: {message}", place=Place(self.path, self.line(section, key)), hint=hint)

    def line(self, section: str, key: str) -> int:
        """The line of a key in a section, or of the section where the key is not written on a line of its own."""
        header, inside = 1, ""
        for number, text in enumerate(self.text.splitlines(), 1):
            if found := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", text):
                inside = found[1]
                if inside == f"{section}.{key}".strip("."):
                    return number
                header = number if inside == section else header
            elif key and inside == section and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", text):
                return number
        return header
