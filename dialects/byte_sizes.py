"""Numbers of bytes as people write them: `2GiB`, `1.5 GB`, `1e9`."""

import re

from .diagnostics import UserError

UNITS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
         "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}  # fmt: skip
NUMBER = re.compile(r"\s*(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)\s*([a-z]*)\s*", re.IGNORECASE)


def read_bytes(text: int | str, what: str = "memory", hint: str = "as in 36GiB, 80GB or 38654705664") -> int:
    """`36GiB` -> 38654705664. Raises UserError for what is no size of a byte or more."""
    found = NUMBER.fullmatch(str(text))
    unit = UNITS.get(found[2].lower()) if found else None
    size = (int(found[1]) if found[1].isdigit() else float(found[1])) * unit if found and unit else 0
    if not 1 <= size < 2**63:
        raise UserError(f"{what} '{text}': expected bytes, 1 or more", hint=hint)
    return int(size)
