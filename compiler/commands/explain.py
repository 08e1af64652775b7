"""Say where a model is sparse, what was done there and why.

examples:
  gossamer explain model.py:build
  gossamer explain model.py:build --approximate 0.02
  gossamer explain out --json
"""

import argparse
import json

from ..terminal import progress
from .options import add_model_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `gossamer explain`."""
    add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="write it for programs")


def execute(arguments: argparse.Namespace) -> None:
    """Print the explanation."""
    from ..explain import explain
    from ..models import open_model

    with progress("compiling"):
        compiled = open_model(arguments).compiled
    found = explain(compiled)
    print(json.dumps(found.as_dict(), indent=2) if arguments.json else found)
