"""Import a model, run the passes, save what came of it.

examples:
  gossamer compile model.py:build -o out
  gossamer compile model.py:build -o out --dont-care last_hidden_state=attention_mask --dump dumps --check
  gossamer compile dumps/01_simplify.mlir --weights out/weights.safetensors --from simplify --print-diff
  gossamer compile model.py:build --to insert-gathers --print-ir-after-all
  gossamer compile model.py:build -o out --approximate 25% --strict-nan
  gossamer compile model.py:build --no-adapters --emit asm
  gossamer compile net.nir --dt 1e-3 -o out
  gossamer compile train.py:step --memory-budget 2GiB -o out
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...dialects.diagnostics import UserError
from ..dump import Dump, summary
from ..pipeline import IMPORT, Trace
from ..terminal import print_diffs, print_notes, print_timing, progress
from ..watch import Announcer, PrintIR
from .options import add_model_options, add_print_options, add_training_options, is_step

if TYPE_CHECKING:
    from ..models import Opened


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `gossamer compile`."""
    add_model_options(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="the folder to save the compiled model in")
    parser.add_argument(
        "--from", dest="start", default=IMPORT, metavar="STAGE", help="the stage that a .mlir file is at"
    )
    parser.add_argument("--to", dest="stop", metavar="STAGE", help="the last stage to make")
    parser.add_argument("--dump", type=Path, metavar="DIR", help="write every stage that changed into a folder")
    parser.add_argument("--check", action="store_true", help="run before and after each pass, and compare")
    parser.add_argument(
        "--emit", choices=("llvm", "asm"), help="generated kernels as text: into the output folder, or here"
    )
    parser.add_argument("--json", action="store_true", help="write a summary for programs")
    add_training_options(parser)
    add_print_options(parser)


def execute(arguments: argparse.Namespace) -> None:
    """Compile, show, check, save."""
    if is_step(arguments):
        from ..step_command import compile_step

        return compile_step(arguments)
    from ..entry import import_notes
    from ..models import compile_model

    dump = Dump(arguments.dump) if arguments.dump else None
    trace = Trace(watchers=[*([dump] if dump else []), *PrintIR.asked_for(arguments)], reproducers=arguments.dump)
    try:
        with progress("importing the model") as show:
            trace.watchers = [*trace.watchers, Announcer(show)]
            opened = compile_model(arguments, trace, start=arguments.start, stop=arguments.stop)
    finally:
        if dump and trace.stages:
            dump.close(trace, arguments.line)
    if not arguments.json:
        print_notes(import_notes(opened.compiled.module), sys.stderr)
    if arguments.print_diff:
        print_diffs(trace, sys.stderr)
    if arguments.timing:
        print_timing(trace, sys.stderr)
    if arguments.check:
        check(trace, opened, arguments)
    if arguments.output:
        opened.compiled.save(arguments.output)
    if arguments.emit:
        from ..emit import emit

        print(emit(opened.compiled.module, arguments.emit, arguments.output), end="")
        if not arguments.output:
            return
    print(report(trace, opened, arguments))


def check(trace: Trace, opened: "Opened", arguments: argparse.Namespace) -> None:
    """Raise UserError when a pass changes what the model computes."""
    from ..check import first_difference
    from ..inputs import flat_inputs, given_inputs

    inputs = flat_inputs(opened.compiled, opened.example, given_inputs(opened.compiled, arguments.inputs))
    with progress("checking"):
        difference = first_difference(trace, opened.compiled.weights, inputs)
    if difference:
        raise UserError(str(difference))


def report(trace: Trace, opened: "Opened", arguments: argparse.Namespace) -> str:
    """What was made, in a line or as JSON."""
    from ..entry import import_notes

    weights = opened.compiled.weights
    size = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    if arguments.json:
        content = {
            "output": str(arguments.output) if arguments.output else None,
            "stages": [summary(stage) for stage in trace.stages],
            "weights": {"count": len(weights), "bytes": size},
            "checked": arguments.check,
            "notes": import_notes(opened.compiled.module),
        }
        return json.dumps(content, indent=2)
    last = trace.stages[-1]
    where = f"{arguments.output}: " if arguments.output else ""
    checked = ", every pass checked" if arguments.check else ""
    return (
        f"{where}{sum(last.ops.values())} ops after {last.name}, {len(weights)} weights ({size / 1e6:.1f} MB){checked}"
    )
