"""The checker agrees with an executor that holds real bytes, and refuses what is not a schedule."""

from dataclasses import replace

import numpy as np
import pytest
from gossamer.passes.solvers.recompute_check import ScheduleError, check
from gossamer.passes.solvers.recompute_graph import Graph, Phase, Schedule, Window
from gossamer.passes.solvers.recompute_memory import keep_all, peak
from gossamer.passes.solvers.recompute_schedule import Choice, droppable, schedule_of

from .training_steps import Builder, chain, drawn, execute


def any_choice(rng: np.random.Generator, graph: Graph) -> Choice:
    """Something to drop, something in windows, some lives that begin anew."""
    candidates = droppable(graph)
    kept = frozenset(v for v in candidates if rng.random() < rng.choice([0.0, 0.3, 0.7]))
    backward = [i for i, op in enumerate(graph.ops) if op.phase is Phase.BACKWARD]
    renewed = frozenset((v, i) for v in candidates for i in backward if v not in kept and rng.random() < 0.1)
    placed = {}
    for value in candidates:
        if graph.windows and rng.random() < 0.5:
            placed[graph.values[value].producer] = int(rng.integers(len(graph.windows)))
    return Choice(kept, placed, renewed)


@pytest.mark.parametrize("seed", range(10))
def test_checker_prediction_and_executor_agree_on_random_steps(seed):
    rng = np.random.default_rng(seed)
    for _ in range(100):
        graph = drawn(rng)
        base, schedule = keep_all(graph), schedule_of(graph, any_choice(rng, graph))
        most, results = execute(graph, schedule)
        account = check(graph, schedule)
        assert account.peak == peak(graph, schedule) == most
        assert check(graph, base).exposed == 0
        assert results == execute(graph, base)[1]
        assert account.recomputed >= account.exposed - 1e-9


def rich() -> Graph:
    """Two collectives of a group in each pass, two draws, a view."""
    b, backward = Builder(), Phase.BACKWARD
    (a,) = b.op("a", [0], [10], time=1.0)
    (t,) = b.op("start_a", [a], [10], starts=0)
    (r,) = b.op("wait_a", [t], [10], waits=0)
    (v,) = b.op("view", [r], base=r)
    (m,) = b.op("mask", [v], [3], fixed="draws from the global random stream")
    (n,) = b.op("noise", [v], [3], fixed="draws from the global random stream")
    (c,) = b.op("c", [v, m, n], [10], time=1.0)
    (g,) = b.op("grad", [c, n], [10], backward, time=1.0)
    (s,) = b.op("start_g", [g], [10], backward, starts=1)
    (w,) = b.op("weight", [a], [4], backward, time=1.0)
    (q,) = b.op("wait_g", [s], [10], backward, waits=1)
    (x,) = b.op("input", [q, v, m], [10], backward, time=1.0)
    (y,) = b.op("start_x", [x], [10], backward, starts=2)
    (z,) = b.op("wait_x", [y], [10], backward, waits=2)
    windows = tuple(Window(2.0, 1.0, "tp") for _ in range(3))
    return b.graph([w, z], windows=windows)


def at(graph: Graph, schedule: Schedule, name: str, life: int = 0) -> int:
    return next(i for i, s in enumerate(schedule.steps) if graph.ops[s.op].name == name and s.life == life)


def changed(schedule: Schedule, position: int, **fields) -> Schedule:
    steps = list(schedule.steps)
    steps[position] = steps[position]._replace(**fields)
    return Schedule(tuple(steps))


def refused(graph: Graph, schedule: Schedule, op: str, law: str, budget: int | None = None) -> None:
    with pytest.raises(ScheduleError) as error:
        check(graph, schedule, budget)
    assert error.value.op == op
    assert law in error.value.law
    assert f"'{op}'" in str(error.value)
    assert error.value.expected != error.value.found


def test_a_dropped_step_is_refused():
    graph = rich()
    schedule = schedule_of(graph, Choice(frozenset()))
    lone = at(graph, schedule, "a", 1)
    refused(graph, Schedule(schedule.steps[:lone] + schedule.steps[lone + 1 :]), "start_a", "operands are alive")
    end = at(graph, schedule, "weight")
    without = Schedule(schedule.steps[:end] + schedule.steps[end + 1 :])
    refused(graph, without, "weight", "every op runs")


def test_swapped_collectives_are_refused():
    b = Builder()
    for number in range(2):
        (started,) = b.op(f"start{number}", [0], [1], starts=number)
        b.op(f"wait{number}", [started], [1], waits=number)
    graph = b.graph(windows=(Window(1.0, 1.0, "tp"),) * 2)
    steps = keep_all(graph).steps
    swapped = Schedule(steps[2:] + steps[:2])
    refused(graph, swapped, "start0", "communications of 'tp' run in the graph's order")
    nested = Schedule((steps[0], steps[2], steps[1], steps[3]))
    refused(graph, nested, "start1", "communications of 'tp' do not overlap")
    apart = replace(graph, windows=(Window(1.0, 1.0, "tp"), Window(1.0, 1.0, "pp")))
    assert check(apart, nested).peak == 3


