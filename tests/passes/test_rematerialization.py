"""A schedule put into a program is what the program says, what the checker checks, and what runs, to the byte."""

import random

import pytest
import torch
from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.pipeline import run_pipeline
from gossamer.compiler.step_costs import metered
from gossamer.dialects.diagnostics import UserError
from gossamer.dialects.remat import LIFE, NAME, OF, FreeOp, is_recomputation
from gossamer.dialects.tier import Link, set_link
from gossamer.passes.rematerialization import apply_schedule, keep_everything
from gossamer.passes.solvers.recompute_check import ScheduleError, check
from gossamer.passes.solvers.recompute_graph import Schedule, Step
from gossamer.passes.solvers.recompute_memory import keep_all, live_bytes
from gossamer.passes.solvers.recompute_moves import movable
from gossamer.passes.solvers.recompute_schedule import Choice, droppable, schedule_of
from gossamer.runtime.executor import Program
from gossamer.tests.passes.step_programs import module, read, step_of, written
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr, i64

X = torch.randn(4, 8)


def scheduled(schedule: Schedule) -> ModuleOp:
    """The program by hand under a schedule."""
    program = module()
    apply_schedule(step_of(program), read(program), schedule)
    program.verify()
    return program


def nothing_kept() -> Schedule:
    return schedule_of(read(module()).graph, Choice(frozenset()))


def test_recomputations_stand_where_the_schedule_has_them():
    assert written(read(module())) == "a.0  b.0  v.0  s.0  c.0 -b.0  d.0 -a.0 -c.0"
    expected = "a.0  b.0 -a.0  v.0  s.0 -b.0  a.1  b.1  c.0 -b.1  d.0 -a.1 -c.0"
    assert written(read(scheduled(nothing_kept()))) == expected


def test_a_recomputation_names_its_op_and_reads_the_lives_it_should():
    ops = {op.results[0].name_hint: op for op in step_of(scheduled(nothing_kept())).body.block.ops if op.results}
    again = [op for op in step_of(scheduled(nothing_kept())).body.block.ops if is_recomputation(op)]
    assert [op.attributes[OF] for op in again] == [StringAttr("a"), StringAttr("b")]
    assert all(op.attributes[LIFE] == IntegerAttr(1, i64) for op in again)
    assert again[1].operands[0] is again[0].results[0]
    assert [NAME in op.attributes for op in ops.values()].count(True) <= 2


def test_results_are_the_same():
    with torch.no_grad():
        expected = Program.build(module(), {}, "step")([X])
        found = Program.build(scheduled(nothing_kept()), {}, "step")([X])
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def random_schedules() -> list[Schedule]:
    graph, draw = read(module()).graph, random.Random(0)
    return [schedule_of(graph, Choice(frozenset(v for v in droppable(graph) if draw.random() < 0.5))) for _ in range(4)]


@pytest.mark.parametrize("schedule", random_schedules())
def test_every_moment_of_the_run_has_the_bytes_of_the_schedule(schedule):
    program = scheduled(schedule)
    assert read(program).schedule == schedule
    meter = metered(program, {}, [X])
    assert [most for _, most in meter.peaks] == live_bytes(read(module()).graph, schedule)
    assert meter.peak == check(read(module()).graph, schedule).peak


def test_the_text_reads_back_as_the_same_schedule():
    text = print_module(scheduled(nothing_kept()))
    assert read(parse_text(text)).schedule == nothing_kept()


def held_longer() -> Schedule:
    """Everything kept, and given back only after the last step."""
    base = keep_all(read(module()).graph).steps
    *steps, last = (Step(step.op, step.life, step.reads) for step in base)
    frees = tuple(sorted(storage for step in base for storage in step.frees))
    return Schedule((*steps, Step(last.op, last.life, last.reads, frees)))


def test_what_is_held_beyond_its_last_reader_goes_at_a_free():
    program = scheduled(held_longer())
    assert [op for op in program.walk() if isinstance(op, FreeOp)]
    assert read(program).schedule == held_longer()
    graph = read(module()).graph
    assert [most for _, most in metered(program, {}, [X]).peaks] == live_bytes(graph, held_longer())
    text = print_module(program)
    assert print_module(parse_text(text)) == text


