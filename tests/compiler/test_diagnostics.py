"""What users are told about texts and files that are at fault."""

import contextlib
import os
import random

import pytest
from gossamer.compiler.cli import main
from gossamer.compiler.context import parse_file, parse_text, print_module, verify
from gossamer.compiler.expected import check_errors, each, expected_errors
from gossamer.dialects.diagnostics import CombinedError, Place, UserError
from xdsl.dialects.builtin import FileLineColLoc, UnknownLoc

TEXT = """builtin.module {
  aten.weight parameter @w : tensor<4xf32> digest "00"
  func.func @f(%x: tensor<?x4xf32, #aten.dims<"s0", 4>> {aten.name = "x"}, %m: tensor<?xi1>) -> tensor<?x4xf32> {
    %w = aten.parameter @w : tensor<4xf32>
    %y = aten.call "aten.add.Tensor"(%x, %w, alpha = -0.0) : (tensor<?x4xf32, #aten.dims<"s0", 4>>, tensor<4xf32>) -> tensor<?x4xf32>
    %d = sparse.domain %m : tensor<?xi1> -> !sparse.domain<"s0"> loc("model.py":41:9)
    %c = sparse.gather %y[%d] "i a" : tensor<?x4xf32>, !sparse.domain<"s0"> -> tensor<?x4xf32>
    func.return %y : tensor<?x4xf32>
  }
}
"""  # noqa: E501


def fault(text: str) -> UserError:
    with pytest.raises(UserError) as error:
        parse_text(text, "net.mlir")
    return error.value


def test_ops_without_a_location_get_the_place_where_they_stand():
    module = parse_text(TEXT, "net.mlir")
    locations = {op.name: op.location for op in module.walk()}
    domain, gather = locations["sparse.domain"], locations["sparse.gather"]
    assert isinstance(domain, FileLineColLoc)
    assert isinstance(gather, FileLineColLoc)
    assert (domain.filename.data, domain.line.data, domain.column.data) == ("model.py", 41, 9)
    assert (gather.filename.data, gather.line.data, gather.column.data) == ("net.mlir", 7, 5)


def test_a_location_that_is_said_to_be_unknown_stays_unknown():
    module = parse_text('aten.call "f"(1) : () -> () loc(unknown)')
    assert [type(op.location) for op in module.ops] == [UnknownLoc]


def test_an_error_shows_place_line_and_caret():
    error = fault(TEXT.replace("-> tensor<?x4xf32>\n    func.return", "-> tensor<?x5xf32>\n    func.return"))
    first, line, caret, *_ = str(error).splitlines()
    assert first.startswith('net.mlir:7:5: error: sparse.gather: layout "i a" makes tensor<?x4xf32>')
    assert line.startswith("    7 |     %c = sparse.gather")
    assert caret == "      |     ^"


def test_a_broken_law_is_told_at_the_text_and_with_the_models_line():
    error = fault(TEXT.replace('!sparse.domain<"s0"> loc', '!sparse.domain<"s0", 4> loc').replace(
        ', !sparse.domain<"s0"> -> ', ', !sparse.domain<"s0", 4> -> '))  # fmt: skip
    assert error.place == Place("net.mlir", 6, 5)
    assert error.details == ("from model.py:41:9",)


def test_every_broken_law_is_told_at_once():
    error = fault("""
        func.func @f(%m: tensor<4xi1>, %x: tensor<4x8xf32>) {
          %d = sparse.domain %m : tensor<4xi1> -> !sparse.domain<4, 4>
          %e = sparse.domain %m : tensor<4xi1> -> !sparse.domain<4>
          %c = sparse.gather %x[%e] "i a" : tensor<4x8xf32>, !sparse.domain<4> -> tensor<?x7xf32>
          %v, %i = aten.call "topk"(%x) : (tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xi64>)
          func.return
        }""")
    assert isinstance(error, CombinedError)
    assert [e.place and e.place.line for e in error.errors] == [3, 5, 6]
    assert str(error).count("error:") == 3


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("sparse.gather", "sparse.gahter", (7, 10), ["no op 'sparse.gahter'", "did you mean 'sparse.gather'?"]),
        ("sparse.gather", "sprase.gather", (7, 10), ["no op 'sprase.gather'", "did you mean 'sparse'?"]),
        ("func.return %y", "func.return %z", (8, 17), ["%z is not defined", "known: "]),
        ("(%x, %w,", "(%x, %w", (5, 45), ["expected"]),
        ('digest "00"', 'digest "00', (2, 51), ["this string is not closed on its line"]),
        ("tensor<?xi1> ->", "tensor<?xi1 ->", (6, 41), ["expected"]),
        ("-0.0", "§", (5, 54), ["unexpected character"]),
        ('"s0"> loc', "1, 2, 3, 4, 5> loc", (6, 5), ["a domain selects over 1 to 4 axes, got 5"]),
    ],
)
def test_a_mistake_is_found_where_it_is(old, new, place, words):
    assert old in TEXT
    error = fault(TEXT.replace(old, new, 1))
    assert error.place == Place("net.mlir", *place)
    assert all(word.lower() in str(error).lower() for word in words), str(error)


def test_all_undefined_values_are_told_at_once():
    error = fault("func.func @f() {\n  func.return %a, %b : i32, i32\n}")
    assert isinstance(error, CombinedError)
    assert [e.message for e in error.errors] == ["%a is not defined", "%b is not defined"]


def test_a_value_is_used_after_it_is_defined():
    error = fault("""
        func.func @f() -> i32 {
          %b = arith.addi %a, %a : i32
          %a = arith.constant 1 : i32
          func.return %b : i32
        }""")
    assert "%a is used where it is not defined yet" in str(error)
    assert error.place == Place("net.mlir", 3, 11)


