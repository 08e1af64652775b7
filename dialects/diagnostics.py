"""Errors that say where, what was expected, what was found, and what to do.

    model.py:41:9: error: this gather cannot be inserted on axis 2 of `conv2d`
       41 |         y = self.conv(x * keep[:, None, None, :])
          |             ^
      spatial axes are read through a sliding window
      hint: mask whole channels

Every fault of a user's input is a `UserError` (exit code 1), of a command line a `UsageError` (exit code 2).
Everything else is a bug of ours.
"""

import difflib
import linecache
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import ArrayAttr, CallSiteLoc, FileLineColLoc, FusedLoc, NameLoc
from xdsl.ir import Attribute, Operation

WINDOW = 160
"""How much of a long line an excerpt shows."""


@dataclass(frozen=True)
class Place:
    """A line and column (from 1; column 0 is not known) of a file."""

    file: str
    line: int
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" + (f":{self.column}" if self.column else "")

    def excerpt(self) -> str:
        """The line itself with a caret under the column; empty when the file cannot be read."""
        text = linecache.getline(self.file, self.line).rstrip()
        if not text:
            return ""
        start = max(0, self.column - WINDOW // 2) if len(text) > WINDOW else 0
        caret = f"\n{'':>5} | {' ' * (self.column - 1 - start)}^" if self.column else ""
        return f"\n{self.line:>5} | {text[start : start + WINDOW]}{caret}"


def place_of(source: Operation | Attribute) -> Place | None:
    """Where an op, or a location attribute, comes from: the innermost file, line and column it names."""
    location = source.location if isinstance(source, Operation) else source
    match location:
        case FileLineColLoc():
            return Place(location.filename.data, location.line.data, location.column.data)
        case NameLoc():
            return place_of(location.location)
        case FusedLoc():
            parts = location.locations.data if isinstance(location.locations, ArrayAttr) else ()
            return next((place for place in map(place_of, parts) if place), None)
        case CallSiteLoc():
            return place_of(location.callee)
        case _:
            return None


class UserError(Exception):
    """The input is at fault. `str` gives the whole message; `details` are further lines, `hint` is the last one."""

    exit_code = 1

    def __init__(self, message: str, *, place: Place | None = None, details: Sequence[str] = (), hint: str = ""):
        self.message, self.place, self.details, self.hint = message, place, tuple(details), hint
        super().__init__(message)

    def __str__(self) -> str:
        head = f"{self.place}: error: " if self.place else "error: "
        lines = [head + self.message + (self.place.excerpt() if self.place else "")]
        lines += [f"  {line}" for detail in self.details for line in detail.splitlines()]
        return "\n".join(lines + ([f"  hint: {self.hint}"] if self.hint else []))


class UsageError(UserError):
    """The command line, or an option, is at fault."""

    exit_code = 2


class CombinedError(UserError):
    """Several errors found in one go."""

    def __init__(self, errors: Sequence[UserError]):
        super().__init__(f"{len(errors)} errors")
        self.errors = tuple(errors)
        self.exit_code = max(e.exit_code for e in errors)

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the closest of `known`, or all of them when none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names) or 'none'}"
