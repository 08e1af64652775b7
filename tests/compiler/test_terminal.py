"""Tables, diffs and progress: colour on a terminal only."""

import io
import sys

import pytest
from gossamer.compiler.context import parse_text
from gossamer.compiler.pipeline import Trace, run_pipeline
from gossamer.compiler.terminal import is_coloured, print_diffs, print_table, print_timing, progress

TEXT = """
func.func @f(%a: i32) -> i32 {
  %b = arith.addi %a, %a : i32
  %c = arith.addi %a, %a : i32
  %d = arith.muli %b, %c : i32
  func.return %d : i32
}
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)


def trace() -> Trace:
    return run_pipeline(parse_text(TEXT, "net.mlir"), "cse,dce")


def test_colour_is_for_terminals_and_not_against_no_color(monkeypatch):
    assert is_coloured(Terminal())
    assert not is_coloured(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not is_coloured(Terminal())


def test_a_diff_is_coloured_on_a_terminal_and_plain_elsewhere():
    terminal, plain = Terminal(), io.StringIO()
    print_diffs(trace(), terminal)
    print_diffs(trace(), plain)
    assert "\x1b[31m-    %c = arith.addi" in terminal.getvalue()
    assert terminal.getvalue().replace("\x1b[31m", "").replace("\x1b[32m", "").replace("\x1b[36m", "").replace(
        "\x1b[0m", "") == plain.getvalue()  # fmt: skip
    assert "@@" in plain.getvalue()


def test_only_passes_that_change_something_have_a_diff():
    plain = io.StringIO()
    print_diffs(trace(), plain)
    assert plain.getvalue().count("+++ ") == 1


def test_a_table_keeps_words_as_they_are():
    plain = io.StringIO()
    print_table(("name", ">number"), [("[red]x[/red]", "1"), ("tensor<4x8xf32>", "22")], plain)
    assert plain.getvalue() == "name             number\n[red]x[/red]          1\ntensor<4x8xf32>      22\n"


def test_timing_ends_with_the_total():
    plain = io.StringIO()
    print_timing(trace(), plain)
    lines = [line.split() for line in plain.getvalue().splitlines()]
    assert lines[-1][0] == "total"
    assert float(lines[-1][1]) == pytest.approx(sum(float(line[1]) for line in lines[1:-1]), abs=0.11)


def test_progress_is_shown_on_a_terminal_only(monkeypatch):
    for stream, seen in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress("thinking") as show:
            show("thinking harder")
        assert bool(stream.getvalue()) == seen