def test_a_value_is_not_used_outside_the_region_that_defines_it():
    module = parse_text("""
        func.func @f(%p: i1, %x: i32) -> i32 {
          %r = scf.if %p -> (i32) {
            %inner = arith.addi %x, %x : i32
            scf.yield %inner : i32
          } else {
            scf.yield %x : i32
          }
          %s = arith.addi %r, %r : i32
          func.return %s : i32
        }""")
    inner, add = [op for op in module.walk() if op.name == "arith.addi"]
    add.operands = (inner.results[0], inner.results[0])
    with pytest.raises(UserError, match="%inner is used where it is not defined yet"):
        verify(module)


@pytest.mark.parametrize(
    "text",
    ["", " \n\t", "// only a comment", "\0", "}", "%", '"', '"' + "a" * 200, "@f", "#", "!", "loc", "\ufeff", "é",
     "[" * 5000, '"aten.call"() <{template = #aten.template<(' + "[" * 5000, "func.func @f() {", "%a = ", "1",
     "builtin.module", "func.func", "aten.call", 'aten.call "f"', "-" * 300],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_text_that_is_no_module_is_one_located_error(text):
    error = fault(text)
    assert error.exit_code == 1
    assert error.place is not None
    assert error.place.file == "net.mlir"
    assert "error:" in str(error)


def test_damaged_text_is_a_located_error_or_a_module():
    source = random.Random()
    seed = source.randrange(10**9)
    source.seed(seed)
    pieces = ['"', "<", ">", "(", ")", "{", "}", "%", "@", "#", "!", "loc", "->", ":", ",", "=", "0", "-", "x", "é", ""]
    for _ in range(150):
        start = source.randrange(len(TEXT))
        end = min(len(TEXT), start + source.choice([0, 1, 2, 5, len(TEXT)]))
        text = TEXT[:start] + source.choice(pieces) + TEXT[end:]
        with contextlib.suppress(UserError):
            print_module(parse_text(text, "net.mlir"))
            continue
        places = [error.place for error in each(fault(text))]
        assert all(place and place.file == "net.mlir" for place in places), f"seed {seed}"


def run(capsys, *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_missing_file_is_named_with_its_nearest_neighbour(tmp_path, capsys):
    (tmp_path / "module.mlir").write_text(TEXT)
    code, _, err = run(capsys, "opt", str(tmp_path / "modul.mlir"))
    assert (code, err) == (1, f"error: {tmp_path}/modul.mlir: no such file\n  hint: did you mean 'module.mlir'?\n")


def test_a_file_in_a_missing_folder_is_just_missing(tmp_path, capsys):
    code, _, err = run(capsys, "opt", str(tmp_path / "no/net.mlir"))
    assert (code, err) == (1, f"error: {tmp_path}/no/net.mlir: no such file\n")


def test_a_folder_is_not_a_file(tmp_path, capsys):
    code, _, err = run(capsys, "opt", str(tmp_path))
    assert (code, err) == (1, f"error: {tmp_path}: this is a folder, not a file\n")


def test_binary_data_is_no_text(tmp_path, capsys):
    (tmp_path / "net.mlir").write_bytes(b"\x7fELF\x02\xff\xfe")
    code, _, err = run(capsys, "opt", str(tmp_path / "net.mlir"))
    assert (code, err) == (1, f"error: {tmp_path}/net.mlir: this is no text: byte 5 is no UTF-8\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_cannot_be_read(tmp_path, capsys):
    (tmp_path / "net.mlir").write_text(TEXT)
    (tmp_path / "net.mlir").chmod(0)
    code, _, err = run(capsys, "opt", str(tmp_path / "net.mlir"))
    assert (code, err) == (1, f"error: {tmp_path}/net.mlir: cannot be read: permission denied\n")


def test_an_output_that_cannot_be_written_leaves_nothing(tmp_path, capsys):
    (tmp_path / "net.mlir").write_text(TEXT)
    (tmp_path / "out").mkdir()
    code, _, err = run(capsys, "opt", str(tmp_path / "net.mlir"), "-o", str(tmp_path / "out"))
    assert (code, err) == (1, f"error: {tmp_path}/out: cannot be written: is a directory\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.mlir", "out"]


def test_a_file_that_is_read_again_shows_its_new_lines(tmp_path):
    path = tmp_path / "net.mlir"
    for name in ("first", "second"):
        path.write_text(f"{name}.op")
        with pytest.raises(UserError) as error:
            parse_file(path)
        assert f"1 | {name}.op" in str(error.value)


EXPECTATIONS = """
// expected-error @below {{one}}
a
b // expected-error {{two}}
// expected-error @above {{three}} expected-error @+2 {{four}}

c
// expected-error @-3 {{five}}
"""


def test_comments_name_the_lines_on_which_errors_are_expected():
    found = expected_errors(EXPECTATIONS, "f")
    assert [(e.place.line, e.text) for e in found] == [(3, "one"), (4, "two"), (4, "three"), (7, "four"), (5, "five")]


def test_errors_that_come_and_those_expected_must_be_the_same():
    expected = expected_errors("x // expected-error {{broken}}", "f")
    error = UserError("it is broken", place=Place("f", 1, 3))
    assert check_errors(expected, [error]) == []
    (missing,) = check_errors(expected, [])
    assert missing.message == "expected error 'broken' did not come"
    assert len(check_errors(expected, [error, error])) == 1, "one comment stands for one error"
    for other in (
        UserError("it is broken", place=Place("f", 2)),
        UserError("fine", place=Place("f", 1)),
        UserError("broken"),
    ):
        assert len(check_errors(expected, [other])) == 2
