"""A benchmark's result: one table with its heading, for the terminal and for a Markdown file.

    ## bert-short                                   <!-- bert-short -->
    BERT, 12 layers, 32 x 128 tokens, ..            ..
    | peer | ms | .. |                              <!-- /bert-short -->

A file holds one section for each benchmark, between markers; a new one takes the place of the old.
"""

import logging
import os
import platform
import re
import warnings
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import torch
from rich.table import Table

HEAD = """# Results

Times and ratios are those of the machine that a section names. Written by `python -m benchmarks`.
Peers take turns in every round; times are medians, ratios the median over rounds of eager / peer.
The theoretical limit is dense arithmetic over the arithmetic on active rows (products and attention of the encoder). It
bounds arithmetic, not time: smaller tensors also stay in cache, and a packed program can beat it.
"""


@dataclass(frozen=True)
class Section:
    """The table of benchmark `name`, and sentences that stand under it."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: list[str] = field(default_factory=list)

    def markdown(self, command: str) -> str:
        """With its markers, the day, the machine and the command."""
        lines = [
            f"<!-- {self.name} -->", f"## {self.name}", "", f"{self.title}.", "",
            f"{date.today().isoformat()}, {machine()}. `{command}`", "",
            row(self.columns), "|" + "---|" * len(self.columns), *map(row, self.rows), "",
            *(f"* {note}" for note in self.notes), f"<!-- /{self.name} -->",
        ]  # fmt: skip
        return "\n".join(lines)

    def table(self) -> Table:
        """For the terminal."""
        table = Table(title=self.title, title_justify="left", caption="\n".join(self.notes), caption_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="left" if number == 0 or column == "note" else "right")
        for cells in self.rows:
            table.add_row(*cells, style="bold" if cells[0] == "gossamer" else None)
        return table


def row(cells: tuple[str, ...]) -> str:
    """One row in Markdown."""
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    """Processor, cores, torch."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    return f"{processor}, {cores()} cores, torch {torch.__version__}, Python {platform.python_version()}"


def settle(threads: int) -> None:
    """Torch with so many threads, and nothing but tables on the terminal."""
    torch.set_num_threads(threads)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def write(path: Path, section: Section, command: str) -> None:
    """Put `section` into the file at `path`: in its old place, else at the end."""
    text = path.read_text() if path.exists() else HEAD
    own = section.markdown(command)
    old = re.compile(rf"<!-- {re.escape(section.name)} -->.*?<!-- /{re.escape(section.name)} -->", re.DOTALL)
    text = old.sub(lambda _: own, text) if old.search(text) else f"{text.rstrip()}\n\n{own}\n"
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    os.replace(temporary, path)