def test_a_collective_in_a_window_of_its_group_is_refused():
    graph = rich()
    schedule = schedule_of(graph, Choice(frozenset()))
    start, wait = at(graph, schedule, "start_a", 1), at(graph, schedule, "wait_a", 1)
    steps = [step for i, step in enumerate(schedule.steps) if i not in (start, wait)]
    inside = 1 + next(i for i, step in enumerate(steps) if graph.ops[step.op].name == "start_g")
    moved = Schedule((*steps[:inside], schedule.steps[start], schedule.steps[wait], *steps[inside:]))
    refused(graph, moved, "start_a", "do not overlap")
    waiting = Schedule(schedule.steps[: at(graph, schedule, "wait_x")])
    refused(graph, waiting, "start_x", "waited for")
    refused(graph, changed(schedule, wait, life=2), "wait_a", "a start of its own")


def test_wrong_frees_are_refused():
    graph = rich()
    schedule = schedule_of(graph, Choice(frozenset()))
    position = at(graph, schedule, "c")
    frees = schedule.steps[position].frees
    wait = graph.ops[at(graph, schedule, "wait_a")].results[0]
    assert (wait, 0) in frees
    without = changed(schedule, position, frees=tuple(free for free in frees if free != (wait, 0)))
    refused(graph, without, "wait_a", "what does not leave is given back")
    refused(graph, changed(without, at(graph, schedule, "view"), frees=((wait, 0),)), "mask", "operands are alive")
    refused(graph, changed(schedule, position, frees=(*frees, (wait, 0))), "c", "given back once")
    refused(graph, changed(schedule, position, frees=(*frees, (wait, 3))), "c", "given back once")
    refused(graph, changed(schedule, position, frees=(*frees, (0, 0))), "c", "given back once")
    end = len(schedule.steps) - 1
    kept = (graph.outputs[1], 0)
    refused(
        graph, changed(schedule, end, frees=(*schedule.steps[end].frees, kept)), "wait_x", "outputs live to the end"
    )


def test_wrong_lives_are_refused():
    graph = rich()
    schedule = schedule_of(graph, Choice(frozenset()))
    position = at(graph, schedule, "weight")
    assert schedule.steps[position].reads == (1,)
    refused(graph, changed(schedule, position, reads=(0,)), "weight", "operands are alive")
    refused(graph, changed(schedule, position, reads=(2,)), "weight", "operands are alive")
    refused(graph, changed(schedule, position, reads=()), "weight", "which life it reads")
    refused(graph, changed(schedule, 0, reads=(1,)), "a", "inputs have one life")
    refused(graph, changed(schedule, at(graph, schedule, "a", 1), life=0), "a", "each life runs once")


def test_ops_that_run_once_are_refused_a_second_time_and_out_of_order():
    graph = rich()
    schedule = keep_all(graph)
    mask, noise = at(graph, schedule, "mask"), at(graph, schedule, "noise")
    again = schedule.steps[mask]._replace(life=1, frees=((graph.ops[mask].results[0], 1),))
    refused(graph, Schedule((*schedule.steps[:noise], again, *schedule.steps[noise:])), "mask", "runs once")
    steps = list(schedule.steps)
    steps[mask], steps[noise] = steps[noise], steps[mask]
    refused(graph, Schedule(tuple(steps)), "mask", "ops that run once")


def test_one_byte_over_the_budget_is_refused():
    graph = chain(4)
    schedule = keep_all(graph)
    most = peak(graph, schedule)
    assert check(graph, schedule, most).peak == most
    with pytest.raises(ScheduleError, match=f"at most {most - 1} bytes, found {most}"):
        check(graph, schedule, most - 1)


def test_a_window_hides_no_more_than_its_room():
    graph = replace(rich(), windows=tuple(Window(2.0, 0.75, "tp") for _ in range(3)))
    account = check(graph, schedule_of(graph, Choice(frozenset())))
    # a and its collective run before grad, c in a window in which weight takes 1.0 of the room of 1.5.
    assert account.recomputed == 1.0 + 2.0 + 1.0
    assert account.exposed + account.hidden == account.recomputed


def test_nothing_hidden_is_not_less_than_nothing():
    graph = chain(3, times=(0.1, 0.7))
    account = check(graph, schedule_of(graph, Choice(frozenset())))
    assert account.exposed > account.recomputed
    assert account.hidden == 0.0
