"""Run a model, and time it or compare it with eager torch.

examples:
  gossamer run model.py:build --compare --repeat 20
  gossamer run model.py:build --strict-nan --compare
  gossamer run out --inputs inputs.npz
  gossamer run net.nir --dt 1e-3 --inputs spikes.npz
"""

import argparse
import sys

from ...dialects.diagnostics import UsageError, UserError
from ..terminal import print_notes, print_table, progress
from .options import add_model_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `gossamer run`."""
    add_model_options(parser)
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="run N times more, and give the median time")
    parser.add_argument("--compare", action="store_true", help="run the model in eager torch too, and compare")


def execute(arguments: argparse.Namespace) -> None:
    """Run, show, compare. Raises UserError when eager torch gives something else."""
    from .. import measure
    from ..approximation import error_of
    from ..dont_care import leaf_names
    from ..entry import entry_function, import_notes
    from ..inputs import flat_inputs, given_inputs
    from ..models import open_model

    if arguments.repeat < 1:
        raise UsageError(f"--repeat {arguments.repeat}: expected 1 or more")
    with progress("compiling"):
        opened = open_model(arguments)
    compiled, example = opened.compiled, opened.example
    print_notes(import_notes(compiled.module), sys.stderr)
    if arguments.compare and example is None:
        raise UsageError(f"{arguments.model} has no eager model to compare with", hint="name a FILE.py:FUNCTION")
    function = entry_function(compiled.module)
    given = given_inputs(compiled, arguments.inputs)
    inputs = flat_inputs(compiled, example, given)
    results, seconds = measure.compiled_call(compiled, inputs).repeated(arguments.repeat)
    rows = [(name, *measure.show(r)) for name, r in zip(leaf_names(function.res_attrs), results, strict=True)]
    print_table(("result", "type", "values"), rows, sys.stdout)
    print(f"\ntime   {seconds * 1e3:.2f} ms")
    if arguments.compare and example is not None:
        expected, eager = measure.eager_call(compiled, example, given).repeated(arguments.repeat)
        print(f"eager  {eager * 1e3:.2f} ms, {eager / seconds:.2f} times as long")
        told = measure.differences(compiled, expected, results, inputs)
        if told and (error := error_of(compiled.module)) is not None:
            print(f"the results differ as was asked for: error {error:.2g} (rms, in the example)")
        elif told:
            raise UserError("the results differ from those of eager torch", details=told)
        else:
            print("the results are equal")
