"""A folder that shows what each pass did.

    00_import.mlir  01_simplify.mlir  03_insert-gathers.mlir     the stages that changed, each a valid input
    pipeline.txt                                                 the commands that make them again
    timing.json                                                  seconds and ops of every stage

`gossamer opt 01_simplify.mlir -p insert-gathers` prints the next file byte for byte.
"""

import json
import re
import shlex
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from .context import write_text
from .pipeline import Stage, Trace

STAGE_FILE = re.compile(r"\d\d+_[a-z0-9-]+\.mlir")


class Dump:
    """Writes each stage that changed into `folder` as soon as it is made; earlier dumps there are removed."""

    def __init__(self, folder: Path):
        self.folder = folder
        for old in folder.glob("*.mlir"):
            if STAGE_FILE.fullmatch(old.name):
                old.unlink()

    def before(self, step: ModulePass, module: ModuleOp, /) -> None:
        """Nothing is written before a pass."""

    def after(self, stage: Stage, /) -> None:
        if stage.changed:
            write_text(self.folder / stage_file(stage), stage.text)

    def close(self, trace: Trace, command: str = "") -> None:
        """Write `pipeline.txt` (with `command`, if this was started by one) and `timing.json`."""
        write_text(self.folder / "pipeline.txt", commands(trace, command))
        write_text(self.folder / "timing.json", json.dumps([summary(stage) for stage in trace.stages], indent=2) + "\n")


def stage_file(stage: Stage) -> str:
    """`03_insert-gathers.mlir`"""
    return f"{stage.position:02d}_{stage.name}.mlir"


def commands(trace: Trace, command: str = "") -> str:
    """The commands that repeat a run: as a whole, and pass by pass."""
    first = trace.stages[0]
    pipeline = ",".join(stage.spec for stage in trace.stages[1:])
    lines = [command] if command else []
    lines.append(f"gossamer opt {stage_file(first)} -p {shlex.quote(pipeline)}")
    source = stage_file(first)
    for stage in (stage for stage in trace.stages[1:] if stage.changed):
        lines.append(f"gossamer opt {source} -p {shlex.quote(stage.spec)} -o {stage_file(stage)}")
        source = stage_file(stage)
    return "\n".join(lines) + "\n"


def summary(stage: Stage) -> dict[str, object]:
    """A stage in numbers, for `timing.json` and `--json`."""
    return {
        "position": stage.position,
        "stage": stage.name,
        "pass": stage.spec,
        "seconds": round(stage.seconds, 6),
        "changed": stage.changed,
        "ops": dict(sorted(stage.ops.items())),
    }
