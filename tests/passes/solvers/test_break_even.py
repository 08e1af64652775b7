"""The density up to which packing pays: never more than it should be."""

from dataclasses import replace
from itertools import pairwise

from gossamer.passes.solvers.break_even import (
    MARGIN,
    STEPS,
    AttentionWork,
    Elementwise,
    Machine,
    Move,
    Product,
    Region,
    break_even,
)
from hypothesis import given
from hypothesis import strategies as st

sizes = st.integers(1, 4096)
machines = st.builds(
    Machine,
    flops=st.floats(1e8, 1e13),
    bandwidth=st.floats(1e8, 1e12),
    call=st.floats(0, 1e-3),
    sequence=st.floats(0, 1e-3),
)
regions = st.builds(
    Region,
    rows=st.integers(0, 10**5),
    length=st.integers(0, 4096),
    width=st.sampled_from((2, 4, 8)),
    products=st.lists(st.builds(Product, sizes, sizes), max_size=4),
    attentions=st.lists(st.builds(AttentionWork, sizes), max_size=2),
    others=st.lists(st.builds(Elementwise, sizes), max_size=4),
    moves=st.lists(st.builds(Move, sizes, st.booleans()), max_size=4),
)


@given(regions, machines)
def test_packing_wins_by_the_margin_at_the_break_even_and_everywhere_below(region, machine):
    limit = break_even(region, machine)
    assert 0.0 <= limit <= 1.0
    bound = region.dense(machine) * (1.0 - MARGIN)
    if limit:
        assert all(region.packed(machine, k / STEPS) <= bound for k in range(round(limit * STEPS) + 1))
    if limit < 1.0:
        assert region.packed(machine, limit + 1 / STEPS) > bound


@given(regions, machines)
def test_packed_work_grows_with_the_density(region, machine):
    times = [region.packed(machine, k / 20) for k in range(21)]
    assert all(a <= b * (1 + 1e-12) for a, b in pairwise(times))


@given(regions, machines)
def test_a_full_domain_never_pays_where_there_is_work(region, machine):
    if region.dense(machine) > 0:
        assert break_even(region, machine) < 1.0


@given(regions, machines, st.builds(Move, sizes, st.booleans()))
def test_another_move_never_raises_it(region, machine, move):
    more = replace(region, moves=[*region.moves, move])
    assert break_even(more, machine) <= break_even(region, machine)


@given(regions, machines, st.floats(1, 100))
def test_dearer_sequences_never_raise_it(region, machine, factor):
    dearer = replace(machine, sequence=machine.sequence * factor)
    assert break_even(region, dearer) <= break_even(region, machine)


def test_it_is_zero_where_packing_never_pays():
    moves = [Move(4096, True), Move(4096, False)]
    assert break_even(Region(8, 8, 4, [Product(1, 1)], moves=moves), Machine()) == 0.0


def test_a_large_layer_pays_up_to_a_high_density():
    layer = Region(4096, 512, 4, [Product(768, 3072), Product(3072, 768)], moves=[Move(768, False), Move(768, True)])
    assert break_even(layer, Machine()) > 0.7


def test_times_by_hand():
    machine = Machine(flops=1.0, bandwidth=1.0, call=7.0)
    assert Product(2, 3).seconds(machine, rows=5, width=4) == (2 * 3 + 5 * (2 + 3)) * 4
    assert Product(2, 3).seconds(replace(machine, bandwidth=1e3), rows=5, width=4) == 2 * 5 * 2 * 3
    assert Elementwise(3).seconds(machine, rows=2, width=4) == 7 + 2 * 3 * 4
    assert AttentionWork(6).seconds(machine, rows=2, length=5) == 4 * 2 * 5 * 6 / 0.5
    assert Move(3, scatters=False).seconds(machine, rows=2, all_rows=10, width=4) == 7 + 2 * 2 * 3 * 4
    assert Move(3, scatters=True).seconds(machine, rows=2, all_rows=10, width=4) == 7 + (2 * 2 + 10) * 3 * 4
