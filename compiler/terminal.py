"""What people see: tables, diffs, progress. Colour only on a terminal, and never against NO_COLOR.

pass             time      ops
simplify         12.0 ms   aten.call -12
insert-gathers    8.1 ms   aten.call -2  sparse.gather +3
"""

import difflib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from .pipeline import Stage, Trace

COLOURS = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m"}
RESET = "\x1b[0m"


def is_coloured(stream: TextIO) -> bool:
    """May text on `stream` have colours?"""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def difference(before: Stage, after: Stage) -> Iterator[str]:
    """A unified diff of two stages, line by line."""
    texts = (stage.text.splitlines() for stage in (before, after))
    return difflib.unified_diff(*texts, fromfile=before.name, tofile=after.name, lineterm="")


def print_diffs(trace: Trace, stream: TextIO) -> None:
    """Write what each pass changed to `stream`."""
    coloured = is_coloured(stream)
    for before, after in trace.pairs():
        for line in difference(before, after) if after.changed else ():
            colour = COLOURS.get(line[:1], "") if coloured else ""
            stream.write(f"{colour}{line}{RESET if colour else ''}\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO) -> None:
    """Write a table to `stream`; columns whose name starts with `>` are set to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    width = None if stream.isatty() else 200
    console = Console(file=io.StringIO(), width=width, force_terminal=is_coloured(stream), highlight=False)
    with console.capture() as text:
        console.print(table)
    stream.writelines(line.rstrip() + "\n" for line in text.get().splitlines())


def print_notes(notes: Sequence[str], stream: TextIO) -> None:
    """Write what the import of a model assumed to `stream`."""
    stream.writelines(f"note: {note}\n" for note in notes)


def print_timing(trace: Trace, stream: TextIO) -> None:
    """Write the time and the change in ops of every pass to `stream`."""
    rows = [(after.spec, f"{after.seconds * 1e3:.1f} ms", op_changes(before, after)) for before, after in trace.pairs()]
    total = sum(stage.seconds for stage in trace.stages)
    print_table(("pass", ">time", "ops"), [*rows, ("total", f"{total * 1e3:.1f} ms", "")], stream)


def op_changes(before: Stage, after: Stage) -> str:
    """`aten.call -12  sparse.gather +3`"""
    names = sorted(before.ops.keys() | after.ops.keys())
    return "  ".join(f"{n} {after.ops[n] - before.ops[n]:+d}" for n in names if after.ops[n] != before.ops[n])


@contextmanager
def progress(message: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal that long work goes on; the function that it gives changes the message."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status(message) as status:
        yield status.update
