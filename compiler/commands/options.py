"""Options that commands share."""

import argparse
from pathlib import Path


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """MODEL, and how it is compiled."""
    parser.add_argument(
        "model", metavar="MODEL", help="FILE.py:FUNCTION, a .nir file, a folder that was saved, or a .mlir file"
    )
    parser.add_argument("-p", "--passes", metavar="PIPELINE", help="passes to run: a,b{option=1}")
    parser.add_argument("--dont-care", action="append", metavar="RESULT=ARGUMENT",
                        help="rows of this result where this argument is zero are never read")  # fmt: skip
    parser.add_argument("--exact", metavar="HOW", help="bitwise: nothing that reorders a sum")
    parser.add_argument("--approximate", metavar="AMOUNT",
                        help="0.02: activations of at most that count as 0; 25%%: so many are kept")  # fmt: skip
    parser.add_argument("--strict-nan", action="store_true", help="keep NaN where eager multiplies 0 by infinity")
    parser.add_argument("--no-adapters", dest="adapters", action="store_false",
                        help="read modules that do not export as they are, not in an equal form")  # fmt: skip
    parser.add_argument("--target", metavar="DEVICE", help="cpu, cuda or cuda:1")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="the weights of a .mlir file")
    parser.add_argument("--inputs", type=Path, metavar="FILE", help="inputs by name: .npz, .safetensors or .pt")
    add_network_options(parser)


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """How a training step is fitted into memory."""
    group = parser.add_argument_group("for training steps: a FUNCTION that returns (model, loss_fn, example)")
    group.add_argument("--memory-budget", metavar="BYTES",
                       help="2GiB, or 60%%: of what keeping all takes beyond weights and batch, "
                            "or device: what is free there, less a tenth")  # fmt: skip
    group.add_argument("--rung", metavar="NAME", help="how it is chosen what is computed again")
    group.add_argument("--offload", nargs="?", const=True, metavar="FOLDER",
                       help="what does not fit may also move: to a GPU's host, or a file in FOLDER")  # fmt: skip


def is_step(arguments: argparse.Namespace) -> bool:
    """Does the command line name a training step? Raises UsageError for an option that only a budget gives sense."""
    if arguments.memory_budget is None and arguments.offload is not None:
        from ...dialects.diagnostics import UsageError

        raise UsageError("--offload is for a memory budget", hint="add --memory-budget 60%")
    return arguments.memory_budget is not None


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """What NIR leaves open."""
    group = parser.add_argument_group("for .nir files")
    group.add_argument("--dt", type=float, metavar="SECONDS", help="how long a step is: 1e-3")
    group.add_argument("--discretisation", metavar="HOW", help="exponential (the default) or euler")
    group.add_argument("--reset", metavar="HOW", help="subtract, zero or none, in place of the file's value")
    group.add_argument("--round-delays", action="store_true", help="round delays to whole steps")


def add_print_options(parser: argparse.ArgumentParser) -> None:
    """Options that show the run of a pipeline on stderr."""
    group = parser.add_argument_group("to watch it work (on standard error)")
    group.add_argument("--print-ir-before", nargs="?", const="", metavar="PASS", action="append",
                       help="the IR before this pass, or before every pass")  # fmt: skip
    group.add_argument("--print-ir-after", nargs="?", const="", metavar="PASS", action="append",
                       help="the IR after this pass, or after every pass")  # fmt: skip
    group.add_argument("--print-ir-after-all", action="store_true", help="the IR after every pass")
    group.add_argument("--print-ir-after-change", action="store_true", help="the IR after every pass that changed it")
    group.add_argument("--print-diff", action="store_true", help="what each pass changed, as a diff")
    group.add_argument("--timing", action="store_true", help="the time of every pass, and the ops it added and removed")
