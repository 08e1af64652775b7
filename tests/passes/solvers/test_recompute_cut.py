"""Minimum cuts choose what to keep."""

from itertools import combinations

import numpy as np
import pytest
from gossamer.passes.solvers.recompute_cut import corners, cut_at, least_seconds, network_of, seconds_of
from gossamer.passes.solvers.recompute_units import Units, units_of

from .training_steps import chain, drawn


def every_choice(units: Units):
    storages = sorted(units.maker)
    for count in range(len(storages) + 1):
        yield from map(frozenset, combinations(storages, count))


@pytest.mark.parametrize("price", [0.01, 0.1, 0.3, 2.0])
def test_a_cut_is_the_cheapest_choice_at_its_price(price):
    rng = np.random.default_rng(0)
    for _ in range(15):
        units = units_of(drawn(rng, 12))
        cut = cut_at(network_of(units), price)
        sizes = units.graph.values
        costs = [seconds_of(units, kept) + price * sum(sizes[s].size for s in kept) for kept in every_choice(units)]
        assert cut.seconds + price * cut.bytes == pytest.approx(min(costs), abs=1e-5)


def test_the_curve_bounds_every_choice_from_below():
    rng = np.random.default_rng(1)
    for _ in range(15):
        units = units_of(drawn(rng, 12))
        network = network_of(units)
        for kept in every_choice(units):
            room = sum(units.graph.values[s].size for s in kept)
            assert least_seconds(network, room) <= seconds_of(units, kept) + 1e-5


def test_the_curve_falls_from_all_kept_to_nothing_kept():
    cuts = corners(network_of(units_of(chain(12))))
    assert [cut.bytes for cut in cuts] == sorted((cut.bytes for cut in cuts), reverse=True)
    assert [cut.seconds for cut in cuts] == sorted(cut.seconds for cut in cuts)
    assert cuts[0].seconds == 0
    assert cuts[-1].bytes == 0
