"""What is not kept runs again, as late as possible."""

from dataclasses import replace

from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_graph import Graph, Phase, Schedule, Window
from gossamer.passes.solvers.recompute_memory import keep_all
from gossamer.passes.solvers.recompute_schedule import Choice, droppable, schedule_of

from .training_steps import Builder, chain


def names(graph: Graph, schedule: Schedule) -> str:
    return " ".join(graph.ops[step.op].name + "'" * step.life for step in schedule.steps)


def test_everything_kept_is_the_base_schedule():
    graph = chain(3)
    assert schedule_of(graph, Choice(frozenset(droppable(graph)))) == keep_all(graph)


def test_what_is_dropped_runs_again_just_before_its_reader():
    graph = chain(3, sizes=(4,), times=(1.0,))
    schedule = schedule_of(graph, Choice(frozenset({1})))
    assert names(graph, schedule) == "f0.0 f1.0 f2.0 f1.0' f2.0' b2.0 b1.0 b0.0"
    assert schedule_of(graph, Choice(frozenset({1, 3}))).steps[3].op == 1


def test_a_life_ends_where_the_next_is_asked_for():
    b, backward = Builder(), Phase.BACKWARD
    (x,) = b.op("x", [0], [10])
    (p,) = b.op("p", [x], [1], backward)
    (q,) = b.op("q", [p], [30], backward)
    (r,) = b.op("r", [q, x], [1], backward)
    graph = b.graph([r])
    once = schedule_of(graph, Choice(frozenset()))
    twice = schedule_of(graph, Choice(frozenset(), renewed=frozenset({(x, 3)})))
    assert names(graph, once) == "x x' p q r"
    assert names(graph, twice) == "x x' p q x'' r"
    assert [check(graph, schedule).peak for schedule in (once, twice)] == [41, 41]
    wide = replace(graph, values=(*graph.values[:2], replace(graph.values[2], size=50), *graph.values[3:]))
    assert check(wide, schedule_of(wide, Choice(frozenset(), renewed=frozenset({(x, 3)})))).peak == 80


def test_views_are_made_again_with_their_base_and_fixed_ops_are_not():
    b, backward = Builder(), Phase.BACKWARD
    (x,) = b.op("x", [0], [10])
    (v,) = b.op("view", [x], base=x)
    (m,) = b.op("mask", [v], [1], fixed="draws from the global random stream")
    (w,) = b.op("other", [x], base=x)
    (g,) = b.op("g", [m], [1], backward)
    (h,) = b.op("h", [w, g], [1], backward)
    graph = b.graph([h])
    assert droppable(graph) == (x,)
    assert names(graph, schedule_of(graph, Choice(frozenset()))) == "x view mask other g x' other' h"


def test_clones_move_into_the_window_that_hides_them():
    b, backward = Builder(), Phase.BACKWARD
    (x,) = b.op("x", [0], [10], time=2.0)
    (y,) = b.op("y", [x], [10], time=2.0)
    (g,) = b.op("g", [0], [1], backward, time=1.0)
    (s,) = b.op("start", [g], [1], backward, starts=0)
    (t,) = b.op("wait", [s], [1], backward, waits=0)
    (h,) = b.op("h", [t, x, y], [1], backward, time=1.0)
    graph = b.graph([h], windows=(Window(3.0, 1.0, "tp"),))
    late, placed = Choice(frozenset()), Choice(frozenset(), placed={1: 0})
    assert names(graph, schedule_of(graph, late)) == "x y g start wait x' y' h"
    assert names(graph, schedule_of(graph, placed)) == "x y g start x' y' wait h"
    assert [check(graph, schedule_of(graph, choice)).exposed for choice in (late, placed)] == [4.0, 1.0]


def test_a_collective_that_is_needed_in_a_window_of_its_group_runs_before_it():
    b, backward = Builder(), Phase.BACKWARD
    (s,) = b.op("start", [0], [10], starts=0)
    (t,) = b.op("wait", [s], [10], waits=0)
    (u,) = b.op("start_g", [0], [1], backward, starts=1)
    (w,) = b.op("weight", [t], [1], backward)
    (g,) = b.op("wait_g", [u], [1], backward, waits=1)
    graph = b.graph([w, g], windows=(Window(3.0, 1.0, "tp"),) * 2)
    schedule = schedule_of(graph, Choice(frozenset()))
    assert names(graph, schedule) == "start wait start' wait' start_g weight wait_g"
    assert check(graph, schedule).exposed == 3.0


def test_windows_of_the_next_forward_pass_serve_the_oldest_batch():
    b, backward = Builder(), Phase.BACKWARD
    (x,) = b.op("x", [0], [10], time=2.0)
    (s,) = b.op("start", [x], [1], starts=0)
    (t,) = b.op("wait", [s], [1], waits=0)
    (g,) = b.op("g", [t, x], [1], backward)
    graph = b.graph([g], windows=(Window(3.0, 1.0, "tp"),))
    choice = Choice(frozenset({t}), placed={0: 0})
    assert names(graph, schedule_of(graph, choice)) == "x start wait x' g"
    several = replace(graph, in_flight=2)
    schedule = schedule_of(several, choice)
    assert names(several, schedule) == "x start x' wait g"
    account = check(several, schedule)
    assert (account.exposed, account.hidden) == (0.0, 2.0)
    assert account.peak == 13  # x of the oldest, and of both what starts or was waited for


def test_a_view_that_the_backward_pass_takes_pins_nothing():
    b, backward = Builder(), Phase.BACKWARD
    (x,) = b.op("x", [0], [10])
    (y,) = b.op("y", [x], [1])
    (g,) = b.op("g", [y], [1], backward)
    (t,) = b.op("t", [x], phase=backward, base=x)
    (d,) = b.op("d", [t, g], [1], backward)
    (e,) = b.op("e", [x, d], [1], backward)
    graph = b.graph([e])
    assert droppable(graph) == (x, y)
    once = schedule_of(graph, Choice(frozenset({y})))
    assert names(graph, once) == "x y g x' t d e"
    twice = schedule_of(graph, Choice(frozenset({y}), renewed=frozenset({(x, 5)})))
    assert names(graph, twice) == "x y g x' t d x'' e"
    for schedule in (once, twice):
        check(graph, schedule)
