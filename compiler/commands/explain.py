"""Say where a model is sparse, what was done there and why; or what a training step keeps and computes again.

examples:
  gossamer explain model.py:build
  gossamer explain model.py:build --approximate 0.02
  gossamer explain out --json
  gossamer explain train.py:step --memory-budget 60%
"""

import argparse
import json

from ..terminal import progress
from .options import add_model_options, add_training_options, is_step


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `gossamer explain`."""
    add_model_options(parser)
    add_training_options(parser)
    parser.add_argument("--json", action="store_true", help="write it for programs")


def execute(arguments: argparse.Namespace) -> None:
    """Print the explanation."""
    if is_step(arguments):
        from ..step_command import explain_step

        return explain_step(arguments)
    from ..explain import explain
    from ..models import open_model

    with progress("compiling"):
        compiled = open_model(arguments).compiled
    found = explain(compiled)
    print(json.dumps(found.as_dict(), indent=2) if arguments.json else found)
