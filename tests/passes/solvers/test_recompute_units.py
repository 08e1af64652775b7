"""What can run again, and what that needs."""

from gossamer.passes.solvers.recompute_graph import Phase, Window
from gossamer.passes.solvers.recompute_units import units_of

from .training_steps import Builder


def test_a_start_and_its_wait_are_one_unit_and_views_are_looked_through():
    b, backward = Builder(), Phase.BACKWARD
    (a,) = b.op("a", [0], [10], time=1.0, layer=3)
    (t,) = b.op("start", [a], [10], starts=0)
    (r,) = b.op("wait", [t], [10], waits=0)
    (v,) = b.op("view", [r], base=r)
    (m,) = b.op("mask", [v], [1], fixed="draws from the global random stream")
    c, n = b.op("c", [v, m], [10, 0], time=2.0)
    (g,) = b.op("g", [c, v], [1], backward)
    (h,) = b.op("h", [g, c], [1], backward)
    units = units_of(b.graph([h], windows=(Window(4.0, 0.5, "tp"),)))
    assert [unit.ops for unit in units.units] == [(0,), (1, 2), (5,)]
    assert [unit.time for unit in units.units] == [1.0, 4.0, 2.0]
    assert [unit.reads for unit in units.units] == [(), (a,), (r,)]
    assert [unit.makes for unit in units.units] == [(a,), (r,), (c, n)]
    assert [unit.group for unit in units.units] == ["", "tp", ""]
    assert units.uses == {r: (6,), c: (6, 7)}
    assert units.free() == {n}
    assert units.again(frozenset()) == {0, 1, 2}
    assert units.again(frozenset({r})) == {2}
    assert units.again(frozenset({r, c})) == set()
