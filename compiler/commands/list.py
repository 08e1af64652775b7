"""Name what there is, each with what it does in a line.

examples:
  gossamer list passes
  gossamer list ops
  gossamer list machines
  gossamer list accelerators
"""

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Iterator

from ...passes import PASSES, load_pass
from ...runtime.core_array.machine_files import known_machines, load_machine
from ...runtime.timeline.accelerator import known_accelerators, load_accelerator
from ..context import DIALECTS, load_dialect
from ..pipeline import DEFAULT_PIPELINE, IMPORT
from ..terminal import print_table

TARGETS = {
    "cpu": "the processor, through torch's kernels",
    "cuda": "NVIDIA GPUs, through torch's kernels",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `gossamer list`."""
    parser.add_argument("what", choices=sorted(TABLES), help="what to list")


def execute(arguments: argparse.Namespace) -> None:
    """Print one table."""
    print_table((SINGULAR[arguments.what], ""), list(TABLES[arguments.what]()), sys.stdout)


def passes() -> Iterator[tuple[str, str]]:
    for name in PASSES:
        yield name, pass_summary(name)


def dialects() -> Iterator[tuple[str, str]]:
    for name in DIALECTS:
        dialect = load_dialect(name)
        module = sys.modules[next(iter(dialect.operations)).__module__]
        yield name, summary(module).removeprefix(f"`{name}`: ") or "defined by xDSL"


def stages() -> Iterator[tuple[str, str]]:
    yield IMPORT, "The model as it was imported."
    for name in DEFAULT_PIPELINE:
        yield name, pass_summary(name)


def ops() -> Iterator[tuple[str, str]]:
    for name in DIALECTS:
        for op in load_dialect(name).operations:
            if op.__module__.startswith("gossamer."):
                yield op.name, summary(op)


def targets() -> Iterator[tuple[str, str]]:
    yield from TARGETS.items()


def machines() -> Iterator[tuple[str, str]]:
    for name in known_machines():
        machine = load_machine(name)
        limits = ", ".join(f"{key} {value}" for key, value in vars(machine.limits).items() if value is not None)
        yield name, f"{machine.title}. {machine.cores} cores; a core: {limits}."


def accelerators() -> Iterator[tuple[str, str]]:
    for name in known_accelerators():
        found = load_accelerator(name)
        yield name, (f"{found.title}. {found.peak / 1e12:g} TFLOP/s, {found.capacity / 2**30:g} GiB, "
                     f"all-reduces at {found.bus_bandwidth / 1e9:g} GB/s.")  # fmt: skip


SINGULAR = {
    "passes": "pass",
    "dialects": "dialect",
    "stages": "stage",
    "ops": "op",
    "targets": "target",
    "machines": "machine",
    "accelerators": "accelerator",
}
TABLES: dict[str, Callable[[], Iterator[tuple[str, str]]]] = {
    "passes": passes,
    "dialects": dialects,
    "stages": stages,
    "ops": ops,
    "targets": targets,
    "machines": machines,
    "accelerators": accelerators,
}


def pass_summary(name: str) -> str:
    """What a pass does: its module says it, or else its class."""
    known = load_pass(name)
    return summary(sys.modules[known.__module__]) or summary(known) or f"xDSL's {known.__name__}."


def summary(thing: object) -> str:
    """The first sentence of a docstring."""
    text = inspect.cleandoc(vars(thing)["__doc__"] or "").partition("\n\n")[0]
    return re.split(r"(?<=\.)\s", " ".join(text.split()))[0]
