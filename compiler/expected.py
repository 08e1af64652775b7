"""Errors that a test file expects, in MLIR's own notation.

    // expected-error @below {{keeps every axis}}
    %c = sparse.gather %f[%d] ..
    %e = sparse.domain %m ..          // expected-error {{has the axes of its mask}}

`@above`, `@below`, `@+2` and `@-2` name another line than the comment's own. The text is a part of the message.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..dialects.diagnostics import CombinedError, Place, UserError

COMMENT = re.compile(r"expected-error\s*(@above|@below|@[+-]\d+)?\s*\{\{(.*?)\}\}")
OFFSETS = {None: 0, "@above": -1, "@below": 1}


@dataclass(frozen=True)
class Expected:
    """A part of an error's message, and the place of its line."""

    place: Place
    text: str


def expected_errors(text: str, name: str) -> list[Expected]:
    """All that `text`, read from the file `name`, expects."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        for where, message in COMMENT.findall(line):
            offset = OFFSETS[where or None] if where in (*OFFSETS, "") else int(where[1:])
            found.append(Expected(Place(name, number + offset), message))
    return found


def each(error: UserError) -> Iterator[UserError]:
    """The errors that `error` is made of."""
    if isinstance(error, CombinedError):
        for part in error.errors:
            yield from each(part)
    else:
        yield error


def check_errors(expected: Sequence[Expected], found: Sequence[UserError]) -> list[UserError]:
    """What is wrong: errors that were expected and did not come, and those that came and were not expected."""
    remaining, problems = list(expected), []
    for error in found:
        match = next((e for e in remaining if is_at(error, e.place) and e.text in error.message), None)
        if match:
            remaining.remove(match)
        else:
            problems.append(UserError(f"unexpected error: {error.message}", place=error.place))
    return problems + [UserError(f"expected error '{e.text}' did not come", place=e.place) for e in remaining]


def is_at(error: UserError, place: Place) -> bool:
    """Is `error` on the line of `place`?"""
    return error.place is not None and (error.place.file, error.place.line) == (place.file, place.line)
