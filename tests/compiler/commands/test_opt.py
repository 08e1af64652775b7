"""`gossamer opt`: passes over text, and what it shows of them."""

import pytest
from gossamer.compiler.context import parse_file, parse_text

from ..command_models import TEXT, headings


def test_opt_reads_standard_input_and_writes_standard_output(run):
    code, out, _ = run("opt", "-", "-p", "cse", stdin=TEXT)
    assert code == 0
    assert 'loc("<stdin>":3:3)' in out
    assert parse_text(out).is_structurally_equivalent(parse_text(run("opt", "-p", "cse", stdin=TEXT)[1]))
    assert out.count("arith.addi") == 1


def test_opt_writes_a_file(run, net, tmp_path):
    code, out, _ = run("opt", net, "-o", tmp_path / "new/out.mlir")
    assert (code, out) == (0, "")
    assert parse_file(tmp_path / "new/out.mlir").is_structurally_equivalent(parse_text(TEXT))


def test_opt_leaves_locations_away_or_writes_generic_ops(run, net):
    assert "loc(" in run("opt", net)[1]
    assert "loc(" not in run("opt", net, "--no-locations")[1]
    assert '"arith.addi"(%a, %a)' in run("opt", net, "--print-generic")[1]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ([], []),
        (["--print-ir-after-all"], ["after cse", "after dce"]),
        (["--print-ir-after-change"], ["after cse"]),
        (["--print-ir-after=dce"], ["after dce"]),
        (["--print-ir-after"], ["after cse", "after dce"]),
        (["--print-ir-before=dce"], ["before dce"]),
        (["--print-ir-before", "--print-ir-after=cse"], ["before cse", "after cse", "before dce"]),
    ],
)
def test_opt_shows_the_ir_around_the_passes_that_were_asked_for(run, net, options, shown):
    code, _, err = run("opt", net, "-p", "cse,dce", *options)
    assert code == 0
    assert headings(err) == [f"IR dump {what}" for what in shown]


def test_opt_shows_what_each_pass_changed(run, net):
    _, _, err = run("opt", net, "-p", "cse,dce", "--print-diff", "--no-locations")
    assert "--- import\n+++ cse\n" in err
    assert "\n-    %c = arith.addi %a, %a" in err
    assert "+++ dce" not in err
    assert "\x1b" not in err, "no colour where there is no terminal"


def test_opt_times_passes_and_counts_ops(run, net):
    _, _, err = run("opt", net, "-p", "cse,dce", "--timing")
    lines = [line.split() for line in err.splitlines()]
    assert [line[0] for line in lines] == ["pass", "cse", "dce", "total"]
    assert lines[1][3:] == ["arith.addi", "-1"]
    assert not any(line.endswith(" ") for line in err.splitlines())


SPLIT = """func.func @a() { func.return }
// -----
func.func @b() { func.return }
"""


def test_opt_treats_the_parts_of_a_file_alone(run):
    code, out, _ = run("opt", "--split-input-file", "--no-locations", stdin=SPLIT)
    assert code == 0
    first, second = out.split("// -----\n")
    assert "@a" in first
    assert "@b" in second
    assert "@b" not in first


def test_opt_reports_the_errors_of_all_parts_at_their_lines(run):
    code, out, err = run(
        "opt", "--split-input-file", stdin="a.b\n// -----\nfunc.func @b() { func.return }\n// -----\nc.d"
    )
    assert (code, out) == (1, "")
    assert [line for line in err.splitlines() if "error" in line] == [
        "<stdin>:1:1: error: no op 'a.b'",
        "<stdin>:5:1: error: no op 'c.d'",
    ]
    assert "    5 | c.d" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.b // expected-error {{no op 'a.b'}}", ""),
        ("// expected-error @below {{no op}}\na.b", ""),
        ("a.b", "unexpected error: no op 'a.b'"),
        ("a.b // expected-error {{another}}", "unexpected error: no op 'a.b'"),
        ("func.func @f() { func.return } // expected-error {{something}}", "expected error 'something' did not come"),
        ("// expected-error {{no op}}\n\na.b", "expected error 'no op' did not come"),
    ],
)
def test_opt_checks_the_errors_that_a_file_expects(run, text, message):
    code, out, err = run("opt", "--verify-diagnostics", stdin=text)
    assert (code, out) == (int(bool(message)), "")
    assert message in err


def test_opt_accepts_unknown_dialects_when_told_to(run):
    text = '"my.op"() {a = 1 : i32} : () -> ()'
    assert run("opt", stdin=text)[0] == 1
    code, out, _ = run("opt", "--allow-unregistered-dialect", "--no-locations", stdin=text)
    assert code == 0
    assert text in out


def test_opt_dumps_stages(run, net, tmp_path):
    assert run("opt", net, "-p", "cse,dce", "--dump", tmp_path / "dumps")[0] == 0
    assert sorted(path.name for path in (tmp_path / "dumps").iterdir()) == [
        "00_import.mlir", "01_cse.mlir", "pipeline.txt", "timing.json",
    ]  # fmt: skip
