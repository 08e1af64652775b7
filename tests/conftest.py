"""Text tests: every `// RUN:` line of `ir/**/*.mlir` is a test, run in this process.

    // RUN: gossamer opt %s -p simplify --no-locations | filecheck %s --check-prefix=SIMPLE
    // RUN: gossamer opt %s --print-generic | gossamer opt - | filecheck %s
    // RUN: not gossamer opt %s 2>&1 | filecheck %s
    // RUN: gossamer opt %s --no-locations | golden

`golden` wants the whole output to be what follows the `// GOLDEN:` line; `pytest --update-golden` writes it there.
"""

import contextlib
import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filecheck.finput import FInput
from filecheck.matcher import Matcher
from filecheck.options import parse_argv_options
from filecheck.parser import Parser, pattern_for_opts
from gossamer.compiler.cli import main

if TYPE_CHECKING:
    from gossamer.tests.ranks import Ranks

RUN = re.compile(r"^//\s*RUN:\s*(.*)$")
GOLDEN = "// GOLDEN:\n"

RATES = {"flops": 1e10, "bandwidth": 1e10, "call": 1e-7, "sequence": 1e-6}
"""A machine on which small programs are packed: what tests see is decided by it, not by the machine they run on."""


SKIPS = {"weights": 1e8, "start_k": 0.4, "copy_k": 4.0, "start_n": 0.0, "copy_n": 1.5}
"""Memory so slow that small products gain by skipping, too."""


@pytest.fixture(autouse=True, scope="session")
def same_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is measured, and nothing is read from or written to the user's cache."""
    from gossamer.compiler import machine

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(machine, "measure", lambda: RATES)
        patch.setattr(machine, "measure_skips", lambda: SKIPS)
        machine.rates.cache_clear()
        machine.skip_rates.cache_clear()
        yield


@pytest.fixture(scope="session")
def guessed_tanh(same_machine: None) -> None:
    """Only where torch's tanh has the bits that kernels guess: for other builds and processors the library has other
    code, which a step calls, and there is no guess to test."""
    from gossamer.compiler.exact_primitives import exact_guesses

    if "aten.tanh.default" not in exact_guesses():
        pytest.skip("torch's tanh has other bits on this machine, so nothing is guessed")


@pytest.fixture(scope="session")
def library_tanh(same_machine: None) -> None:
    """Only where torch's tanh is a library's that kernels can call; elsewhere a step leaves it to torch."""
    from gossamer.compiler.exact_primitives import exact_primitives

    if "aten.tanh.default" not in exact_primitives():
        pytest.skip("torch's tanh is not one that kernels can call")


@pytest.fixture(scope="session")
def exact_loss(same_machine: None) -> None:
    """Only where torch's softmax calls the exponential that the kernel of a cross entropy has: builds without SLEEF,
    and processors for which it has other code, do not, and a step leaves the loss to torch."""
    from gossamer.compiler.exact_cross_entropy import exact_cross_entropy

    if not exact_cross_entropy():
        pytest.skip("torch's exponential has other bits on this machine, so the kernel is not used")


@pytest.fixture(scope="session")
def elided_caches(same_machine: None) -> None:
    """Only where attention has the same bits wherever keys and values lie: a library may choose its code by strides,
    and then a step copies them as eager does."""
    from gossamer.compiler.exact_attention import exact_attention

    if not exact_attention():
        pytest.skip("attention has other bits on this machine where keys and values lie otherwise")


@pytest.fixture(scope="session")
def ranks() -> Iterator["Ranks"]:
    """Two processes that are a gloo group."""
    from gossamer.tests.ranks import Ranks

    with Ranks() as started:
        yield started


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what `golden` tests print as what they expect")


def pytest_collect_file(parent: pytest.Collector, file_path: Path) -> pytest.Collector | None:
    return MlirFile.from_parent(parent, path=file_path) if file_path.suffix == ".mlir" else None


class MlirFile(pytest.File):
    """A file with RUN lines."""

    def collect(self):
        for number, line in enumerate(self.path.read_text().splitlines(), 1):
            if run := RUN.match(line):
                yield MlirTest.from_parent(self, name=f"line {number}", command=run[1])


class TextMismatchError(Exception):
    """A command failed, or printed something else than the file expects."""


class MlirTest(pytest.Item):
    """One RUN line."""

    def __init__(self, *, command: str, **options):
        super().__init__(**options)
        self.command = command

    def runtest(self) -> None:
        text = ""
        for words in pipe(self.command):
            match [w.replace("%s", str(self.path)) for w in words]:
                case ["filecheck", *options]:
                    check(["filecheck", *options], text)
                case ["golden"]:
                    self.compare(text)
                case words:
                    text = gossamer(words, text)

    def compare(self, text: str) -> None:
        """`text` must be what the file holds after its GOLDEN line."""
        golden = "".join(f"// {line}".rstrip() + "\n" for line in text.splitlines())
        head, mark, expected = self.path.read_text().partition(GOLDEN)
        if self.config.getoption("--update-golden"):
            self.path.write_text(f"{head}{mark or GOLDEN}{golden}")
        elif golden != expected:
            raise TextMismatchError(f"expected\n{expected}\ngot\n{golden}\nhint: --update-golden writes it")

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, TextMismatchError):
            return f"{self.command}\n{excinfo.value}"
        return super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, int(self.name.split()[1]) - 1, f"{self.path.name}: {self.command}"


def pipe(command: str) -> list[list[str]]:
    """`a b | c` -> [[a, b], [c]]"""
    words = shlex.shlex(command, posix=True, punctuation_chars="|")
    words.whitespace_split = True
    stages: list[list[str]] = [[]]
    for word in words:
        if word == "|":
            stages.append([])
        else:
            stages[-1].append(word)
    return stages


def gossamer(words: list[str], stdin: str) -> str:
    """Run `[not] gossamer .. [2>&1]` on `stdin` and give what it writes."""
    fails, merged = words[0] == "not", words[-1] == "2>&1"
    out, err = io.StringIO(), io.StringIO()
    argv = [w for w in words[1 + fails :] if w != "2>&1"]
    before, sys.stdin = sys.stdin, io.StringIO(stdin)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out if merged else err):
            code = main(argv)
    finally:
        sys.stdin = before
    if bool(code) != fails:
        raise TextMismatchError(f"exit code {code}\n{err.getvalue()}\n{out.getvalue()}")
    return out.getvalue()


def check(argv: list[str], text: str) -> None:
    """Match `text` against the CHECK lines of a file."""
    options = parse_argv_options(argv)
    with open(options.match_filename) as file:
        matcher = Matcher(options, FInput("<output>", text), Parser(options, file, *pattern_for_opts(options)))
        matcher.stderr = io.StringIO()
        if matcher.run():
            raise TextMismatchError(f"{matcher.stderr.getvalue()}\n--- output ---\n{text}")
