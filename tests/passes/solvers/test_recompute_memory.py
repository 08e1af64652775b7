"""Bytes alive at every step."""

from dataclasses import replace

from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_floor import floor
from gossamer.passes.solvers.recompute_graph import Graph, Phase, Step
from gossamer.passes.solvers.recompute_memory import keep_all, live_bytes, peak, with_frees

from .training_steps import Builder, chain


def test_a_storage_lives_to_its_last_reader_and_views_keep_it():
    b = Builder()
    (x,) = b.op("x", [0], [10])
    (v,) = b.op("view", [x], base=x)
    (y,) = b.op("y", [0], [5], workspace=3)
    (z,) = b.op("z", [v], [7])
    graph = b.graph([z, y], static=100)
    schedule = keep_all(graph)
    assert live_bytes(graph, schedule) == [110, 110, 118, 122]
    assert [step.frees for step in schedule.steps] == [(), (), (), ((x, 0),)]
    assert peak(graph, schedule) == 122


def test_results_that_nobody_reads_are_given_back_at_once():
    b = Builder()
    b.op("norm", [0], [4, 2, 2])
    b.op("view", [0], base=0)
    (out,) = b.op("out", [0], [1])
    graph = b.graph([out])
    assert live_bytes(graph, keep_all(graph)) == [8, 0, 1]


def test_a_state_takes_memory_only_where_its_draw_runs_again():
    """And as much again while it does: the stream's own is put aside."""
    b = Builder()
    (state,) = b.op("state", [], [50], fixed="reads the random stream")
    (x,) = b.op("draw", [state, 0], [10])
    (y,) = b.op("y", [x], [1], Phase.BACKWARD)
    values = tuple(replace(value, replayed=1) if at == state else value for at, value in enumerate(b.values))
    graph = Graph(tuple(b.ops), values, (y,))
    once = keep_all(graph)
    again = with_frees(graph, [*once.steps[:2], Step(1, 1, (0, 0)), Step(2, 0, (1,))])
    for schedule, live in ((once, [0, 10, 11]), (again, [50, 60, 110, 11])):
        assert live_bytes(graph, schedule) == live
        assert check(graph, schedule).peak == max(live)
    assert floor(graph) == (11, "y")


def test_an_output_that_is_a_view_keeps_its_base():
    b = Builder()
    (x,) = b.op("x", [0], [10])
    (v,) = b.op("view", [x], base=x)
    b.op("last", [0], [1])
    graph = b.graph([v])
    assert live_bytes(graph, keep_all(graph)) == [10, 10, 11]


def test_other_micro_batches_hold_their_stash():
    graph = chain(3, sizes=(4,), times=(1.0,))
    one = live_bytes(graph, keep_all(graph))
    stash = 3 * 4
    for flying in (2, 3):
        several = replace(graph, in_flight=flying)
        assert live_bytes(several, keep_all(several)) == [bytes + (flying - 1) * stash for bytes in one]


def test_what_is_rebuilt_in_the_forward_pass_of_the_next_batch_is_the_oldest_batch():
    b = Builder()
    (x,) = b.op("x", [0], [10])
    (y,) = b.op("y", [x], [1])
    (z,) = b.op("z", [x, y], [2], Phase.BACKWARD)
    graph = b.graph([z], in_flight=2)
    steps = [Step(0, 0, (0,)), Step(0, 1, (0,)), Step(1, 0, (0,)), Step(2, 0, (1, 0))]
    # Between: x of the youngest and of the oldest, and y of the oldest, its stash.
    assert live_bytes(graph, with_frees(graph, steps)) == [11, 21, 22, 14]
