"""Dumps: what is written, and that each file is an input that makes the next."""

import json
import shlex
from pathlib import Path

import pytest
from gossamer.compiler.cli import main
from gossamer.compiler.context import parse_file, parse_text, print_module
from gossamer.compiler.dump import Dump, commands
from gossamer.compiler.pipeline import PassError, Trace, between, parse_passes, run_pipeline
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects.arith import AddiOp
from xdsl.dialects.builtin import FileLineColLoc, IntAttr, ModuleOp, StringAttr, i32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region, SSAValue
from xdsl.passes import ModulePass

PIPELINE = "canonicalize,cse,dce,canonicalize,cse"
TEXT = """
func.func @f(%a: i32 loc("model.py":3:1), %m: tensor<4xi1>) -> i32 {
  %zero = arith.constant 0 : i32
  %x = arith.addi %a, %zero : i32 loc("model.py":4:5)
  %x_1 = arith.addi %a, %a : i32 loc("model.py":5:5)
  %x_2 = arith.addi %a, %a : i32
  %0 = arith.muli %x, %x_1 : i32
  %1 = arith.muli %0, %x_2 : i32
  %d = sparse.domain %m : tensor<4xi1> -> !sparse.domain<4>
  %n = aten.call "aten.add.Tensor"(%m, -0.0, "a \\"b\\"") : (tensor<4xi1>) -> tensor<4xi1>
  func.return %1 : i32
}
"""


def dump(folder: Path, *, text: str = TEXT, pipeline: str = PIPELINE, start: str = "import") -> Trace:
    passes = parse_passes(pipeline)
    files = Dump(folder)
    offset = ["import", *(step.name for step in passes)].index(start)
    trace = Trace(watchers=[files], first=start, offset=offset)
    run_pipeline(parse_text(text, "net.mlir"), between(passes, start), trace=trace)
    files.close(trace, "gossamer opt net.mlir --dump dumps")
    return trace


def stage_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.mlir"))


def test_stages_that_changed_are_written_and_numbered_by_their_position(tmp_path):
    trace = dump(tmp_path)
    changed = [f"{s.position:02d}_{s.name}.mlir" for s in trace.stages if s.changed]
    assert stage_files(tmp_path) == changed
    assert changed[0] == "00_import.mlir"
    assert 1 < len(changed) < len(trace.stages), "the test needs passes that change something and one that does not"


def test_every_dump_is_read_back_to_the_same_bytes(tmp_path):
    dump(tmp_path)
    for name in stage_files(tmp_path):
        assert print_module(parse_file(tmp_path / name)) == (tmp_path / name).read_text()


def test_opt_makes_each_dump_from_the_one_before_byte_for_byte(tmp_path, capsys):
    trace = dump(tmp_path)
    source = tmp_path / "00_import.mlir"
    for stage in trace.stages[1:]:
        capsys.readouterr()
        assert main(["opt", str(source), "-p", stage.spec]) == 0
        if stage.changed:
            source = tmp_path / f"{stage.position:02d}_{stage.name}.mlir"
        assert capsys.readouterr().out == source.read_text()


def test_the_commands_in_pipeline_txt_make_the_same_files(tmp_path, monkeypatch, capsys):
    dump(tmp_path / "first")
    second = tmp_path / "second"
    second.mkdir()
    (second / "00_import.mlir").write_bytes((tmp_path / "first/00_import.mlir").read_bytes())
    monkeypatch.chdir(second)
    lines = (tmp_path / "first/pipeline.txt").read_text().splitlines()
    assert lines[0] == "gossamer opt net.mlir --dump dumps"
    for line in lines[1:]:
        program, *argv = shlex.split(line)
        assert (program, main(argv)) == ("gossamer", 0)
    assert capsys.readouterr().out == (second / stage_files(second)[-1]).read_text(), "the second line runs all passes"
    for name in stage_files(tmp_path / "first"):
        assert (second / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


def test_two_runs_write_the_same_bytes(tmp_path):
    dump(tmp_path / "a")
    dump(tmp_path / "b")
    assert stage_files(tmp_path / "a") == stage_files(tmp_path / "b")
    for name in [*stage_files(tmp_path / "a"), "pipeline.txt"]:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_part_of_a_pipeline_keeps_the_numbers_of_the_whole(tmp_path):
    dump(tmp_path / "whole")
    names = stage_files(tmp_path / "whole")
    at = names[1]
    dump(tmp_path / "part", text=(tmp_path / "whole" / at).read_text(), start=at[3:-5])
    assert stage_files(tmp_path / "part") == names[1:]
    for name in names[1:]:
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_an_earlier_dump_is_removed_and_other_files_stay(tmp_path):
    (tmp_path / "07_old-pass.mlir").write_text("old")
    (tmp_path / "mine.mlir").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    dump(tmp_path)
    assert not (tmp_path / "07_old-pass.mlir").exists()
    assert (tmp_path / "mine.mlir").read_text() == (tmp_path / "notes.txt").read_text() == "mine"


def test_no_temporary_file_is_left(tmp_path):
    dump(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_timing_counts_the_ops_of_every_stage(tmp_path):
    trace = dump(tmp_path)
    entries = json.loads((tmp_path / "timing.json").read_text())
    assert [entry["stage"] for entry in entries] == [stage.name for stage in trace.stages]
    assert entries[0]["ops"]["arith.addi"] == 3
    assert all(entry["seconds"] >= 0 for entry in entries)


class Boom(ModulePass):
    name = "boom"

    def apply(self, ctx, op):
        raise KeyError("no")


def test_stages_before_a_failure_are_there_to_look_at(tmp_path):
    trace = Trace(watchers=[Dump(tmp_path)], reproducers=tmp_path)
    with pytest.raises(PassError):
        run_pipeline(parse_text(TEXT), ["canonicalize", Boom()], trace=trace)
    assert stage_files(tmp_path) == ["00_import.mlir", "01_canonicalize.mlir", "reproduce-boom.mlir"]


def test_commands_quote_what_a_shell_would_read():
    trace = run_pipeline(parse_text(TEXT), "cse")
    object.__setattr__(trace.stages[1], "spec", 'guard{word="a b"}')
    assert shlex.split(commands(trace).splitlines()[0])[4] == 'guard{word="a b"}'


@given(st.lists(st.from_regex(r"[xyz_](_[01]){0,3}", fullmatch=True) | st.none(), min_size=1, max_size=8))
def test_text_is_read_back_to_the_same_text_whatever_values_are_called(hints):
    block = Block(arg_types=[i32])
    value: SSAValue = block.args[0]
    for hint in hints:
        op = AddiOp(value, block.args[0])
        op.result.name_hint = hint
        block.add_op(op)
        value = op.result
    block.add_op(ReturnOp(value))
    module = ModuleOp([FuncOp("f", ([i32], [i32]), Region(block))])
    text = print_module(module)
    again = parse_text(text)
    assert again.is_structurally_equivalent(module)
    assert print_module(again) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_names_and_places_in_any_language_are_read_back(text):
    module = ModuleOp([], {"name": StringAttr(text)})
    module.location = FileLineColLoc(StringAttr(text), IntAttr(3), IntAttr(0))
    again = parse_text(print_module(module))
    assert again.attributes == module.attributes
    assert again.location == module.location


def test_bytes_that_are_no_text_stay_bytes():
    text = 'builtin.module attributes {data = "\\FF\\00"} {\n} loc(unknown)\n'
    assert print_module(parse_text(text)) == text
