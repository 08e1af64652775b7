"""Layers that are identical: the same ops on the same sizes in the same order, within a tolerance in time.

    layer 0: ln qkv attn ..    layer 1: ln qkv attn ..    layer 2: ln moe ..      ->      {0, 1}, {2}

The units of a layer stand for it. What one of them may do, those at its place in the other layers may do too.
"""

from dataclasses import dataclass
from functools import cached_property

from .recompute_units import Units

TOLERANCE = 0.25
"""Times of identical layers differ by no more than this share of the layer's time."""


@dataclass(frozen=True)
class Layer:
    """The units of a layer in order, and the windows that open in it."""

    number: int
    members: tuple[int, ...]
    windows: tuple[int, ...]


@dataclass(frozen=True)
class Kind:
    """Identical layers, in order of the forward pass."""

    units: Units
    layers: tuple[Layer, ...]

    @cached_property
    def model(self) -> Layer:
        """The layer that stands for all: one with neighbours on both sides."""
        return self.layers[len(self.layers) // 2]

    @cached_property
    def boundary(self) -> frozenset[int]:
        """Storages of the model layer that other layers read, or that ops outside of it read."""
        units, inside = self.units, set(self.model.members)
        mine = {storage for index in inside for storage in units.units[index].makes}
        read = {s for index, unit in enumerate(units.units) if index not in inside for s in unit.reads}
        return frozenset(mine & read)

    def storages(self, layer: Layer) -> dict[int, int]:
        """Of each storage of the model layer, the one at its place in another."""
        units, pairs = self.units.units, zip(self.model.members, layer.members, strict=True)
        return {a: b for mine, other in pairs for a, b in zip(units[mine].makes, units[other].makes, strict=True)}


def kinds_of(units: Units) -> list[Kind]:
    """The layers by kind."""
    members: dict[int, list[int]] = {}
    windows: dict[int, list[int]] = {}
    for index, unit in enumerate(units.units):
        if unit.layer is not None:
            members.setdefault(unit.layer, []).append(index)
    for op in units.graph.ops:
        if op.layer is not None and op.starts is not None:
            windows.setdefault(op.layer, []).append(op.starts)
    found: dict[tuple, list[list[Layer]]] = {}
    for number, own in sorted(members.items()):
        layer = Layer(number, tuple(own), tuple(windows.get(number, ())))
        alike = found.setdefault(shape_of(units, layer), [])
        near = next((group for group in alike if close(units, group[0], layer)), None)
        if near is None:
            alike.append([layer])
        else:
            near.append(layer)
    return [Kind(units, tuple(group)) for alike in found.values() for group in alike]


def shape_of(units: Units, layer: Layer) -> tuple:
    """Sizes, and who reads what, with storages by their place in the layer."""
    place = {s: (k, n) for k, index in enumerate(layer.members) for n, s in enumerate(units.units[index].makes)}
    sizes = units.graph.values
    found: list[tuple] = []
    for index in layer.members:
        unit = units.units[index]
        reads = tuple(sorted(place[storage] for storage in unit.reads if storage in place))
        uses = tuple(storage in units.uses for storage in unit.makes)
        found.append((tuple(sizes[storage].size for storage in unit.makes), reads, uses, unit.group))
    windows = [units.graph.windows[window] for window in layer.windows]
    groups = tuple((window.group, round(window.room, 9)) for window in windows)
    return (*found, groups)


def close(units: Units, a: Layer, b: Layer) -> bool:
    """Whether the units take about as long."""
    pairs = [(units.units[i].time, units.units[j].time) for i, j in zip(a.members, b.members, strict=True)]
    return sum(abs(x - y) for x, y in pairs) <= TOLERANCE * sum(max(x, y) for x, y in pairs)
