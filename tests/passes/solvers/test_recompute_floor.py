"""No schedule goes under the floor."""

import numpy as np
from gossamer.passes.solvers.recompute_floor import floor
from gossamer.passes.solvers.recompute_graph import Phase
from gossamer.passes.solvers.recompute_memory import keep_all, peak
from gossamer.passes.solvers.recompute_schedule import Choice, droppable, schedule_of

from .training_steps import Builder, drawn


def test_the_floor_is_under_every_schedule():
    rng = np.random.default_rng(5)
    for _ in range(200):
        graph = drawn(rng)
        bytes, op = floor(graph)
        assert op in {op.name for op in graph.ops}
        kept = frozenset(v for v in droppable(graph) if rng.random() < 0.5)
        assert bytes <= min(peak(graph, schedule_of(graph, Choice(kept))), peak(graph, keep_all(graph)))


def test_the_op_with_the_largest_operands_sets_the_floor():
    b = Builder()
    (x,) = b.op("x", [0], [10])
    (m,) = b.op("mask", [x], [3], fixed="draws from the global random stream")
    (y,) = b.op("wide", [0], [10], workspace=15)
    (g,) = b.op("g", [y, m, x], [1], Phase.BACKWARD)
    assert floor(b.graph([g], static=100)) == (128, "wide")
    assert floor(b.graph([g], static=100, in_flight=3)) == (134, "wide")
