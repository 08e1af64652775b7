"""The command line: its help, what it says of wrong lines and faults, and what it exits with."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from gossamer.compiler import cli
from gossamer.compiler.cli import COMMANDS

from .command_models import TEXT


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "examples:\n  gossamer " in out
    assert out.split("\n\n")[1].startswith(COMMANDS[command][0].upper()), "the summary and the help say the same"


def test_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(f"\n    {name} " in out for name in COMMANDS)


def test_version_names_what_gossamer_stands_on(run):
    code, out, _ = run("--version")
    assert (code, out) == (0, f"gossamer 0.1.0 (xdsl 0.74.0, torch {version('torch')})\n")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], ["which command?", "compile"]),
        (["complie"], ["no command 'complie'", "did you mean 'compile'?"]),
        (["opt", "--dmup", "x"], ["`gossamer opt` has no option '--dmup'", "did you mean '--dump'?"]),
        (["opt", "--print-ir-after-al"], ["has no option", "did you mean '--print-ir-after-all'?"]),
        (["opt", "a", "b"], ["unexpected argument 'b'"]),
        (["compile"], ["gossamer compile", "MODEL"]),
        (["list", "colours"], ["colours"]),
        (["opt", "-p"], ["expected one argument"]),
        (["run", "x.py:f", "--repeat", "often"], ["--repeat", "often"]),
        (["run", "x.py:f", "--repeat", "0"], ["--repeat 0: expected 1 or more"]),
        (["compile", "x.py:f", "-p", "csee"], ["no pass 'csee'", "did you mean 'cse'?"]),
        (["compile", "x.py:f", "-p", "cse", "--to", "cce"], ["no stage 'cce'", "did you mean 'cse'?"]),
        (["compile", "x.py:f", "-p", "cse", "--from", "cse"], ["starts at 'import'"]),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_says_why(run, argv, words):
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert all(word in err for word in words), err


class BrokenError(Exception):
    pass


def broken(arguments):
    raise BrokenError("wires crossed")


def test_a_fault_of_ours_exits_with_70_and_asks_for_no_traceback(run, net, monkeypatch):
    monkeypatch.setattr("gossamer.compiler.commands.opt.read_input", broken)
    code, _, err = run("opt", net)
    assert code == 70
    assert err == (
        "internal error: BrokenError: wires crossed\n  this is a bug in gossamer\n  hint: --debug shows the traceback\n"
    )


@pytest.mark.parametrize("how", ["flag before", "flag after", "environment"])
def test_a_traceback_is_shown_when_asked_for(run, net, monkeypatch, how):
    monkeypatch.setattr("gossamer.compiler.commands.opt.read_input", broken)
    if how == "environment":
        monkeypatch.setenv("GOSSAMER_DEBUG", "1")
    argv = {"flag before": ["--debug", "opt", net], "flag after": ["opt", net, "--debug"]}.get(how, ["opt", net])
    code, _, err = run(*argv)
    assert code == 70
    assert "Traceback" in err
    assert "in broken" in err


def test_an_interrupt_exits_with_130_and_says_nothing(run, model):
    assert run("compile", f"{model}:interrupts") == (130, "", "")


def test_nobody_reading_the_output_is_no_error(net):
    net.write_text("\n".join(TEXT.replace("@f", f"@f{i}") for i in range(500)))
    command = [sys.executable, "-m", "gossamer", "opt", str(net)]
    pipe, environment = subprocess.PIPE, {**os.environ, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == cli.BROKEN_PIPE


def test_xdsl_opt_knows_our_dialects_and_passes(net):
    net.write_text('aten.call "f"(1) : () -> ()\nfunc.func @f(%d: !sparse.domain<4>) { func.return }\n')
    program = Path(sys.executable).with_name("xdsl-opt")
    done = subprocess.run([program, net, "-p", "simplify"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "!sparse.domain<4>" in done.stdout
