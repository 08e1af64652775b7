"""Descriptions of hardware in TOML: every constant with its unit and where it was published.

    title = "Intel Loihi 1"                      Constants(title="Intel Loihi 1",
    [time]                                  ->       values={"time": {"synapse": 3.5}},
    synapse = {value = 3.5, unit = "ns",             sources={"time.synapse": "Davies 2018, Table 2"})
               source = "Davies 2018, Table 2"}

What is optional may be left out: a section `weights`, a key `array.payload_bits`, any key of a section `limits.*`.
Every other key must be there, and none that nobody knows.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..dialects.diagnostics import Place, UserError, did_you_mean
from .units import Quantity, read_quantity

Sections = Mapping[str, Mapping[str, Quantity]]


@dataclass(frozen=True)
class Constants:
    """What a file says: values by section and key, and the source of each by `section.key`."""

    title: str
    values: dict[str, dict[str, Any]]
    sources: dict[str, str]


def names_in(folder: Path) -> tuple[str, ...]:
    """The descriptions that come with us in a folder."""
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


def find(name_or_path: str | Path, folder: Path, what: str) -> Path:
    """The file of a description that comes with us, by name, or a .toml file of the user's."""
    known = names_in(folder)
    if str(name_or_path) in known:
        return folder / f"{name_or_path}.toml"
    if Path(name_or_path).suffix != ".toml":
        hint = f"{did_you_mean(str(name_or_path), known)}; or name a .toml file"
        raise UserError(f"no {what} is called '{name_or_path}'", hint=hint)
    return Path(name_or_path)


def read_constants(path: Path, what: str, sections: Sections, optional: tuple[str, ...] = ()) -> Constants:
    """Everything that a file says, checked."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise UserError(f"cannot read the {what} file '{path}': {fault}") from fault
    return ConstantFile(str(path), text, sections, optional).read()


@dataclass(frozen=True)
class ConstantFile:
    """The text of a description; faults name the line of the entry."""

    path: str
    text: str
    sections: Sections
    optional: tuple[str, ...] = ()

    def read(self) -> Constants:
        """Everything read and checked."""
        tables = self.parse()
        self.check_keys("", tables, {"title": None, **self.sections})
        title = tables["title"]
        if not isinstance(title, str) or not title.strip():
            raise self.fault("", "title", f"expected a text, found {title!r}")
        values: dict[str, dict[str, Any]] = {}
        sources: dict[str, str] = {}
        for section in (each for each in self.sections if each in tables):
            values[section] = {}
            for key, value, source in self.entries(section, tables[section]):
                values[section][key] = value
                sources[f"{section}.{key}"] = source
        return Constants(title, values, sources)

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
        self.check_keys(section, table, self.sections[section])
        for key, entry in table.items():
            try:
                yield key, *read_quantity(entry, self.sections[section][key])
            except ValueError as fault:
                raise self.fault(section, key, str(fault)) from fault

    def check_keys(self, section: str, found: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        """No key that nobody knows, and none that is missing where it must be there."""
        where = f" of [{section}]" if section else ""
        for key in found:
            if key not in known:
                raise self.fault(section, key, f"unknown key{where}", hint=did_you_mean(key, known))
        inside = f"{section}." if section else ""
        if f"{inside}*" in self.optional:
            return
        missing = [key for key in known if key not in found and f"{inside}{key}" not in self.optional]
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
