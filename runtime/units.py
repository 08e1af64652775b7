"""Numbers with units, as machine files write them: `{value = 3.5, unit = "ns", source = "Davies 2018, Table 2"}`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

TIME = {"ps": 1e-3, "ns": 1.0, "us": 1e3, "ms": 1e6}
ENERGY = {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3, "uJ": 1e6}
POWER = {"nW": 1e-9, "uW": 1e-6, "mW": 1e-3, "W": 1.0}
BYTES = {"bytes": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
BITS = {"bits": 1}
RATE = {"K/s": 1e-6, "M/s": 1e-3, "G/s": 1.0}
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
FLOPS = {"FLOP/s": 1.0, "GFLOP/s": 1e9, "TFLOP/s": 1e12}
BANDWIDTH = {"B/s": 1.0, "GB/s": 1e9, "TB/s": 1e12}
NO_UNIT: Mapping[str, float] = {}


@dataclass(frozen=True)
class Quantity:
    """What an entry must hold: `read` takes its bare value and what one unit is worth; `units` are those allowed."""

    units: Mapping[str, float]
    read: Callable[[Any, float], Any]


def amount(value: Any, unit: float) -> float:
    """A number that is neither negative nor unbounded."""
    checked = finite(value)
    if checked < 0:
        raise ValueError(f"expected a number that is not negative, found {value}")
    return checked * unit


def positive(value: Any, unit: float) -> float:
    """A number above 0."""
    checked = amount(value, unit)
    if checked == 0:
        raise ValueError(f"expected a number above 0, found {value}")
    return checked


def count(value: Any, unit: float) -> int:
    """A whole number from 1."""
    scaled = amount(value, unit)
    if scaled < 1 or scaled != int(scaled):
        raise ValueError(f"expected a whole number from 1, found {value}")
    return int(scaled)


def share(value: Any, unit: float) -> float:
    """A number from 0 to 1."""
    checked = amount(value, unit)
    if checked > 1:
        raise ValueError(f"expected a share from 0 to 1, found {value}")
    return checked


def size(value: Any, unit: float) -> tuple[int, int]:
    """[width, height]."""
    width, height = pair(value)
    return count(width, unit), count(height, unit)


def curve(value: Any, unit: float) -> tuple[tuple[int, float], ...]:
    """[[tiles, amount], ...], tiles ascending."""
    if not isinstance(value, list) or not value:
        raise ValueError(f"expected pairs [tiles, amount], found {value}")
    points = tuple((count(tiles, 1), amount(y, unit)) for tiles, y in map(pair, value))
    if any(after[0] <= before[0] for before, after in pairwise(points)):
        raise ValueError(f"expected numbers of tiles that ascend, found {[tiles for tiles, _ in points]}")
    return points


def band(value: Any, unit: float) -> tuple[float, float]:
    """[low, high], of either sign."""
    low, high = map(finite, pair(value))
    if low > high:
        raise ValueError(f"expected [low, high], found {value}")
    return low, high


def choice(kinds: type[StrEnum]) -> Callable[[Any, float], StrEnum]:
    """One of these words."""

    def read(value: Any, unit: float) -> StrEnum:
        if value not in list(kinds):
            raise ValueError(f"expected one of {', '.join(kinds)}, found {value!r}")
        return kinds(value)

    return read


def pair(value: Any) -> tuple[Any, Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"expected two numbers, found {value}")
    return value[0], value[1]


def finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"expected a finite number, found {value}")
    return value


def read_quantity(entry: Any, quantity: Quantity) -> tuple[Any, str]:
    """The value of an entry in the units that we reckon in, and where it comes from."""
    if not isinstance(entry, dict):
        raise ValueError(f"expected {{value = ..., source = ...}}, found {entry!r}")
    wanted = {"value", "source", *(["unit"] if quantity.units else [])}
    if entry.keys() != wanted:
        raise ValueError(f"expected the keys {', '.join(sorted(wanted))}, found {', '.join(sorted(entry)) or 'none'}")
    source = entry["source"]
    if not isinstance(source, str) or not source.strip():
        raise ValueError("expected a source: where the number was published, or 'assumption: ...'")
    unit = entry.get("unit")
    if quantity.units and (not isinstance(unit, str) or unit not in quantity.units):
        raise ValueError(f"expected one of the units {', '.join(quantity.units)}, found {unit!r}")
    return quantity.read(entry["value"], quantity.units[unit] if isinstance(unit, str) else 1), source
