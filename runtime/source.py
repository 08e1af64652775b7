"""A Python text under construction: its lines, its globals, the names of its values."""

import keyword
import math
import re
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from xdsl.ir import Operation, SSAValue

BUILTINS: dict[str, Any] = {"inf": math.inf, "nan": math.nan, "slice": slice}
"""Globals of every text."""


@dataclass
class Source:
    """`lines` so far; `ops`: what each line (from 1) executes; `namespace`: the globals; `names` of values."""

    lines: list[str] = field(default_factory=list)
    ops: dict[int, Operation] = field(default_factory=dict)
    namespace: dict[str, Any] = field(default_factory=BUILTINS.copy)
    names: dict[SSAValue, str] = field(default_factory=dict)
    bindings: dict[Hashable, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=lambda: {*BUILTINS, *keyword.kwlist})
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def text(self) -> str:
        """All lines, ending in a newline."""
        return "\n".join(self.lines) + "\n"

    def fresh(self, wish: str) -> str:
        """An identifier close to `wish` that nothing else has."""
        base = re.sub(r"\W", "_", wish, flags=re.ASCII)
        name = base = base if base.isidentifier() else f"v{base}"
        while name in self.taken:
            self.counts[base] += 1
            name = f"{base}_{self.counts[base]}"
        self.taken.add(name)
        return name

    def name(self, value: SSAValue) -> str:
        """The variable that holds `value`."""
        if value not in self.names:
            self.names[value] = self.fresh(value.name_hint or "v")
        return self.names[value]

    def bind(self, key: Hashable, wish: str, value: Any) -> str:
        """The global that holds `value`: one for each `key`."""
        if key not in self.bindings:
            self.bindings[key] = self.fresh(wish)
            self.namespace[self.bindings[key]] = value
        return self.bindings[key]

    def line(self, depth: int, text: str, op: Operation | None = None) -> None:
        """Append a line, which executes `op`."""
        self.lines.append("    " * depth + text)
        if op is not None:
            self.ops[len(self.lines)] = op
