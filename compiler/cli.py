"""The command line: `gossamer COMMAND ..`.

    0    it worked
    1    the model, a file or an input is at fault
    2    the command line is at fault
    70   Gossamer is at fault
    130  interrupted          141  nobody reads the output any more

Each command is a module of `commands/`: its docstring is its help, `configure` declares its arguments, and `execute`
runs it. Only the command that was asked for is imported, so `--help` starts at once.
"""

import argparse
import os
import shlex
import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from .. import __version__

COMMANDS: dict[str, str] = {
    "compile": "import a model, run the passes, save what came of it",
    "run": "run a model, and time it or compare it with eager torch",
    "explain": "say where a model is sparse, what was done there and why",
    "simulate": "time of a spiking network on a core array, or of a training step over a pipeline",
    "opt": "apply passes to a module's text, as mlir-opt does",
    "fuzz": "compile random models and compare them with eager torch",
    "list": "name the passes, dialects, stages, ops or targets",
}
DESCRIPTION = "A compiler for models whose work is known only when they run."
EPILOG = """examples:
  gossamer compile model.py:build -o out --dump dumps
  gossamer run out --inputs inputs.npz
  gossamer explain model.py:build
  gossamer simulate net.nir --machine loihi1 --steps 100
  gossamer simulate --pipeline gpt-6.7b --hardware a100-nvlink --tensor-parallel 4 --micro-batch 8
  gossamer opt dumps/01_simplify.mlir -p insert-gathers
"""
INTERNAL_ERROR, INTERRUPTED, BROKEN_PIPE = 70, 130, 141


class ArgumentParser(argparse.ArgumentParser):
    """argparse's, with the help as it is written and faults as `UsageError`."""

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        raise usage_error(f"{self.prog}: {message}")


class ShowVersions(argparse.Action):
    """Prints the versions of gossamer and of what it stands on, without importing it."""

    def __init__(self, **options):
        super().__init__(nargs=0, **options)

    def __call__(self, parser, namespace, values, option_string=None) -> NoReturn:
        print(f"gossamer {__version__} (xdsl {installed('xdsl')}, torch {installed('torch')})")
        parser.exit()


def installed(package: str) -> str:
    """The version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def build_parser(argv: Sequence[str]) -> ArgumentParser:
    """The parser for all commands; only those named in `argv` know their arguments."""
    common = ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks")
    parser = ArgumentParser(prog="gossamer", description=DESCRIPTION, epilog=EPILOG, parents=[common])
    parser.add_argument("--version", action=ShowVersions, help="show versions and exit")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, parents=[common])
        if name in argv:
            module = import_module(f".commands.{name}", __package__)
            command.description = module.__doc__
            module.configure(command)
            command.set_defaults(execute=module.execute, known=[*command._option_string_actions])
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line understood. Raises UsageError where it cannot be."""
    command = next((word for word in argv if not word.startswith("-")), None)
    if command not in {*COMMANDS, None}:
        raise usage_error(f"no command '{command}'", command, COMMANDS)
    arguments, unknown = build_parser(argv).parse_known_args(argv)
    if command is None:
        raise usage_error("which command?", "", COMMANDS)
    if unknown and unknown[0].startswith("-"):
        option = unknown[0].partition("=")[0]
        raise usage_error(f"`gossamer {command}` has no option '{option}'", option, arguments.known)
    if unknown:
        raise usage_error(f"unexpected argument '{unknown[0]}'")
    arguments.line = shlex.join(["gossamer", *argv])
    return arguments


def usage_error(message: str, name: str | None = None, known: Iterable[str] = ()) -> Exception:
    """A fault of the command line; with the closest of `known` to `name` as a hint."""
    from ..dialects.diagnostics import UsageError, did_you_mean

    return UsageError(message, hint="see `gossamer --help`" if name is None else did_you_mean(name, known))


def run(argv: Sequence[str]) -> int:
    """Run one command line. Raises what went wrong."""
    arguments = parse(argv)
    code = arguments.execute(arguments)
    sys.stdout.flush()
    return code or 0


def report(error: Exception, *, debug: bool) -> int:
    """Tell the user about `error` and give the exit code: its own, where it has one."""
    code = getattr(error, "exit_code", INTERNAL_ERROR)
    if debug:
        traceback.print_exception(error)
    if code != INTERNAL_ERROR:
        print(error, file=sys.stderr)
        return code
    hint = "" if debug else "\n  hint: --debug shows the traceback"
    print(f"internal error: {type(error).__name__}: {error}\n  this is a bug in gossamer{hint}", file=sys.stderr)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code; errors are told on stderr."""
    argv = sys.argv[1:] if argv is None else argv
    debug = "--debug" in argv or bool(os.environ.get("GOSSAMER_DEBUG"))
    try:
        return run(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        return report(error, debug=debug)
