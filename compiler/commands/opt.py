"""Apply passes to a module's text, as mlir-opt does.

examples:
  gossamer opt net.mlir -p simplify,cse
  gossamer opt - -p 'guard-density{threshold=0.7}' --print-ir-after-change < net.mlir
  gossamer opt errors.mlir --split-input-file --verify-diagnostics
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from ...dialects.diagnostics import UserError
from ..context import combined, make_context, parse_text, print_module, read_text, remember, write_text
from ..dump import Dump
from ..expected import check_errors, each, expected_errors
from ..pipeline import Trace, parse_passes, run_pipeline
from ..terminal import print_diffs, print_timing
from ..watch import PrintIR
from .options import add_print_options

SEPARATOR = re.compile(r"^// -----.*$", re.MULTILINE)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `gossamer opt`."""
    parser.add_argument("file", nargs="?", default="-", help="a module's text; - (the default) is standard input")
    parser.add_argument("-p", "--passes", default="", metavar="PIPELINE", help="passes to apply: a,b{option=1}")
    parser.add_argument("-o", "--output", default="-", metavar="FILE", help="where to write; - is standard output")
    parser.add_argument("--print-generic", action="store_true", help="write ops in their generic form")
    parser.add_argument("--no-locations", action="store_true", help="write no locations")
    parser.add_argument("--split-input-file", action="store_true", help="treat the parts between `// -----` alone")
    parser.add_argument("--verify-diagnostics", action="store_true", help="check `expected-error {{..}}` comments")
    parser.add_argument("--allow-unregistered-dialect", action="store_true", help="accept ops of unknown dialects")
    parser.add_argument("--dump", type=Path, metavar="DIR", help="write every stage that changed into a folder")
    add_print_options(parser)


def execute(arguments: argparse.Namespace) -> None:
    """Read, apply, write."""
    name, text = read_input(arguments.file)
    passes = parse_passes(arguments.passes)
    texts: list[str] = []
    errors: list[UserError] = []
    for part in parts(text) if arguments.split_input_file else [text]:
        try:
            texts.append(transform(part, name, passes, arguments))
        except UserError as error:
            errors.extend(each(error))
    remember(name, text)
    if arguments.verify_diagnostics:
        errors = check_errors(expected_errors(text, name), errors)
    if errors:
        raise combined(errors)
    if not arguments.verify_diagnostics:
        write_output(arguments.output, "// -----\n".join(texts))


def transform(text: str, name: str, passes: tuple, arguments: argparse.Namespace) -> str:
    """One module after `passes`, as text."""
    context = make_context(allow_unregistered=arguments.allow_unregistered_dialect)
    module = parse_text(text, name, context)
    dump = Dump(arguments.dump) if arguments.dump else None
    trace = Trace(watchers=[*([dump] if dump else []), *PrintIR.asked_for(arguments)], reproducers=arguments.dump)
    try:
        run_pipeline(module, passes, trace=trace, context=context)
    finally:
        if dump:
            dump.close(trace, arguments.line)
    if arguments.print_diff:
        print_diffs(trace, sys.stderr)
    if arguments.timing:
        print_timing(trace, sys.stderr)
    return print_module(module, locations=not arguments.no_locations, generic=arguments.print_generic)


def parts(text: str) -> Iterator[str]:
    """The parts of a text between `// -----` lines, each after as many empty lines as stood before it."""
    start = 0
    for separator in SEPARATOR.finditer(text):
        yield "\n" * text.count("\n", 0, start) + text[start : separator.start()]
        start = separator.end()
    yield "\n" * text.count("\n", 0, start) + text[start:]


def read_input(file: str) -> tuple[str, str]:
    """Name and text of a file; `-` is standard input."""
    if file != "-":
        return file, read_text(file)
    try:
        return "<stdin>", sys.stdin.read()
    except UnicodeDecodeError:
        raise UserError("standard input is no text") from None


def write_output(file: str, text: str) -> None:
    """Write to a file; `-` is standard output."""
    if file == "-":
        sys.stdout.write(text)
    else:
        write_text(Path(file), text)