def test_what_is_read_later_is_not_given_back():
    base = keep_all(read(module()).graph)
    first = next(storage for step in base.steps for storage in step.frees)
    early = [Step(s.op, s.life, s.reads, tuple(f for f in s.frees if f != first)) for s in base.steps]
    early[1] = Step(early[1].op, 0, early[1].reads, (first,))
    with pytest.raises(ScheduleError):
        check(read(module()).graph, Schedule(tuple(early)))
    with pytest.raises(UserError, match=r"gives back what 'b' made \(life 0\) after 'b', but 'c' reads it"):
        scheduled(Schedule(tuple(early)))


def test_keeping_everything_again_undoes_it():
    program = scheduled(nothing_kept())
    keep_everything(step_of(program))
    assert read(program).schedule == read(module()).schedule
    held = scheduled(held_longer())
    keep_everything(step_of(held))
    assert read(held).schedule == read(module()).schedule


@pytest.mark.parametrize("passes", ["simplify", "cse", "dce", "canonicalize"])
def test_no_pass_takes_a_recomputation_for_its_op(passes):
    program = scheduled(nothing_kept())
    run_pipeline(program, passes)
    again = [op for op in program.walk() if is_recomputation(op)]
    assert len(again) == 2
    assert read(program).schedule == nothing_kept()


REFUSED = {
    "another op": ('aten.sin.default"(%a_1)', 'aten.cos.default"(%a_1)', "this is no recomputation of 'b'"),
    "another operand": ('aten.sin.default"(%a_1)', 'aten.sin.default"(%x)', "this is no recomputation of 'b'"),
    "no such op": ('remat.of = "a"', 'remat.of = "q"', "names an op above it and a life from 1 on, got 'q' and 1"),
    "no life": ("remat.life = 1 : i64", "remat.life = 0 : i64", "a life from 1 on, got 'a' and 0"),
    "two of one name": ('remat.name = "b"', 'remat.name = "a"', "two ops are called 'a'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_recomputation_is_refused(case):
    old, new, message = REFUSED[case]
    text = print_module(scheduled(nothing_kept()))
    assert old in text, text
    with pytest.raises(UserError, match=message):
        read(parse_text(text.replace(old, new)))


LINK = Link("FOLDER", 1e9, 1e9, 1e-6, 1.0)


def moved(folder: str = "FOLDER") -> tuple[ModuleOp, Schedule]:
    """The program by hand, both of its storages away for a while, and the schedule that it should be."""
    program = module()
    set_link(step_of(program), LINK._replace(place=folder))
    training = read(program)
    choice = Choice(frozenset(), moved=movable(training.graph))
    schedule = schedule_of(training.graph, choice)
    check(training.graph, schedule)
    apply_schedule(step_of(program), training, schedule)
    program.verify()
    return program, schedule


def test_what_moves_is_offloaded_and_fetched_where_the_schedule_has_it(tmp_path):
    program, schedule = moved(str(tmp_path))
    assert len(schedule.moves) == 2
    assert read(program).schedule == schedule
    text = print_module(program)
    assert read(parse_text(text)).schedule == schedule
    assert text.count("tier.fetched") == 2
    assert text.index("tier.offloaded") < text.index("tier.fetch ")
    meter = metered(program, {}, [X])
    assert meter.peak == check(read(program).graph, schedule).peak
    with torch.no_grad():
        expected = Program.build(module(), {}, "step")([X])
        found = Program.build(program, {}, "step")([X])
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    run_pipeline(program, "simplify,cse,dce,canonicalize")
    assert read(program).schedule == schedule


def test_keeping_everything_again_undoes_moves():
    program, _ = moved()
    keep_everything(step_of(program))
    assert read(program).schedule == read(module()).schedule
    assert "tier.of" not in print_module(program)


def test_moves_between_two_ops_stand_in_order():
    lines = print_module(moved()[0]).splitlines(keepends=True)
    fetch = next(line for line in lines if "tier.fetch %0" in line)
    lines.remove(fetch)
    lines.insert(next(at for at, line in enumerate(lines) if "tier.offloaded %1" in line), fetch)
    with pytest.raises(UserError, match=r"tier\.offloaded stands after tier\.fetch between the same two ops"):
        read(parse_text("".join(lines)))
