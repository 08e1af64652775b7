"""What a schedule costs a pipeline stage, on graphs small enough to count by hand."""

import pytest
from gossamer.passes.solvers.recompute_clock import elapsed
from gossamer.passes.solvers.recompute_graph import Graph, Op, Phase, Value, Window
from gossamer.passes.solvers.recompute_stage import (
    batch_bytes,
    deferrable,
    parts,
    sequenced,
    stage_cost,
)  # fmt: skip

F, B = Phase.FORWARD, Phase.BACKWARD


def chain(window: float = 0.0, efficiency: float = 1.0) -> Graph:
    """in -> a (10 bytes) -> b (20) -> loss; backward reads b, then a. Between db and da a collective, in place."""
    ops = (
        Op("receive", (), (0,), F, 0.0, fixed="comes from elsewhere"),
        Op("a", (0,), (1,), F, 3.0),
        Op("b", (1,), (2,), F, 5.0),
        Op("db", (2,), (3,), B, 7.0),
        Op("wb", (3, 2), (), B, 2.0, fixed="adds"),
        Op("start", (3,), (4,), B, 0.0, starts=0),
        Op("wait", (4,), (5,), B, 0.0, waits=0),
        Op("da", (5, 1), (6,), B, 4.0),
        Op("send", (6,), (), B, 0.0, fixed="sends"),
    )
    values = (Value(0, 1), Value(1, 10), Value(2, 20), Value(3, 30), Value(5, base=3), Value(6, base=4), Value(7, 40))
    return Graph(ops, values, (), (Window(window, efficiency),))


KEEP_ALL = range(9)
KEEP_NOTHING = [0, 1, 2, 1, 2, 3, 4, 5, 6, 7, 8]
"""a and b run again before the gradients; the second a is read by da too."""
INSIDE = [0, 1, 2, 3, 4, 5, 1, 6, 7, 8]
"""a runs again in the window."""


def test_a_storage_lives_until_its_last_read_and_through_its_views():
    graph = chain()
    during, after = batch_bytes(graph, sequenced(graph, KEEP_ALL))
    assert during == [1, 11, 30, 60, 60, 40, 40, 80, 40]
    assert after == [1, 10, 30, 60, 40, 40, 40, 40, 0]
    during, after = batch_bytes(graph, sequenced(graph, KEEP_NOTHING))
    assert after[:3] == [1, 11, 1]
    assert max(during) == 80


def test_a_window_hides_as_much_as_it_has_room():
    for room, efficiency, expected in ((2.0, 1.0, 24.0), (5.0, 1.0, 26.0), (5.0, 0.4, 27.0), (1.0, 0.0, 25.0)):
        graph = chain(room, efficiency)
        assert elapsed(graph, sequenced(graph, INSIDE).steps) == expected
    assert elapsed(chain(5.0), sequenced(chain(), KEEP_ALL).steps) == 26.0


def test_what_is_kept_what_is_exposed_and_what_can_run_early():
    cost = stage_cost(chain(), sequenced(chain(), KEEP_NOTHING))
    assert (cost.forward, cost.recompute, cost.kept, cost.forward_peak) == (8.0, 8.0, 1, 31)
    assert [(e.seconds, e.backward, e.held, e.peak) for e in cost.early] == [
        (0.0, 21.0, 0, 80), (3.0, 18.0, 9, 80), (8.0, 13.0, 29, 80)]  # fmt: skip
    assert stage_cost(chain(), sequenced(chain(), KEEP_ALL)).recompute == 0.0


def test_recomputation_in_a_window_is_not_exposed_and_saves_nothing_when_it_runs_early():
    graph = chain(3.0)
    cost = stage_cost(graph, sequenced(graph, INSIDE))
    assert (cost.recompute, cost.kept) == (0.0, 21)
    assert [(e.seconds, e.backward) for e in cost.early] == [(0.0, 16.0), (3.0, 16.0)]


def test_gradients_of_weights_wait_where_the_backward_pass_is_split():
    graph = chain()
    assert deferrable(graph) == {4}
    cost = stage_cost(graph, sequenced(graph, KEEP_ALL), split=True)
    assert (cost.backward, cost.weights) == (11.0, 2.0)
    assert cost.deferred == 50
    assert cost.weights_peak == 50


def with_forward_window(seconds_of_it: float) -> Graph:
    """The chain, its forward pass begun by a collective."""
    base = chain()
    ops = (Op("meet", (), (), F, 0.0, starts=1), Op("met", (), (), F, 0.0, waits=1), *base.ops)
    values = tuple(Value(v.producer + 2, v.size, v.base) for v in base.values)
    return Graph(ops, values, (), (*base.windows, Window(seconds_of_it)))


@pytest.mark.parametrize(("room", "fits"), [(2.0, 0), (3.0, 1), (7.0, 1), (8.0, 2)])
def test_what_fits_into_windows_of_a_forward_pass_is_counted_in_order(room, fits):
    graph = with_forward_window(room)
    order = [0, 1, *(index + 2 for index in KEEP_NOTHING)]
    cost = stage_cost(graph, sequenced(graph, order))
    assert cost.hosted == fits
    assert cost.hosting == 0.0


def test_clones_that_stand_in_the_forward_pass_are_of_another_micro_batch():
    graph = with_forward_window(4.0)
    order = [0, 2, 3, 4, 3, 1, 4, *(index + 2 for index in range(3, 9))]
    schedule = sequenced(graph, order)
    cut = parts(graph, schedule)
    assert (cut.forward, cut.guests, cut.clones) == ([0, 2, 3, 4, 1], 1, [3, 4])
    assert stage_cost(graph, schedule).hosted == 1
