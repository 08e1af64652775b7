"""Pipelines: text, order, traces, and what a failing pass leaves behind."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from gossamer.compiler import pipeline
from gossamer.compiler.cli import main
from gossamer.compiler.context import parse_text
from gossamer.compiler.pipeline import (
    DEFAULT_PIPELINE,
    PassError,
    Trace,
    between,
    parse_passes,
    pass_text,
    pipeline_text,
    run_pipeline,
)
from gossamer.dialects.diagnostics import UsageError, UserError
from gossamer.passes import PASSES, load_pass
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects.arith import AddiOp
from xdsl.dialects.builtin import FileLineColLoc, IntAttr, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.passes import ModulePass

TEXT = """
func.func @f(%a: i32) -> i32 {
  %b = arith.addi %a, %a : i32
  %c = arith.addi %a, %a : i32
  %d = arith.muli %b, %c : i32
  func.return %d : i32
}
"""


@dataclass(frozen=True)
class Options(ModulePass):
    name = "options"
    count: int = 0
    ratio: float = 0.5
    verbose: bool = False
    word: str = "plain"
    sizes: tuple[int, ...] = ()
    limit: int | None = None
    long_name: int = 0

    def apply(self, ctx, op):
        pass


class Boom(ModulePass):
    name = "boom"

    def apply(self, ctx, op):
        raise KeyError("the pass fell over")


class Complain(ModulePass):
    name = "complain"

    def apply(self, ctx, op):
        raise UserError("your model has no such axis")


class BreakLaw(ModulePass):
    name = "break-law"

    def apply(self, ctx, op):
        for inner in list(op.walk()):
            if isinstance(inner, ReturnOp):
                inner.detach()
                inner.erase()


class Relocate(ModulePass):
    name = "relocate"

    def apply(self, ctx, op):
        for inner in op.walk():
            if isinstance(inner, AddiOp):
                inner.location = FileLineColLoc(StringAttr("model.py"), IntAttr(7), IntAttr(0))


class Rename(ModulePass):
    name = "rename"

    def apply(self, ctx, op):
        for inner in op.walk():
            if isinstance(inner, AddiOp):
                inner.result.name_hint = "sum"


class RenameArgument(ModulePass):
    name = "rename-argument"

    def apply(self, ctx, op):
        for inner in op.walk():
            if isinstance(inner, FuncOp):
                inner.args[0].name_hint = "first"


@pytest.fixture
def registered(monkeypatch):
    """Make test passes known by name."""
    own = {p.name: p for p in (Options, Boom, Complain, BreakLaw, Relocate, Rename)}
    monkeypatch.setattr(pipeline, "PASSES", {**PASSES, **dict.fromkeys(own, "")})
    monkeypatch.setattr(pipeline, "load_pass", lambda name: own.get(name) or load_pass(name))


def names(trace: Trace) -> list[str]:
    return [stage.name for stage in trace.stages]


def test_the_default_pipeline_is_made_of_passes_that_exist():
    assert [step.name for step in parse_passes(DEFAULT_PIPELINE)] == list(DEFAULT_PIPELINE)


def test_passes_run_in_order_and_each_makes_a_stage():
    trace = run_pipeline(parse_text(TEXT), "cse,dce")
    assert names(trace) == ["import", "cse", "dce"]
    assert [stage.changed for stage in trace.stages] == [True, True, False]
    assert trace.stage("import").ops["arith.addi"] == 2
    assert trace.stage("cse").ops["arith.addi"] == 1


def test_a_stage_stays_as_it_was_when_later_passes_change_the_module():
    module = parse_text(TEXT, "net.mlir")
    trace = run_pipeline(module, "cse")
    assert trace.stage("import").text.count("arith.addi") == 2
    assert 'loc("net.mlir":4:3)' in trace.stage("import").text


@pytest.mark.parametrize("step", [Relocate(), Rename(), RenameArgument()], ids=lambda step: step.name)
def test_a_pass_that_changes_only_names_or_locations_has_changed_the_module(step):
    assert run_pipeline(parse_text(TEXT), [step]).stages[-1].changed


def test_an_instance_may_stand_among_names():
    assert names(run_pipeline(parse_text(TEXT), ["cse", Options(), "dce"])) == ["import", "cse", "options", "dce"]


def test_an_empty_pipeline_leaves_the_module_as_it_is():
    module = parse_text(TEXT)
    before = module.clone()
    assert names(run_pipeline(module, "")) == ["import"]
    assert module.is_structurally_equivalent(before)


@given(
    st.builds(
        Options,
        count=st.integers(),
        ratio=st.floats(allow_nan=False, allow_infinity=False),
        verbose=st.booleans(),
        word=st.text("aZ09 _-\"\\\n=,{}'é", min_size=1),
        sizes=st.lists(st.integers(), max_size=3).map(tuple),
        limit=st.none() | st.integers(),
    )
)
def test_a_pass_is_read_back_from_its_own_text(step):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "PASSES", {"options": ""})
        patch.setattr(pipeline, "load_pass", lambda name: Options)
        (again,) = parse_passes(pass_text(step))
    assert again == step


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("csee", ["no pass 'csee'", "did you mean 'cse'?"]),
        ("cse,,dce", ["this is no pipeline"]),
        ("cse{", ["this is no pipeline"]),
        ("cse}", ["this is no pipeline"]),
        ("cse dce", ["this is no pipeline"]),
        ("§", ["this is no pipeline"]),
        ("options{cuont=1}", ["pass 'options' has no option 'cuont'", "did you mean 'count'?"]),
        ("options{count=many}", ["pass 'options'", "many"]),
        ("options{long-nmae=1}", ["did you mean 'long-name'?"]),
        ("cse{x=1}", ["pass 'cse' has no option 'x'"]),
    ],
)
def test_a_wrong_pipeline_is_a_usage_error_that_names_the_fault(registered, text, words):
    with pytest.raises(UsageError) as error:
        parse_passes(text)
    assert error.value.exit_code == 2
    assert all(word in str(error.value) for word in words), str(error.value)


def test_hyphens_and_underscores_name_the_same_option(registered):
    assert parse_passes("options{long-name=3}") == parse_passes("options{long_name=3}") == (Options(long_name=3),)


def test_a_failing_pass_leaves_a_file_that_fails_the_same_way(registered, tmp_path, capsys):
    trace = Trace(reproducers=tmp_path)
    with pytest.raises(PassError, match="pass 'boom' failed: KeyError") as error:
        run_pipeline(parse_text(TEXT), "cse,boom,dce", trace=trace)
    reproducer = error.value.reproducer
    command = reproducer.read_text().splitlines()[0].removeprefix("// RUN: ").replace("%s", str(reproducer))
    assert command == f"gossamer opt {reproducer} -p boom,dce"
    assert "the pass fell over" in reproducer.read_text().splitlines()[1]
    assert reproducer.read_text().count("arith.addi") == 1, "it holds the module as it was before the pass that failed"
    assert main(shlex.split(command)[1:]) == 70
    assert "this is a bug in gossamer" in capsys.readouterr().err


def test_a_pass_that_breaks_a_law_is_named_with_the_law(tmp_path):
    with pytest.raises(PassError) as error:
        run_pipeline(parse_text(TEXT, "net.mlir"), [BreakLaw()], trace=Trace(reproducers=tmp_path))
    assert "pass 'break-law' failed" in str(error.value)
    assert "not a terminator" in str(error.value)
    assert error.value.reproducer.exists()


def test_what_a_pass_tells_the_user_reaches_the_user(tmp_path):
    with pytest.raises(UserError, match="no such axis"):
        run_pipeline(parse_text(TEXT), [Complain()], trace=Trace(reproducers=tmp_path))
    assert not list(tmp_path.iterdir()), "a fault of the model is no bug to reproduce"


def test_reproducers_go_to_a_new_folder_by_default():
    with pytest.raises(PassError) as error:
        run_pipeline(parse_text(TEXT), [Boom()])
    assert error.value.reproducer.parent != Path.cwd()
    assert error.value.reproducer.exists()


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        ("import", None, ["cse", "dce", "canonicalize"]),
        ("cse", None, ["dce", "canonicalize"]),
        ("cse", "dce", ["dce"]),
        ("import", "import", []),
        ("dce", "dce", []),
        ("canonicalize", None, []),
    ],
)
def test_a_part_of_a_pipeline_is_what_stands_between_two_stages(start, stop, expected):
    passes = parse_passes("cse,dce,canonicalize")
    assert [step.name for step in between(passes, start, stop)] == expected


def test_a_part_needs_stages_that_exist_in_their_order():
    passes = parse_passes("cse,dce")
    with pytest.raises(UsageError, match="no stage 'dec'"):
        between(passes, "import", "dec")
    with pytest.raises(UsageError, match="stage 'cse' comes before 'dce'"):
        between(passes, "dce", "cse")


def test_an_unknown_stage_of_a_trace_is_answered_with_those_there_are():
    trace = run_pipeline(parse_text(TEXT), "cse")
    with pytest.raises(UsageError) as error:
        trace.stage("ces")
    assert "did you mean 'cse'?" in str(error.value)


class Listener:
    def __init__(self):
        self.heard = []

    def before(self, step, module, /):
        self.heard.append(f"before {step.name}")

    def after(self, stage, /):
        self.heard.append(f"after {stage.name}")


def test_watchers_hear_of_every_pass_before_and_after_it_runs():
    listeners = [Listener(), Listener()]
    run_pipeline(parse_text(TEXT), "cse,dce", trace=Trace(watchers=listeners))
    for listener in listeners:
        assert listener.heard == ["after import", "before cse", "after cse", "before dce", "after dce"]


def test_a_pipeline_as_text_names_its_passes_and_options():
    assert pipeline_text(parse_passes("cse,dce")) == "cse,dce"
    assert pipeline_text([Options(count=3, word="two words", ratio=1e-5)]) == (
        'options{count=3 ratio=1.0e-05 word="two words"}'
    )
